variable "name" {
  description = "Beginning of the names of the private endpoints."
  type        = string
  nullable    = false
}

variable "account_name" {
  description = "Name of the storage account, unique in all of Azure."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]{3,24}$", var.account_name))
    error_message = "Name the storage account in 3 to 24 small letters and digits."
  }
}

variable "location" {
  description = "Azure region of the account."
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

variable "existing_account" {
  description = "Account to put the containers and tables into instead of creating one. Its own settings are left alone; `coldforge doctor` says which of them do not fit."
  type = object({
    id             = string
    name           = string
    blob_endpoint  = string
    queue_endpoint = string
    table_endpoint = string
  })
  default = null
}

variable "replication" {
  description = "Replication of the account: LRS is the cheapest, ZRS survives the loss of a zone, GRS and GZRS the loss of a region. From one with a Z to one without, or back, azurerm makes the account anew, without what is in it."
  type        = string
  default     = "ZRS"
  nullable    = false

  validation {
    condition     = contains(["LRS", "ZRS", "GRS", "GZRS", "RAGRS", "RAGZRS"], var.replication)
    error_message = "Choose LRS, ZRS, GRS, GZRS, RAGRS or RAGZRS."
  }
}

variable "storage_access" {
  description = "`identity_and_sas_only`: callers outside follow short-lived links to models. `private`: the account answers within the network only, through three endpoints of about 7 USD a month each, and models go through the app."
  type        = string
  default     = "identity_and_sas_only"
  nullable    = false

  validation {
    condition     = contains(["identity_and_sas_only", "private"], var.storage_access)
    error_message = "Choose identity_and_sas_only or private; keys are off in both."
  }
}

variable "retention_days" {
  description = "Days after which inputs, models and failed jobs are deleted. Shorter than the app still shows a job, its links would lead nowhere."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.retention_days >= 2 && floor(var.retention_days) == var.retention_days
    error_message = "Keep jobs for 2 whole days or more: a job may wait for a day before it runs."
  }
}

variable "soft_delete_days" {
  description = "Days in which a deleted blob or container can be brought back."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.soft_delete_days >= 1 && var.soft_delete_days <= 365
    error_message = "Keep deleted blobs for 1 to 365 days."
  }
}

variable "endpoint_subnet_id" {
  description = "Subnet of the private endpoints, needed when `storage_access` is `private`."
  type        = string
  default     = null
}

variable "private_dns_zone_ids" {
  description = "Private DNS zones by name."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "customer_managed_key" {
  description = "Your own key that encrypts the account in the place of Microsoft's: `key_id` in a Key Vault, without its version so that it can be rotated, and `identity_id` of the user-assigned identity that may use it. Without the key, nothing in the account can be read."
  type = object({
    key_id      = string
    identity_id = string
  })
  default = null

  validation {
    condition     = var.customer_managed_key == null || can(regex("^https://[^/]+/keys/[^/]+$", var.customer_managed_key.key_id))
    error_message = "Name the key without a version, such as https://ours.vault.azure.net/keys/storage: a version would end with the key's next rotation."
  }
}
