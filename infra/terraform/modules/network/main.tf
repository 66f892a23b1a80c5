locals {
  virtual_network = var.existing_virtual_network != null ? var.existing_virtual_network : {
    id                  = azurerm_virtual_network.this[0].id
    name                = azurerm_virtual_network.this[0].name
    resource_group_name = azurerm_virtual_network.this[0].resource_group_name
  }
  # Images and models then bypass the NAT gateway, which charges for every gigabyte.
  service_endpoints = ["Microsoft.Storage"]
}

resource "azurerm_virtual_network" "this" {
  count = var.existing_virtual_network == null ? 1 : 0

  name                = "${var.name}-vnet"
  location            = var.location
  resource_group_name = var.resource_group_name
  address_space       = [var.address_space]
  tags                = var.tags
}

resource "azurerm_subnet" "gpu" {
  name                            = "${var.name}-gpu"
  virtual_network_name            = local.virtual_network.name
  resource_group_name             = local.virtual_network.resource_group_name
  address_prefixes                = [var.subnet_prefixes.gpu]
  default_outbound_access_enabled = false
  service_endpoints               = local.service_endpoints
}

resource "azurerm_subnet" "function" {
  count = var.subnet_prefixes.function == null ? 0 : 1

  name                 = "${var.name}-function"
  virtual_network_name = local.virtual_network.name
  resource_group_name  = local.virtual_network.resource_group_name
  address_prefixes     = [var.subnet_prefixes.function]
  service_endpoints    = local.service_endpoints

  delegation {
    name = "flex-consumption"

    service_delegation {
      # Azure compares this name with its case.
      name    = "Microsoft.App/environments"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }
}

resource "azurerm_subnet" "endpoints" {
  count = var.subnet_prefixes.endpoints == null ? 0 : 1

  name                              = "${var.name}-endpoints"
  virtual_network_name              = local.virtual_network.name
  resource_group_name               = local.virtual_network.resource_group_name
  address_prefixes                  = [var.subnet_prefixes.endpoints]
  default_outbound_access_enabled   = false
  private_endpoint_network_policies = "Enabled"
}

resource "azurerm_private_dns_zone" "this" {
  for_each = var.private_dns_zones

  name                = each.value
  resource_group_name = var.resource_group_name
  tags                = var.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  for_each = azurerm_private_dns_zone.this

  name                  = "${var.name}-link"
  resource_group_name   = var.resource_group_name
  private_dns_zone_name = each.value.name
  virtual_network_id    = local.virtual_network.id
  tags                  = var.tags
}
