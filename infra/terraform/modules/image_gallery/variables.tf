variable "name" {
  description = "Beginning of every name in here."
  type        = string
  nullable    = false
}

variable "location" {
  description = "Azure region of the gallery; its versions are copied to every region of the pool."
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
