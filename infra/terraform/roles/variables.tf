variable "subscription_id" {
  description = "Subscription that everything is in."
  type        = string
  nullable    = false
}

variable "tenant_id" {
  description = "Entra tenant of the subscription."
  type        = string
  nullable    = false
}

variable "roles_input" {
  description = "The output roles_input of the environment, as the module roles describes its parts."
  type = object({
    name   = string
    app    = object({ principal_id = string, vault_reader_principal_id = string })
    vms    = map(object({ id = string, region = string, principal_id = string }))
    scopes = object({ vm_resource_groups = map(string), storage_account = string, jobs_container = string, key_vault = string, application_insights = string })
  })
  nullable = false
}
