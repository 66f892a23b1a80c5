mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  name = "cf"
  app = {
    principal_id              = "11111111-1111-1111-1111-111111111111"
    vault_reader_principal_id = "22222222-2222-2222-2222-222222222222"
  }
  vms = {
    a100-1 = {
      id           = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-vms-eastus-rg/providers/Microsoft.Compute/virtualMachines/cf-a100-1"
      region       = "eastus"
      principal_id = "33333333-3333-3333-3333-333333333333"
    }
  }
  scopes = {
    vm_resource_groups   = { eastus = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-vms-eastus-rg" }
    storage_account      = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Storage/storageAccounts/cf"
    jobs_container       = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Storage/storageAccounts/cf/blobServices/default/containers/jobs"
    key_vault            = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.KeyVault/vaults/cf"
    application_insights = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Insights/components/cf"
  }
}

run "the_app_may_wake_look_at_and_stop_vms_and_nothing_else" {
  command = plan

  assert {
    condition = toset(azurerm_role_definition.operator["eastus"].permissions[0].actions) == toset([
      "Microsoft.Compute/virtualMachines/read",
      "Microsoft.Compute/virtualMachines/instanceView/read",
      "Microsoft.Compute/virtualMachines/start/action",
      "Microsoft.Compute/virtualMachines/deallocate/action",
    ])
    error_message = "The app may do more or less with VMs than it does."
  }

  assert {
    condition     = azurerm_role_assignment.this["app-operates-vms-eastus"].scope == var.scopes.vm_resource_groups["eastus"] && azurerm_role_assignment.this["app-operates-vms-eastus"].principal_id == var.app.principal_id
    error_message = "The role reaches further than the VMs' group, or is another identity's."
  }
}

run "a_vm_may_deallocate_itself_and_nothing_else" {
  command = plan

  assert {
    condition     = azurerm_role_definition.switch["eastus"].permissions[0].actions == tolist(["Microsoft.Compute/virtualMachines/deallocate/action"])
    error_message = "A VM may do more than deallocate."
  }

  assert {
    condition     = azurerm_role_assignment.this["vm-deallocates-itself-a100-1"].scope == var.vms["a100-1"].id && azurerm_role_assignment.this["vm-deallocates-itself-a100-1"].principal_id == var.vms["a100-1"].principal_id
    error_message = "A VM may deallocate another one, or not itself."
  }
}

run "a_vm_reaches_jobs_and_no_other_container" {
  command = plan

  assert {
    condition     = azurerm_role_assignment.this["vm-uses-jobs-a100-1"].scope == var.scopes.jobs_container
    error_message = "A VM may read or write more of the storage account than the jobs."
  }
}

run "the_app_gets_the_roles_that_durable_needs_on_storage" {
  command = plan

  assert {
    condition = toset([for assignment in azurerm_role_assignment.this : assignment.role_definition_name if assignment.scope == var.scopes.storage_account]) == toset([
      "Storage Blob Data Owner", "Storage Queue Data Contributor", "Storage Table Data Contributor",
    ])
    error_message = "Durable can't work on this storage account, or may do more than it needs."
  }
}

run "secrets_are_read_and_never_written" {
  command = plan

  assert {
    condition     = alltrue([for assignment in azurerm_role_assignment.this : assignment.role_definition_name == "Key Vault Secrets User" if startswith(assignment.scope, var.scopes.key_vault)])
    error_message = "An identity may do more with the vault than read its secrets."
  }

  assert {
    condition     = azurerm_role_assignment.this["app-reads-secrets"].principal_id == var.app.vault_reader_principal_id
    error_message = "The platform resolves references by the app's own identity, which may not read the vault."
  }
}

run "a_vm_reads_the_agents_tokens_and_no_other_secret" {
  command = plan

  assert {
    condition = toset([for assignment in azurerm_role_assignment.this : assignment.scope if assignment.principal_id == var.vms["a100-1"].principal_id && startswith(assignment.scope, var.scopes.key_vault)]) == toset([
      "${var.scopes.key_vault}/secrets/gpu-agent-token", "${var.scopes.key_vault}/secrets/gpu-agent-token-other",
    ])
    error_message = "A VM may read secrets that are not its own, or does not learn by what the app is known."
  }
}

run "every_assignment_says_what_is_seen_where_it_is_missing" {
  command = plan

  assert {
    condition     = keys(output.assignments) == keys(azurerm_role_assignment.this) && alltrue([for assignment in output.assignments : length(assignment.symptom) > 30 && assignment.role != null])
    error_message = "An assignment can't be verified, or its absence would have no symptom."
  }
}
