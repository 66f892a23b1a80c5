output "app" {
  description = "The function app: `id`, `name`, `url`."
  value       = module.control_plane.app
}

output "resource_group_name" {
  description = "Resource group of everything but the VMs."
  value       = local.resource_group.name
}

output "storage_account_name" {
  description = "The storage account."
  value       = module.storage.account.name
}

output "vault" {
  description = "The vault that `make deploy` writes the secrets to: `id`, `name`, `url`."
  value       = module.secrets.vault
}

output "image" {
  description = "Image definition that `make image` publishes to: `name`, `gallery_name`, `resource_group_name`."
  value       = module.image_gallery.image
}

output "vms" {
  description = "The VMs as the app is told of them, in order of preference."
  value       = local.candidates
}

output "home_region" {
  description = "Azure region of everything but the VMs; `make image` builds in it."
  value       = var.home_region
}

output "longest_uptime_s" {
  description = "Seconds after which the dead-man's switch ends a VM: none that is up has been up for longer."
  value       = var.agents.max_uptime_s
}

output "image_versions" {
  description = "The image that each VM should have been made from, by its name in Azure."
  value       = merge([for pool in module.gpu_pool : pool.image_versions]...)
}

output "tenant_id" {
  description = "Entra tenant of the subscription."
  value       = var.tenant_id
}

output "roles_input" {
  description = "What infra/terraform/roles takes, where roles are given apart."
  value       = local.roles_input
}

output "role_assignments" {
  description = "Every role assignment, with what an operator sees where it is missing; null where roles are given apart."
  value       = one(module.roles[*].assignments)
}
