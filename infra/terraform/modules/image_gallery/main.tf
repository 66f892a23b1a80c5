resource "azurerm_shared_image_gallery" "this" {
  # A gallery's name takes no hyphens.
  name                = replace("${var.name}_images", "-", "_")
  location            = var.location
  resource_group_name = var.resource_group_name
  tags                = var.tags
}

resource "azurerm_shared_image" "gpu" {
  name                                = "${var.name}-gpu"
  gallery_name                        = azurerm_shared_image_gallery.this.name
  location                            = var.location
  resource_group_name                 = var.resource_group_name
  os_type                             = "Linux"
  hyper_v_generation                  = "V2"
  architecture                        = "x64"
  trusted_launch_supported            = true
  accelerated_network_support_enabled = true
  tags                                = var.tags

  identifier {
    publisher = "coldforge"
    offer     = "gpu-agent"
    sku       = "a100-h100"
  }
}
