variable "name" {
  description = "Beginning of the private endpoint's name."
  type        = string
  nullable    = false
}

variable "vault_name" {
  description = "Name of the Key Vault, unique in all of Azure."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$", var.vault_name))
    error_message = "Name the vault in 3 to 24 letters, digits and hyphens, beginning with a letter."
  }
}

variable "location" {
  description = "Azure region of the vault."
  type        = string
  nullable    = false
}

variable "resource_group_name" {
  description = "Resource group of what is created here."
  type        = string
  nullable    = false
}

variable "tenant_id" {
  description = "Entra tenant whose identities may be given access."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "endpoint_subnet_id" {
  description = "Subnet of the private endpoint, about 7 USD a month."
  type        = string
  nullable    = false
}

variable "private_dns_zone_id" {
  description = "Private DNS zone privatelink.vaultcore.azure.net."
  type        = string
  nullable    = false
}
