variable "name" {
  description = "Name of the budget."
  type        = string
  nullable    = false
}

variable "subscription_id" {
  description = "Subscription that the deployment is in."
  type        = string
  nullable    = false
}

variable "resource_group_names" {
  description = "Resource groups whose costs are counted together."
  type        = list(string)
  nullable    = false
}

variable "monthly_usd" {
  description = "Costs in a month at which everybody is told, in the currency of the subscription. Azure counts hours late and stops nothing."
  type        = number
  nullable    = false

  validation {
    condition     = var.monthly_usd > 0
    error_message = "State a budget above 0: without one nobody hears of a VM that stays on."
  }
}

variable "starts_on" {
  description = "First day of the first month that counts, such as 2026-12-01; null for the month of the first apply."
  type        = string
  default     = null

  validation {
    condition     = var.starts_on == null || can(regex("^20[0-9]{2}-(0[1-9]|1[0-2])-01$", var.starts_on))
    error_message = "Begin with the first day of a month, such as 2026-12-01: Azure accepts no other."
  }
}

variable "contact_emails" {
  description = "Who is told."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.contact_emails) > 0
    error_message = "Name at least one address: a budget that tells nobody is none."
  }
}
