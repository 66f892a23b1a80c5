variable "subscription_id" {
  description = "Subscription that everything is in."
  type        = string
  nullable    = false
}

variable "tenant_id" {
  description = "Entra tenant of the subscription."
  type        = string
  nullable    = false
}

variable "admin_ssh_public_key" {
  description = "Public key of the VMs' administrator. Azure asks for one; the network lets no SSH in."
  type        = string
  nullable    = false
}

variable "contact_emails" {
  description = "Who is told of alerts and of the budget."
  type        = list(string)
  nullable    = false
}

variable "image_version" {
  description = "Version that `make image` published, such as 1.4.0; empty before the first one: then there are no VMs yet."
  type        = string
  default     = ""
  nullable    = false
}

variable "assign_roles" {
  description = "Whether this apply gives the roles too; otherwise a privileged person applies infra/terraform/roles."
  type        = bool
  default     = true
  nullable    = false
}

variable "hunyuan_licence" {
  description = "Your own licence from Tencent for regions that the Hunyuan3D community licence excludes; empty when there is none."
  type        = string
  default     = ""
  nullable    = false
}
