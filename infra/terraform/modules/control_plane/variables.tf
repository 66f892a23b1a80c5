variable "name" {
  description = "Name of the function app, unique in all of Azure. Longer ones share a host id with their likes."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "Name the app in 3 to 32 small letters, digits and hyphens: Functions makes the host id of the first 32."
  }
}

variable "location" {
  description = "Azure region of the app."
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

variable "subscription_id" {
  description = "Subscription of the GPU VMs."
  type        = string
  nullable    = false
}

variable "identity" {
  description = "User-assigned identity that the app acts as: `id`, `client_id`."
  type = object({
    id        = string
    client_id = string
  })
  nullable = false
}

variable "subnet_id" {
  description = "Subnet of the app, delegated to Microsoft.App/environments and used by nothing else."
  type        = string
  nullable    = false
}

variable "storage" {
  description = "The storage account, and the container of the app's package."
  type = object({
    name                     = string
    blob_endpoint            = string
    table_endpoint           = string
    deployment_container_url = string
  })
  nullable = false
}

variable "storage_access" {
  description = "Whether callers follow links to models (`identity_and_sas_only`) or get them through the app (`private`)."
  type        = string
  default     = "identity_and_sas_only"
  nullable    = false

  validation {
    condition     = contains(["identity_and_sas_only", "private"], var.storage_access)
    error_message = "Choose identity_and_sas_only or private."
  }
}

variable "vault_url" {
  description = "Key Vault that holds the secrets."
  type        = string
  nullable    = false
}

variable "application_insights_connection_string" {
  description = "Where the app reports to. Its key opens nothing: reports are accepted from identities only."
  type        = string
  nullable    = false
}

variable "vms" {
  description = "The VMs that may be woken, in order of preference."
  type = list(object({
    name               = string
    resource_group     = string
    size               = string
    region             = string
    zone               = string
    price_per_hour_usd = number
    agent_url          = string
  }))
  nullable = false
}

variable "pool" {
  description = "How the pool behaves; docs/settings.md describes each under its name in capitals."
  type = object({
    agent_unreachable_s  = optional(number, 60)
    idle_window_s        = optional(number, 300)
    job_timeout_s        = optional(number, 1800)
    lease_s              = optional(number, 900)
    look_awake_s         = optional(number, 60)
    max_failed_wakes     = optional(number, 3)
    max_open_jobs        = optional(number, 5000)
    ready_poll_s         = optional(number, 2)
    reconciler_overdue_s = optional(number, 300)
    slots_per_vm         = optional(number, 4)
    start_timeout_s      = optional(number, 1200)
    start_within_s       = optional(number, 86400)
    wake_poll_s          = optional(number, 10)
    warm_windows = optional(list(object({
      days      = optional(string, "mon-sun")
      from      = string
      to        = string
      time_zone = string
      vms       = optional(number, 1)
    })), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.pool.idle_window_s >= 300
    error_message = "Let a VM idle for 300 seconds or more: shorter than a cold start, the window costs more than it saves."
  }

  validation {
    condition     = var.pool.start_timeout_s >= 600
    error_message = "Give a VM 600 seconds or more to become ready: an alarm before a slow cold start ends would stop a sound VM."
  }

  validation {
    condition     = var.pool.lease_s >= 600
    error_message = "Lease for 600 seconds or more: a VM must outlast a redeployment of the app."
  }

  validation {
    condition     = var.pool.wake_poll_s >= 6
    error_message = "Look at a starting VM every 6 seconds or less often: Azure answers 12 such questions a minute for each VM."
  }
}

variable "expose_durable_urls" {
  description = "Whether answers carry the Functions host's own URLs, which reach every instance: for a trusted backend only."
  type        = bool
  default     = false
  nullable    = false
}

variable "image_url_allowed_hosts" {
  description = "`host:port` of the image servers with private addresses that an image URL may name."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "always_ready_instances" {
  description = "Instances of the Durable part that never sleep: 0, or 1 for about 20 USD a month."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = contains([0, 1], var.always_ready_instances)
    error_message = "Keep 0 or 1 instance ready: the pool has one partition, so a second one would do nothing."
  }
}

variable "maximum_instances" {
  description = "Most instances of the app, 40 to 1000."
  type        = number
  default     = 40
  nullable    = false

  validation {
    condition     = var.maximum_instances >= 40 && var.maximum_instances <= 1000
    error_message = "Allow 40 to 1000 instances: Flex Consumption accepts nothing else."
  }
}

variable "instance_memory_mb" {
  description = "Memory of an instance, 2048 or 4096 MB. With 4096, an instance costs twice as much for each second that it runs."
  type        = number
  default     = 2048
  nullable    = false

  validation {
    condition     = contains([2048, 4096], var.instance_memory_mb)
    error_message = "Give an instance 2048 or 4096 MB: the smallest size of Flex Consumption does not hold large images."
  }
}

variable "max_image_mb" {
  description = "Megabytes that the file of an image may have."
  type        = number
  default     = 40
  nullable    = false

  validation {
    condition     = var.max_image_mb >= 1 && var.max_image_mb <= 70 && floor(var.max_image_mb) == var.max_image_mb
    error_message = "Take whole megabytes from 1 to 70: a request has 100 MB at most, and base64 makes four bytes of three."
  }
}

variable "max_image_megapixels" {
  description = "Megapixels of an image that is decoded at full size. Instances of 2048 MB decode one of 64."
  type        = number
  default     = 64
  nullable    = false

  validation {
    condition     = var.max_image_megapixels >= 1 && floor(var.max_image_megapixels) == var.max_image_megapixels
    error_message = "Take whole megapixels, 1 or more."
  }
}

variable "more_settings" {
  description = "Further app settings; they win over those made here. No secrets."
  type        = map(string)
  default     = {}
  nullable    = false
}
