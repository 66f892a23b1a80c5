locals {
  vms = merge([for pool in module.gpu_pool : pool.vms]...)

  by_preference = { for candidate in flatten([for pool in module.gpu_pool : values(pool.candidates)]) : format("%09d %s", candidate.preference, candidate.name) => candidate }
  # Terraform's maps are in the order of their keys.
  candidates = [for candidate in values(local.by_preference) : { for field, value in candidate : field => value if field != "preference" }]
}

# VMs elsewhere are reached, and reach the vault, over the peered networks.
resource "azurerm_virtual_network_peering" "to_home" {
  for_each = setsubtract(keys(var.regions), [var.home_region])

  name                      = "to-home"
  resource_group_name       = module.network[each.value].virtual_network.resource_group_name
  virtual_network_name      = module.network[each.value].virtual_network.name
  remote_virtual_network_id = local.home.virtual_network.id
}

resource "azurerm_virtual_network_peering" "from_home" {
  for_each = setsubtract(keys(var.regions), [var.home_region])

  name                      = "to-${each.value}"
  resource_group_name       = local.home.virtual_network.resource_group_name
  virtual_network_name      = local.home.virtual_network.name
  remote_virtual_network_id = module.network[each.value].virtual_network.id
}

resource "azurerm_private_dns_zone_virtual_network_link" "elsewhere" {
  for_each = merge([
    for region in setsubtract(keys(var.regions), [var.home_region]) : {
      for zone in concat(var.storage_access == "private" ? local.storage_zones : [], [local.vault_zone]) : "${region} ${zone}" => { region = region, zone = zone }
    }
  ]...)

  name                  = "${var.name}-${each.value.region}-link"
  resource_group_name   = local.resource_group.name
  private_dns_zone_name = each.value.zone
  virtual_network_id    = module.network[each.value.region].virtual_network.id
  tags                  = local.tags

  depends_on = [module.network]
}
