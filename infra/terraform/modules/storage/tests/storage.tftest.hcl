mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  name                = "cf"
  account_name        = "cf123456"
  location            = "eastus"
  resource_group_name = "cf-rg"
}

run "no_key_opens_the_account" {
  command = plan

  assert {
    condition     = azurerm_storage_account.this[0].shared_access_key_enabled == false && azurerm_storage_account.this[0].local_user_enabled == false && azurerm_storage_account.this[0].default_to_oauth_authentication
    error_message = "The account can be opened with a key or a local user."
  }
}

run "nothing_is_public_and_nothing_travels_in_the_clear" {
  command = plan

  assert {
    condition     = azurerm_storage_account.this[0].allow_nested_items_to_be_public == false && alltrue([for container in azurerm_storage_container.this : container.container_access_type == "private"])
    error_message = "A container can be read by anybody."
  }

  assert {
    condition     = azurerm_storage_account.this[0].https_traffic_only_enabled && azurerm_storage_account.this[0].min_tls_version == "TLS1_2"
    error_message = "The account takes requests without TLS 1.2."
  }
}

run "by_default_links_work_from_outside_and_nothing_costs_extra" {
  command = plan

  assert {
    condition     = azurerm_storage_account.this[0].public_network_access_enabled && length(azurerm_private_endpoint.this) == 0
    error_message = "Links to models would not work from outside, or endpoints are paid for in vain."
  }
}

run "a_private_account_answers_within_the_network_only" {
  command = plan

  variables {
    storage_access     = "private"
    endpoint_subnet_id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Network/virtualNetworks/cf-vnet/subnets/endpoints"
    private_dns_zone_ids = {
      "privatelink.blob.core.windows.net"  = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
      "privatelink.queue.core.windows.net" = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Network/privateDnsZones/privatelink.queue.core.windows.net"
      "privatelink.table.core.windows.net" = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Network/privateDnsZones/privatelink.table.core.windows.net"
    }
  }

  assert {
    condition     = azurerm_storage_account.this[0].public_network_access_enabled == false
    error_message = "A private account answers from outside."
  }

  assert {
    condition     = { for service, endpoint in azurerm_private_endpoint.this : service => one(endpoint.private_dns_zone_group[0].private_dns_zone_ids) } == { for service in ["blob", "queue", "table"] : service => var.private_dns_zone_ids["privatelink.${service}.core.windows.net"] }
    error_message = "The app needs blobs, queues and tables, each under its own name within the network."
  }
}

run "old_jobs_are_deleted_and_the_state_of_the_pool_is_not" {
  command = plan

  variables {
    retention_days = 12
  }

  assert {
    condition     = azurerm_storage_management_policy.this[0].rule[0].actions[0].base_blob[0].delete_after_days_since_modification_greater_than == 12
    error_message = "Jobs are deleted at another age than the one that was asked for."
  }

  assert {
    condition     = azurerm_storage_management_policy.this[0].rule[0].filters[0].prefix_match == toset(["failed/", "inbox/", "jobs/"])
    error_message = "The rule deletes more or less than jobs: the state of the VMs is in pool/."
  }
}

run "the_tables_are_made_without_a_key_or_a_role_on_data" {
  command = plan

  assert {
    condition     = toset([for table in jsondecode(azurerm_resource_group_template_deployment.tables.template_content).resources : "${table.type} ${table.name}"]) == toset([for table in ["deliveries", "idempotency", "jobs", "ledger", "results"] : "Microsoft.Storage/storageAccounts/tableServices/tables cf123456/default/${table}"])
    error_message = "A table that the app needs is not made, or not in this account."
  }

  assert {
    condition     = azurerm_resource_group_template_deployment.tables.deployment_mode == "Incremental" && azurerm_resource_group_template_deployment.tables.resource_group_name == "cf-rg"
    error_message = "The deployment would delete everything else in the group, or looks for the account in another one."
  }

  assert {
    condition     = alltrue([for container in azurerm_storage_container.this : container.storage_account_id != null && container.storage_account_name == null])
    error_message = "azurerm would make a container over the data plane, with the account's key, which is off."
  }
}

run "a_deleted_blob_can_be_brought_back" {
  command = plan

  assert {
    condition     = azurerm_storage_account.this[0].blob_properties[0].delete_retention_policy[0].days == 7 && azurerm_storage_account.this[0].blob_properties[0].container_delete_retention_policy[0].days == 7
    error_message = "A deleted blob or container is gone at once."
  }
}

run "an_existing_account_gets_containers_and_keeps_its_rules" {
  command = plan

  variables {
    existing_account = {
      id             = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/data/providers/Microsoft.Storage/storageAccounts/ourdata"
      name           = "ourdata"
      blob_endpoint  = "https://ourdata.blob.core.windows.net/"
      queue_endpoint = "https://ourdata.queue.core.windows.net/"
      table_endpoint = "https://ourdata.table.core.windows.net/"
    }
  }

  assert {
    condition     = length(azurerm_storage_account.this) == 0 && length(azurerm_storage_management_policy.this) == 0
    error_message = "The account would be created again, or its lifecycle rules replaced."
  }

  assert {
    condition     = alltrue([for container in azurerm_storage_container.this : endswith(container.storage_account_id, "/ourdata")]) && output.deployment_container_url == "https://ourdata.blob.core.windows.net/deployments"
    error_message = "The containers are not in the account that was named."
  }

  assert {
    condition     = azurerm_resource_group_template_deployment.tables.resource_group_name == "data" && alltrue([for table in jsondecode(azurerm_resource_group_template_deployment.tables.template_content).resources : startswith(table.name, "ourdata/default/")])
    error_message = "The tables are not in the account that was named, or are looked for in another group than its own."
  }
}

run "a_key_of_your_own_can_encrypt_the_account" {
  command = plan

  variables {
    customer_managed_key = {
      key_id      = "https://ours.vault.azure.net/keys/storage"
      identity_id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/ours/providers/Microsoft.ManagedIdentity/userAssignedIdentities/storage"
    }
  }

  assert {
    condition     = azurerm_storage_account_customer_managed_key.this[0].key_vault_key_id == "https://ours.vault.azure.net/keys/storage" && azurerm_storage_account.this[0].identity[0].identity_ids == toset([var.customer_managed_key.identity_id])
    error_message = "The account is encrypted with another key, or may not use it."
  }
}

run "refuses_a_key_that_ends_with_its_rotation" {
  command = plan

  variables {
    customer_managed_key = { key_id = "https://ours.vault.azure.net/keys/storage/0123456789abcdef", identity_id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/ours/providers/Microsoft.ManagedIdentity/userAssignedIdentities/storage" }
  }

  expect_failures = [var.customer_managed_key]
}

run "refuses_to_delete_jobs_that_may_still_wait" {
  command = plan

  variables {
    retention_days = 1
  }

  expect_failures = [var.retention_days]
}

run "refuses_a_third_kind_of_access" {
  command = plan

  variables {
    storage_access = "keys"
  }

  expect_failures = [var.storage_access]
}

run "refuses_a_replication_that_does_not_exist" {
  command = plan

  variables {
    replication = "XRS"
  }

  expect_failures = [var.replication]
}
