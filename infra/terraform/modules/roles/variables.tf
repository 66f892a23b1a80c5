variable "name" {
  description = "Told apart by it are the custom roles of several deployments in one tenant."
  type        = string
  nullable    = false
}

variable "app" {
  description = "The function app's identities: `principal_id` acts, `vault_reader_principal_id` resolves references to the vault."
  type = object({
    principal_id              = string
    vault_reader_principal_id = string
  })
  nullable = false
}

variable "vms" {
  description = "The VMs by name: `id`, `region`, and `principal_id` of the identity of each."
  type = map(object({
    id           = string
    region       = string
    principal_id = string
  }))
  nullable = false
}

variable "scopes" {
  description = "Resource ids of what the roles are about; `vm_resource_groups` by region."
  type = object({
    vm_resource_groups   = map(string)
    storage_account      = string
    jobs_container       = string
    key_vault            = string
    application_insights = string
  })
  nullable = false
}
