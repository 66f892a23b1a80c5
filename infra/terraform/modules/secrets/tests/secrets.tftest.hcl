mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  name                = "cf"
  vault_name          = "cf-123456"
  location            = "eastus"
  resource_group_name = "cf-rg"
  tenant_id           = "00000000-0000-0000-0000-000000000000"
  endpoint_subnet_id  = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Network/virtualNetworks/cf-vnet/subnets/endpoints"
  private_dns_zone_id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net"
}

run "the_vault_gives_access_by_roles_alone" {
  command = plan

  assert {
    condition     = azurerm_key_vault.this.rbac_authorization_enabled
    error_message = "Access policies would bypass the roles that are verified."
  }
}

run "the_vault_answers_within_the_network_only" {
  command = plan

  assert {
    condition     = azurerm_key_vault.this.public_network_access_enabled == false && azurerm_key_vault.this.network_acls[0].default_action == "Deny"
    error_message = "The vault answers from outside."
  }

  assert {
    condition     = azurerm_private_endpoint.this.private_service_connection[0].private_connection_resource_id == azurerm_key_vault.this.id
    error_message = "The app and the VMs can't reach the vault."
  }
}

run "a_deleted_secret_can_be_brought_back" {
  command = plan

  assert {
    condition     = azurerm_key_vault.this.purge_protection_enabled && azurerm_key_vault.this.soft_delete_retention_days == 90
    error_message = "Secrets can be destroyed for good."
  }
}

run "refuses_a_name_that_azure_would" {
  command = plan

  variables {
    vault_name = "1-vault"
  }

  expect_failures = [var.vault_name]
}
