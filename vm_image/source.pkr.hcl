source "azure-arm" "gpu" {
  # Whoever builds is logged in with `az login`; no credential is written anywhere.
  use_azure_cli_auth = true
  subscription_id    = var.subscription_id
  location           = var.location

  os_type         = "Linux"
  image_publisher = local.versions.ubuntu.publisher
  image_offer     = local.versions.ubuntu.offer
  image_sku       = local.versions.ubuntu.sku
  image_version   = local.versions.ubuntu.version
  vm_size         = var.build_vm_size
  os_disk_size_gb = var.os_disk_gb
  ssh_username    = "packer"

  # A managed image on the way, because 1.6.6 reaches a gallery by no other. The build VM therefore
  # has standard security; the VMs made from the image have Trusted Launch.
  managed_image_resource_group_name  = var.gallery_resource_group
  managed_image_name                 = "${var.gallery_image}-${var.image_version}"
  managed_image_storage_account_type = "Premium_LRS"

  shared_image_gallery_destination {
    subscription        = var.subscription_id
    resource_group      = var.gallery_resource_group
    gallery_name        = var.gallery_name
    image_name          = var.gallery_image
    image_version       = var.image_version
    replication_regions = var.replication_regions
  }

  # A version takes the time of its slowest copy.
  shared_image_gallery_timeout = "2h"

  azure_tags = {
    "coldforge-image" = var.image_version
  }
}
