mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

run "an_image_starts_with_secure_boot_on_a_machine_of_generation_two" {
  command = plan

  variables {
    name                = "cf-dev"
    location            = "eastus"
    resource_group_name = "cf-rg"
  }

  assert {
    condition     = azurerm_shared_image.gpu.hyper_v_generation == "V2" && azurerm_shared_image.gpu.trusted_launch_supported
    error_message = "A VM of this image could not start with Trusted Launch."
  }

  assert {
    condition     = azurerm_shared_image_gallery.this.name == "cf_dev_images"
    error_message = "Azure refuses hyphens in a gallery's name."
  }
}
