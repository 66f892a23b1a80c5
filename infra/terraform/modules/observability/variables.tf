variable "name" {
  description = "Beginning of every name in here."
  type        = string
  nullable    = false
}

variable "location" {
  description = "Azure region of workspace and alerts."
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

variable "existing_workspace_id" {
  description = "Log Analytics workspace to report to instead of creating one."
  type        = string
  default     = null
}

variable "retention_days" {
  description = "Days for which logs are kept; the first 30 are part of the price of their ingestion, about 2.76 USD a GB."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.retention_days >= 30 && var.retention_days <= 730
    error_message = "Keep logs for 30 to 730 days: fewer would cost the same."
  }
}

variable "daily_quota_gb" {
  description = "Gigabytes of logs a day above which the workspace takes no more, as a bound on its price."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.daily_quota_gb > 0
    error_message = "State a quota above 0: an error in a loop would otherwise log without bound."
  }
}

variable "alert_emails" {
  description = "Who is told of a VM that is on for nothing, of failed starts and of failed jobs."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "Name at least one address: an alert that tells nobody is none."
  }
}

variable "existing_action_group_ids" {
  description = "Action groups of yours that are told besides, such as a pager's: e-mail alone wakes nobody."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "watched_resource_group_ids" {
  description = "Resource groups of the VMs, by region: failed starts in them raise an alert."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "diagnosed" {
  description = "What reports to the workspace, by a name of your choice: `id`, and either log `categories` or `metrics` or both."
  type = map(object({
    id         = string
    categories = optional(list(string), [])
    metrics    = optional(bool, false)
  }))
  default  = {}
  nullable = false
}

variable "idle_alert_minutes" {
  description = "Minutes that a VM may be up with no job on it before somebody is told: longer than the idle window and a cold start together."
  type        = number
  default     = 45
  nullable    = false

  validation {
    condition     = contains([30, 45, 60, 120, 180, 240, 300, 360], var.idle_alert_minutes)
    error_message = "Choose 30, 45, 60, 120, 180, 240, 300 or 360 minutes: alerts look back over no other time."
  }
}
