# Neither role may write: a thief of the app's token can wake and stop VMs, but can't run a command on
# one, attach a disk or make another.
resource "azurerm_role_definition" "operator" {
  for_each = var.scopes.vm_resource_groups

  name              = "Coldforge pool operator (${var.name} ${each.key})"
  description       = "Wakes GPU VMs, looks at them and puts them back to sleep."
  scope             = each.value
  assignable_scopes = [each.value]

  permissions {
    actions = [
      "Microsoft.Compute/virtualMachines/read",
      "Microsoft.Compute/virtualMachines/instanceView/read",
      "Microsoft.Compute/virtualMachines/start/action",
      "Microsoft.Compute/virtualMachines/deallocate/action",
    ]
  }
}

resource "azurerm_role_definition" "switch" {
  for_each = var.scopes.vm_resource_groups

  name              = "Coldforge dead-man's switch (${var.name} ${each.key})"
  description       = "Lets a VM deallocate itself; assigned to each for itself alone."
  scope             = each.value
  assignable_scopes = [each.value]

  permissions {
    actions = ["Microsoft.Compute/virtualMachines/deallocate/action"]
  }
}

resource "azurerm_role_assignment" "this" {
  for_each = local.assignments

  principal_id         = each.value.principal_id
  principal_type       = "ServicePrincipal"
  scope                = each.value.scope
  role_definition_name = each.value.custom_role_id == null ? each.value.role : null
  role_definition_id   = each.value.custom_role_id
}
