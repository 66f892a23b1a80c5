output "image" {
  description = "Image definition that `make image` publishes to: `name`, `gallery_name`, `resource_group_name`."
  value = {
    name                = azurerm_shared_image.gpu.name
    gallery_name        = azurerm_shared_image_gallery.this.name
    resource_group_name = azurerm_shared_image.gpu.resource_group_name
  }
}
