variable "subscription_id" {
  description = "Subscription in which the image is built and published."
  type        = string
}

variable "location" {
  description = "Azure region of the build; the gallery's own is best."
  type        = string
}

variable "gallery_resource_group" {
  description = "Resource group of the gallery, which also holds the managed image on the way there."
  type        = string
}

variable "gallery_name" {
  description = "Compute gallery that the image is published to (Terraform's output `image`)."
  type        = string
}

variable "gallery_image" {
  description = "Image definition in the gallery: Gen2, x64, trusted launch supported."
  type        = string
}

variable "image_version" {
  description = "Version to publish, as major.minor.patch. Terraform gives it to a VM, and the agent reports it."
  type        = string
}

variable "replication_regions" {
  description = "Regions of the GPU pool: a VM boots only from a copy in its own region."
  type        = list(string)
}

variable "build_vm_size" {
  description = "Size of the VM that builds. With a GPU size the checks run a job on the GPU, too."
  type        = string
  default     = "Standard_D16ads_v5"
}

variable "os_disk_gb" {
  description = "Size of the disk in GB: 15 for the system, 12 for Python, 25 for the weights, and room to work."
  type        = number
  default     = 128
}

variable "repository" {
  description = "Root of the checkout whose agent goes into the image."
  type        = string
  default     = ".."
}
