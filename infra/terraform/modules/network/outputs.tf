output "virtual_network" {
  description = "The network: `id`, `name`, `resource_group_name`."
  value       = local.virtual_network
}

output "gpu_subnet" {
  description = "Subnet of the GPU VMs: `id`, `prefix`."
  value = {
    id     = azurerm_subnet.gpu.id
    prefix = var.subnet_prefixes.gpu
  }

  # A VM must not boot before it can switch itself off.
  depends_on = [
    azurerm_nat_gateway_public_ip_association.this,
    azurerm_subnet_nat_gateway_association.gpu,
    azurerm_subnet_network_security_group_association.gpu,
  ]
}

output "function_subnet_id" {
  description = "Subnet of the function app; null in a region without one."
  value       = one(azurerm_subnet.function[*].id)
}

output "endpoint_subnet_id" {
  description = "Subnet of the private endpoints; null in a region without one."
  value       = one(azurerm_subnet.endpoints[*].id)
}

output "private_dns_zone_ids" {
  description = "Private DNS zones by name."
  value       = { for name, zone in azurerm_private_dns_zone.this : name => zone.id }
}
