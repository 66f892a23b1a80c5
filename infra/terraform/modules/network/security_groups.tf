# The VMs: the app calls the agents, and nobody else calls anything.
resource "azurerm_network_security_group" "gpu" {
  name                = "${var.name}-gpu-nsg"
  location            = var.location
  resource_group_name = var.resource_group_name
  tags                = var.tags

  security_rule {
    name                       = "allow-agent-from-function"
    description                = "Plain HTTP with a bearer token, within the network only."
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefix      = var.agent_callers
    source_port_range          = "*"
    destination_address_prefix = var.subnet_prefixes.gpu
    destination_port_range     = tostring(var.agent_port)
  }

  security_rule {
    name                       = "deny-inbound"
    description                = "Azure's own rules would let the whole network in."
    priority                   = 4096
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_address_prefix      = "*"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }

  # What an image holds is complete: a VM needs these and the endpoints within the network.
  dynamic "security_rule" {
    for_each = { AzureResourceManager = 100, Storage = 110 }

    content {
      name                       = "allow-${lower(security_rule.key)}"
      priority                   = security_rule.value
      direction                  = "Outbound"
      access                     = "Allow"
      protocol                   = "Tcp"
      source_address_prefix      = var.subnet_prefixes.gpu
      source_port_range          = "*"
      destination_address_prefix = security_rule.key
      destination_port_range     = "443"
    }
  }

  security_rule {
    name                       = "deny-internet"
    priority                   = 4096
    direction                  = "Outbound"
    access                     = "Deny"
    protocol                   = "*"
    source_address_prefix      = "*"
    source_port_range          = "*"
    destination_address_prefix = "Internet"
    destination_port_range     = "*"
  }
}

resource "azurerm_subnet_network_security_group_association" "gpu" {
  subnet_id                 = azurerm_subnet.gpu.id
  network_security_group_id = azurerm_network_security_group.gpu.id
}

# The app's side of its integration takes no calls: those come in through Azure's front end.
resource "azurerm_network_security_group" "function" {
  count = var.subnet_prefixes.function == null ? 0 : 1

  name                = "${var.name}-function-nsg"
  location            = var.location
  resource_group_name = var.resource_group_name
  tags                = var.tags

  security_rule {
    name                       = "deny-inbound"
    priority                   = 4096
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_address_prefix      = "*"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }
}

resource "azurerm_subnet_network_security_group_association" "function" {
  count = var.subnet_prefixes.function == null ? 0 : 1

  subnet_id                 = azurerm_subnet.function[0].id
  network_security_group_id = azurerm_network_security_group.function[0].id
}

resource "azurerm_network_security_group" "endpoints" {
  count = var.subnet_prefixes.endpoints == null ? 0 : 1

  name                = "${var.name}-endpoints-nsg"
  location            = var.location
  resource_group_name = var.resource_group_name
  tags                = var.tags

  security_rule {
    name                       = "allow-https-from-network"
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefix      = "VirtualNetwork"
    source_port_range          = "*"
    destination_address_prefix = var.subnet_prefixes.endpoints
    destination_port_range     = "443"
  }

  security_rule {
    name                       = "deny-inbound"
    priority                   = 4096
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_address_prefix      = "*"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }
}

resource "azurerm_subnet_network_security_group_association" "endpoints" {
  count = var.subnet_prefixes.endpoints == null ? 0 : 1

  subnet_id                 = azurerm_subnet.endpoints[0].id
  network_security_group_id = azurerm_network_security_group.endpoints[0].id
}
