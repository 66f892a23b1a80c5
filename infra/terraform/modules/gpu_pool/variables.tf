variable "name" {
  description = "Beginning of every name in here."
  type        = string
  nullable    = false
}

variable "location" {
  description = "Azure region of these VMs."
  type        = string
  nullable    = false

  # The regions of the European Union, the United Kingdom and South Korea, as of November 2026.
  validation {
    condition = var.hunyuan_licence != "" || !contains([
      "austriaeast", "belgiumcentral", "denmarkeast", "finlandcentral", "francecentral", "francesouth", "germanynorth",
      "germanywestcentral", "greececentral", "italynorth", "koreacentral", "koreasouth", "northeurope", "polandcentral",
      "spaincentral", "swedencentral", "swedensouth", "uksouth", "ukwest", "westeurope",
    ], lower(replace(var.location, " ", "")))
    error_message = "The Hunyuan3D community licence does not extend to the European Union, the United Kingdom and South Korea: choose another region, or state a licence of your own in hunyuan_licence."
  }
}

variable "hunyuan_licence" {
  description = "Your own licence from Tencent for regions that the community licence excludes, by number or date; empty when there is none."
  type        = string
  default     = ""
  nullable    = false
}

variable "resource_group_name" {
  description = "Resource group of the VMs. The app may start and stop every VM in it, so it should hold no others."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "subnet" {
  description = "Subnet of the VMs: `id`, `prefix`."
  type = object({
    id     = string
    prefix = string
  })
  nullable = false
}

variable "vms" {
  description = <<-EOT
    The VMs by name. `size` is NC24ads A100 v4 or NC40ads H100 v5; `zone` pins one (stock differs by zone, and another
    zone means another VM and disk), null lets Azure choose; `host_number` is the VM's place in the subnet, for life;
    `preference` orders the VMs, the lowest is woken first; `image_version` is used when the VM is created or replaced.
    Each costs about 38 USD a month for its disk (P15) while it sleeps.
  EOT
  type = map(object({
    size               = optional(string, "Standard_NC24ads_A100_v4")
    zone               = optional(string)
    host_number        = number
    preference         = optional(number, 100)
    price_per_hour_usd = number
    image_version      = string
    os_disk_gb         = optional(number, 256)
  }))
  nullable = false

  validation {
    condition     = alltrue([for vm in var.vms : contains(["Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5"], vm.size)])
    error_message = "Choose Standard_NC24ads_A100_v4 or Standard_NC40ads_H100_v5: an agent owns one GPU, the image is built for these two, and a VM with two GPUs costs more than two VMs."
  }

  validation {
    condition     = alltrue([for vm in var.vms : vm.zone == null || contains(["1", "2", "3"], coalesce(vm.zone, "1"))])
    error_message = "Name a zone by 1, 2 or 3, or leave it out."
  }

  validation {
    condition     = alltrue([for vm in var.vms : vm.host_number >= 4 && floor(vm.host_number) == vm.host_number]) && length(distinct([for vm in var.vms : vm.host_number])) == length(var.vms)
    error_message = "Give every VM a host_number of its own, 4 or more: Azure keeps the first four addresses of a subnet."
  }

  validation {
    condition     = alltrue([for vm in var.vms : vm.price_per_hour_usd > 0])
    error_message = "State what each VM costs an hour: the ledger and the order of preference count with it."
  }

  validation {
    condition     = alltrue([for vm in var.vms : can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", vm.image_version))])
    error_message = "Name an image version such as 1.4.0, never latest: two VMs of one pool must not run different agents by accident."
  }

  validation {
    condition     = alltrue([for name in keys(var.vms) : can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", name))])
    error_message = "Name every VM in 2 to 32 small letters, digits and hyphens: the name is its host name too."
  }

  validation {
    condition     = alltrue([for vm in var.vms : vm.os_disk_gb >= 128])
    error_message = "Give the disk 128 GB or more: the weights alone take a fourth of that."
  }
}

variable "image" {
  description = "Image definition that `make image` publishes to: `name`, `gallery_name`, `resource_group_name`."
  type = object({
    name                = string
    gallery_name        = string
    resource_group_name = string
  })
  nullable = false
}

variable "admin_ssh_public_key" {
  description = "Public key of the VMs' administrator. Azure asks for one; the network lets no SSH in."
  type        = string
  nullable    = false
}

variable "blob_endpoint" {
  description = "Blob service of the storage account, for the agents."
  type        = string
  nullable    = false
}

variable "vault_url" {
  description = "Key Vault that holds the agents' token."
  type        = string
  nullable    = false
}

variable "agent_port" {
  description = "TCP port of the agents."
  type        = number
  default     = 8470
  nullable    = false
}

variable "agent_settings" {
  description = "Further settings of agent and switch (docs/settings.md); they win over those made here. No secrets: every process on a VM can read them."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "slots_per_vm" {
  description = "Jobs that one VM holds at a time."
  type        = number
  default     = 4
  nullable    = false
}

variable "switch" {
  description = "How patient the dead-man's switch is, in seconds."
  type = object({
    max_uptime_s = optional(number, 43200)
    boot_grace_s = optional(number, 1200)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.switch.boot_grace_s >= 600
    error_message = "Give a VM 600 seconds or more from boot to its first lease: a shorter grace would end it during a cold start."
  }

  validation {
    condition     = var.switch.max_uptime_s >= 3600 && var.switch.max_uptime_s <= 604800
    error_message = "Cap a VM's uptime between an hour and a week: the cap ends jobs, and without it nothing bounds the bill."
  }
}

variable "daily_stop_at" {
  description = "Time of day (HHmm, UTC) at which Azure stops every VM whatever it does, as a last net; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.daily_stop_at == null || can(regex("^([01][0-9]|2[0-3])[0-5][0-9]$", var.daily_stop_at))
    error_message = "Give the time as HHmm, such as 0330."
  }
}
