# For whoever may give roles, where the person who applies an environment may not. Takes the output
# roles_input of the environment.
module "roles" {
  source = "../modules/roles"

  name   = var.roles_input.name
  app    = var.roles_input.app
  vms    = var.roles_input.vms
  scopes = var.roles_input.scopes
}
