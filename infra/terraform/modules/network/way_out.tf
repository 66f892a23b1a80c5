# The address belongs to the NAT gateway; no VM has one.
resource "azurerm_public_ip" "way_out" {
  count = var.way_out == "nat_gateway" ? 1 : 0

  name                = "${var.name}-nat-ip"
  location            = var.location
  resource_group_name = var.resource_group_name
  allocation_method   = "Static"
  sku                 = "Standard"
  tags                = var.tags
}

resource "azurerm_nat_gateway" "this" {
  count = var.way_out == "nat_gateway" ? 1 : 0

  name                = "${var.name}-nat"
  location            = var.location
  resource_group_name = var.resource_group_name
  sku_name            = "Standard"
  tags                = var.tags
}

resource "azurerm_nat_gateway_public_ip_association" "this" {
  count = var.way_out == "nat_gateway" ? 1 : 0

  nat_gateway_id       = azurerm_nat_gateway.this[0].id
  public_ip_address_id = azurerm_public_ip.way_out[0].id
}

resource "azurerm_subnet_nat_gateway_association" "gpu" {
  count = var.way_out == "nat_gateway" ? 1 : 0

  subnet_id      = azurerm_subnet.gpu.id
  nat_gateway_id = azurerm_nat_gateway.this[0].id
}

# The app's webhooks then come from one address, which a receiver may allow.
resource "azurerm_subnet_nat_gateway_association" "function" {
  count = var.way_out == "nat_gateway" && var.subnet_prefixes.function != null ? 1 : 0

  subnet_id      = azurerm_subnet.function[0].id
  nat_gateway_id = azurerm_nat_gateway.this[0].id
}
