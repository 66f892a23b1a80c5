output "candidates" {
  description = "The VMs as the app is told of them, by name, each with its `preference`."
  value = {
    for name, vm in var.vms : name => {
      preference         = vm.preference
      name               = azurerm_linux_virtual_machine.this[name].name
      resource_group     = azurerm_linux_virtual_machine.this[name].resource_group_name
      size               = vm.size
      region             = var.location
      zone               = vm.zone
      price_per_hour_usd = vm.price_per_hour_usd
      agent_url          = "http://${azurerm_network_interface.this[name].ip_configuration[0].private_ip_address}:${var.agent_port}"
    }
  }
}

output "image_versions" {
  description = "The image that each VM should have been made from, by its name in Azure; `coldforge doctor` compares."
  value       = { for name, vm in var.vms : azurerm_linux_virtual_machine.this[name].name => vm.image_version }
}

output "vms" {
  description = "What roles are given to, by name: `id`, `region`, `principal_id`."
  value = {
    for name, vm in azurerm_linux_virtual_machine.this : name => {
      id           = vm.id
      region       = var.location
      principal_id = azurerm_user_assigned_identity.vm[name].principal_id
    }
  }
}
