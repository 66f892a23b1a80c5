output "account" {
  description = "The account: `id`, `name`, `blob_endpoint`, `queue_endpoint`, `table_endpoint`."
  value       = local.account

  # Within the network the endpoints' names must lead somewhere before anyone asks for them.
  depends_on = [azurerm_private_endpoint.this]
}

output "container_ids" {
  description = "Resource ids of the containers by name."
  value       = { for name, container in azurerm_storage_container.this : name => container.id }
}

output "deployment_container_url" {
  description = "Container that the app's package is uploaded to."
  value       = "${trimsuffix(local.account.blob_endpoint, "/")}/${azurerm_storage_container.this["deployments"].name}"
}
