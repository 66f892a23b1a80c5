locals {
  roles_input = {
    name = var.name
    app = {
      principal_id              = azurerm_user_assigned_identity.app.principal_id
      vault_reader_principal_id = module.control_plane.vault_reader_principal_id
    }
    vms = local.vms
    scopes = {
      vm_resource_groups   = { for region, group in azurerm_resource_group.vms : region => group.id }
      storage_account      = module.storage.account.id
      jobs_container       = module.storage.container_ids["jobs"]
      key_vault            = module.secrets.vault.id
      application_insights = nonsensitive(module.observability.application_insights.id)
    }
  }
}

# The app holds no code until `make deploy`, so the roles are there before it starts.
module "roles" {
  source = "../roles"
  count  = var.assign_roles ? 1 : 0

  name   = local.roles_input.name
  app    = local.roles_input.app
  vms    = local.roles_input.vms
  scopes = local.roles_input.scopes
}
