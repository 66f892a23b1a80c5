mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  name                = "cf"
  location            = "eastus"
  resource_group_name = "cf-rg"
  address_space       = "10.60.0.0/16"
  agent_callers       = "10.60.16.0/20"
  subnet_prefixes = {
    gpu       = "10.60.0.0/20"
    function  = "10.60.16.0/20"
    endpoints = "10.60.32.0/20"
  }
}

run "the_agents_port_is_open_to_the_function_subnet_alone" {
  command = plan

  assert {
    condition = [for rule in azurerm_network_security_group.gpu.security_rule : [rule.source_address_prefix, rule.destination_port_range, rule.protocol]
    if rule.direction == "Inbound" && rule.access == "Allow"] == [["10.60.16.0/20", "8470", "Tcp"]]
    error_message = "Something else than the function subnet may call a GPU VM, or on another port."
  }

  assert {
    condition     = one([for rule in azurerm_network_security_group.gpu.security_rule : rule.source_address_prefix if rule.direction == "Inbound" && rule.access == "Deny"]) == "*"
    error_message = "The rest of the network is let in by Azure's own rules."
  }
}

run "a_gpu_vm_reaches_azure_and_not_the_internet" {
  command = plan

  assert {
    condition = toset([for rule in azurerm_network_security_group.gpu.security_rule : rule.destination_address_prefix
    if rule.direction == "Outbound" && rule.access == "Allow"]) == toset(["AzureResourceManager", "Storage"])
    error_message = "A GPU VM may talk to more or less than Azure Resource Manager and Storage."
  }

  assert {
    condition     = one([for rule in azurerm_network_security_group.gpu.security_rule : rule.destination_address_prefix if rule.direction == "Outbound" && rule.access == "Deny"]) == "Internet"
    error_message = "A GPU VM may talk to the internet."
  }
}

run "a_gpu_vm_has_a_way_out_to_switch_itself_off" {
  command = plan

  assert {
    condition     = azurerm_subnet_nat_gateway_association.gpu[0].nat_gateway_id == azurerm_nat_gateway.this[0].id && azurerm_nat_gateway_public_ip_association.this[0].public_ip_address_id == azurerm_public_ip.way_out[0].id
    error_message = "The subnet of the VMs is not joined to a NAT gateway with an address."
  }

  assert {
    condition     = azurerm_subnet.gpu.default_outbound_access_enabled == false
    error_message = "Azure would hand out addresses of its own, which it retires."
  }
}

run "no_gateway_is_paid_for_where_the_network_has_its_own_way_out" {
  command = plan

  variables {
    way_out = "existing"
  }

  assert {
    condition     = length(azurerm_nat_gateway.this) == 0 && length(azurerm_public_ip.way_out) == 0
    error_message = "A NAT gateway is created although the network has a way out."
  }
}

run "the_function_subnet_is_the_apps_own_and_lets_nobody_in" {
  command = plan

  assert {
    condition     = azurerm_subnet.function[0].delegation[0].service_delegation[0].name == "Microsoft.App/environments"
    error_message = "Flex Consumption takes no subnet that is delegated to anything else."
  }

  assert {
    condition     = [for rule in azurerm_network_security_group.function[0].security_rule : rule.access] == ["Deny"]
    error_message = "Something may call into the function subnet."
  }
}

run "every_subnet_has_its_security_group" {
  command = plan

  assert {
    condition = alltrue([
      azurerm_subnet_network_security_group_association.gpu.network_security_group_id == azurerm_network_security_group.gpu.id,
      azurerm_subnet_network_security_group_association.function[0].network_security_group_id == azurerm_network_security_group.function[0].id,
      azurerm_subnet_network_security_group_association.endpoints[0].network_security_group_id == azurerm_network_security_group.endpoints[0].id,
    ])
    error_message = "A subnet is without its rules."
  }
}

run "an_existing_network_is_used_and_not_created" {
  command = plan

  variables {
    existing_virtual_network = {
      id                  = "/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub-vnet"
      name                = "hub-vnet"
      resource_group_name = "hub"
    }
  }

  assert {
    condition     = length(azurerm_virtual_network.this) == 0 && azurerm_subnet.gpu.virtual_network_name == "hub-vnet" && azurerm_subnet.gpu.resource_group_name == "hub"
    error_message = "The subnets are not in the network that was named, or destroy would remove it."
  }
}

run "a_region_of_vms_alone_has_one_subnet" {
  command = plan

  variables {
    subnet_prefixes = { gpu = "10.61.0.0/20" }
  }

  assert {
    condition     = length(azurerm_subnet.function) == 0 && length(azurerm_subnet.endpoints) == 0 && output.function_subnet_id == null
    error_message = "A region without the app has a subnet for it."
  }
}

run "refuses_to_open_the_agents_port_to_everybody" {
  command = plan

  variables {
    agent_callers = "0.0.0.0/0"
  }

  expect_failures = [var.agent_callers]
}

run "refuses_a_network_without_a_way_out" {
  command = plan

  variables {
    way_out = "none"
  }

  expect_failures = [var.way_out]
}

run "refuses_a_function_subnet_that_is_too_small" {
  command = plan

  variables {
    subnet_prefixes = { gpu = "10.60.0.0/20", function = "10.60.16.0/28" }
  }

  expect_failures = [var.subnet_prefixes]
}
