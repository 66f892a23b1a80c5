variable "name" {
  description = "Beginning of every name in here."
  type        = string
  nullable    = false
}

variable "location" {
  description = "Azure region of the network."
  type        = string
  nullable    = false
}

variable "resource_group_name" {
  description = "Resource group of what is created here."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "existing_virtual_network" {
  description = "Network to put the subnets into instead of creating one. It stays when these subnets are destroyed."
  type = object({
    id                  = string
    name                = string
    resource_group_name = string
  })
  default = null
}

variable "address_space" {
  description = "Addresses of the network when it is created, in CIDR form."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrnetmask(var.address_space))
    error_message = "Give the address space in CIDR form, such as 10.60.0.0/16."
  }
}

variable "subnet_prefixes" {
  description = "Addresses of the subnets. `function` and `endpoints` are left out in a region that only has GPU VMs."
  type = object({
    gpu       = string
    function  = optional(string)
    endpoints = optional(string)
  })
  nullable = false

  validation {
    condition     = alltrue([for prefix in values(var.subnet_prefixes) : prefix == null || can(cidrnetmask(prefix))])
    error_message = "Give every subnet in CIDR form, such as 10.60.1.0/24."
  }

  validation {
    condition     = var.subnet_prefixes.function == null || try(tonumber(split("/", var.subnet_prefixes.function)[1]) <= 27, false)
    error_message = "Give the function subnet a /27 or more: each instance of the app takes an address of it."
  }
}

variable "agent_callers" {
  description = "Addresses of the function subnet, the only ones that may call an agent, in CIDR form."
  type        = string
  nullable    = false

  validation {
    condition     = try(tonumber(split("/", var.agent_callers)[1]) >= 16, false)
    error_message = "Name the function subnet itself: the agents' port must not be open to more than a /16."
  }
}

variable "agent_port" {
  description = "TCP port of the agents."
  type        = number
  default     = 8470
  nullable    = false
}

variable "way_out" {
  description = <<-EOT
    How a GPU VM without a public address reaches Azure Resource Manager, without which the dead-man's switch cannot
    deallocate it. `nat_gateway` creates a NAT gateway and its address, about 37 USD a month (33 and 4) and 0.045 USD
    a GB, also while every VM sleeps. `existing` costs nothing here and relies on a route of the network's own, such
    as a hub's firewall.
  EOT
  type        = string
  default     = "nat_gateway"
  nullable    = false

  validation {
    condition     = contains(["nat_gateway", "existing"], var.way_out)
    error_message = "Choose nat_gateway or existing: with no way out, a VM that nobody looks after stays on and billed."
  }
}

variable "private_dns_zones" {
  description = "Private DNS zones of the services that are reached through private endpoints, linked to this network."
  type        = set(string)
  default     = []
  nullable    = false
}
