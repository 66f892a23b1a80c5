variable "name" {
  description = "Name of the deployment, the beginning of every name in it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,16}[a-z0-9]$", var.name))
    error_message = "Name the deployment in 3 to 18 small letters, digits and hyphens."
  }
}

variable "subscription_id" {
  description = "Subscription that everything is in."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.subscription_id))
    error_message = "Give the subscription by its id: `az account show --query id` prints it."
  }
}

variable "tenant_id" {
  description = "Entra tenant of the subscription."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.tenant_id))
    error_message = "Give the tenant by its id: `az account show --query tenantId` prints it."
  }
}

variable "home_region" {
  description = "Azure region of the app, the storage account and the vault."
  type        = string
  nullable    = false
}

variable "regions" {
  description = "Regions of GPU VMs, the home region among them. Each further one has a network of its own, peered with home's, and its own quota, image copy and NAT gateway. `vms` as the module gpu_pool describes them; names are unique over all regions."
  type = map(object({
    address_space = string
    vms = optional(map(object({
      size               = optional(string, "Standard_NC24ads_A100_v4")
      zone               = optional(string)
      host_number        = number
      preference         = optional(number, 100)
      price_per_hour_usd = number
      image_version      = string
      os_disk_gb         = optional(number, 256)
    })), {})
  }))
  nullable = false

  validation {
    condition     = contains(keys(var.regions), var.home_region)
    error_message = "Name the home region among the regions, if only with its address_space."
  }

  validation {
    condition     = alltrue([for region in var.regions : try(tonumber(split("/", region.address_space)[1]) <= 20, false)])
    error_message = "Give every region an address space of /20 or more: three subnets are cut out of it."
  }

  validation {
    condition     = length(distinct([for region in var.regions : region.address_space])) == length(var.regions)
    error_message = "Give every region other addresses: peered networks must not overlap."
  }

  validation {
    condition     = length(distinct(flatten([for region in var.regions : keys(region.vms)]))) == length(flatten([for region in var.regions : keys(region.vms)]))
    error_message = "Name every VM differently, also in different regions: the pool tells them apart by name."
  }
}

variable "existing" {
  description = "What is there already and is used instead of being created, or, of `action_group_ids`, told of every alert besides `alert_emails`; `destroy` never removes it."
  type = object({
    resource_group = optional(object({ id = string, name = string }))
    virtual_network = optional(object({
      id                  = string
      name                = string
      resource_group_name = string
      subnet_prefixes     = object({ gpu = string, function = string, endpoints = string })
    }))
    storage_account = optional(object({
      id             = string
      name           = string
      blob_endpoint  = string
      queue_endpoint = string
      table_endpoint = string
    }))
    workspace_id     = optional(string)
    action_group_ids = optional(list(string), [])
  })
  default  = {}
  nullable = false
}

variable "hunyuan_licence" {
  description = "Your own licence from Tencent for regions that the Hunyuan3D community licence excludes, by number or date; empty when there is none."
  type        = string
  default     = ""
  nullable    = false
}

variable "admin_ssh_public_key" {
  description = "Public key of the VMs' administrator. Azure asks for one; the network lets no SSH in."
  type        = string
  nullable    = false
}

variable "storage_access" {
  description = "`identity_and_sas_only`: callers outside follow short-lived links to models. `private`: storage answers within the network only, for about 22 USD a month more, and models go through the app."
  type        = string
  default     = "identity_and_sas_only"
  nullable    = false
}

variable "storage_replication" {
  description = "Replication of the storage account: LRS, ZRS, GRS, GZRS, RAGRS or RAGZRS. From one with a Z to one without, or back, azurerm makes the account anew, without what is in it: `make apply` refuses that, and `az storage account migration start` converts it in place."
  type        = string
  default     = "ZRS"
  nullable    = false
}

variable "customer_managed_key" {
  description = "Your own key that encrypts the storage account in the place of Microsoft's: `key_id` without a version, `identity_id` of the user-assigned identity that may use it."
  type = object({
    key_id      = string
    identity_id = string
  })
  default = null
}

variable "retention_days" {
  description = "Days after which inputs, models and failed jobs are deleted."
  type        = number
  default     = 30
  nullable    = false
}

variable "way_out" {
  description = "`nat_gateway`, about 37 USD a month in every region also while all VMs sleep, or `existing`: how a VM reaches Azure Resource Manager to switch itself off."
  type        = string
  default     = "nat_gateway"
  nullable    = false
}

variable "pool" {
  description = "How the pool behaves: the object `pool` of the module control_plane."
  type        = any
  default     = {}
  nullable    = false

  # Terraform would drop a misspelt one in silence.
  validation {
    condition = length(setsubtract(keys(var.pool), [
      "agent_unreachable_s", "idle_window_s", "job_timeout_s", "lease_s", "look_awake_s", "max_failed_wakes",
      "max_open_jobs", "ready_poll_s", "reconciler_overdue_s", "slots_per_vm", "start_timeout_s", "start_within_s",
      "wake_poll_s", "warm_windows",
    ])) == 0
    error_message = "The pool has no setting of one of these names: ${join(", ", keys(var.pool))}. docs/settings.md has them, in capitals."
  }

  validation {
    condition     = try(var.pool.lease_s, 900) >= 2 * try(var.pool.look_awake_s, 60)
    error_message = "Set pool.lease_s to twice pool.look_awake_s or more: each look renews the leases, and a VM whose lease is over closes its door."
  }
}

variable "app" {
  description = "Further choices about the app, as the module control_plane describes them."
  type = object({
    always_ready_instances  = optional(number, 0)
    maximum_instances       = optional(number, 40)
    instance_memory_mb      = optional(number, 2048)
    max_image_mb            = optional(number, 40)
    max_image_megapixels    = optional(number, 64)
    expose_durable_urls     = optional(bool, false)
    image_url_allowed_hosts = optional(list(string), [])
    more_settings           = optional(map(string), {})
  })
  default  = {}
  nullable = false
}

variable "agents" {
  description = "Further choices about the VMs, as the module gpu_pool describes them."
  type = object({
    settings      = optional(map(string), {})
    max_uptime_s  = optional(number, 43200)
    boot_grace_s  = optional(number, 1200)
    daily_stop_at = optional(string)
  })
  default  = {}
  nullable = false

  # 690: the seconds until an offer is claimed, and those until a job is stopped that is over its time.
  validation {
    condition     = var.agents.max_uptime_s >= try(var.pool.start_timeout_s, 1200) + try(var.pool.job_timeout_s, 1800) + 690
    error_message = "Set agents.max_uptime_s to pool.start_timeout_s + pool.job_timeout_s + 690 or more: a shorter cap on uptime would cut jobs off."
  }

  validation {
    condition     = var.agents.boot_grace_s >= try(var.pool.start_timeout_s, 1200)
    error_message = "Set agents.boot_grace_s to pool.start_timeout_s or more: with less, a VM's switch ends a cold start that the app still waits for."
  }
}

variable "budget" {
  description = "`monthly_usd` at which `contact_emails` are told, counted from the month of the first apply, or from `starts_on`, the first of one."
  type = object({
    monthly_usd    = number
    starts_on      = optional(string)
    contact_emails = list(string)
  })
  nullable = false
}

variable "alert_emails" {
  description = "Who is told of a VM that is on for nothing, of failed starts and of failed jobs."
  type        = list(string)
  nullable    = false
}

variable "assign_roles" {
  description = "Whether this apply gives the roles too. Whoever runs it then needs User Access Administrator, for two of the roles are defined here; if not, such a person applies infra/terraform/roles."
  type        = bool
  default     = true
  nullable    = false
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
  nullable    = false
}
