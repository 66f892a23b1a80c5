mock_provider "azurerm" {
  source          = "../mocks"
  override_during = plan
}

run "takes_the_output_of_an_environment" {
  command = plan

  variables {
    subscription_id = "00000000-0000-0000-0000-000000000000"
    tenant_id       = "00000000-0000-0000-0000-000000000000"
    roles_input = {
      name = "cf"
      app  = { principal_id = "11111111-1111-1111-1111-111111111111", vault_reader_principal_id = "22222222-2222-2222-2222-222222222222" }
      vms  = {}
      scopes = {
        vm_resource_groups   = { eastus = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-vms-eastus-rg" }
        storage_account      = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Storage/storageAccounts/cf"
        jobs_container       = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Storage/storageAccounts/cf/blobServices/default/containers/jobs"
        key_vault            = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.KeyVault/vaults/cf"
        application_insights = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Insights/components/cf"
      }
    }
  }

  assert {
    condition     = length(output.role_assignments) == 6
    error_message = "The app's six assignments are not all there."
  }
}
