# A pool as it is, and what the next apply would do with it.
mock_provider "azurerm" {
  source = "../../mocks"
}

variables {
  name                = "cf"
  location            = "eastus"
  resource_group_name = "cf-vms-rg"
  subnet = {
    id     = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Network/virtualNetworks/cf-vnet/subnets/gpu"
    prefix = "10.60.0.0/20"
  }
  image = {
    name                = "cf-gpu"
    gallery_name        = "cf_images"
    resource_group_name = "cf-rg"
  }
  admin_ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOyGT+mbU5cEuIcqxZEGfvItg2qNlCCH8tuidLMB6+bl"
  blob_endpoint        = "https://cf123456.blob.core.windows.net/"
  vault_url            = "https://cf-123456.vault.azure.net/"
}

run "a_pool_of_one_vm" {
  variables {
    vms = { a100-1 = { host_number = 10, price_per_hour_usd = 3.673, image_version = "1.0.0" } }
  }

  assert {
    condition     = endswith(azurerm_linux_virtual_machine.this["a100-1"].source_image_id, "/versions/1.0.0")
    error_message = "The VM boots from another image."
  }
}

run "a_newer_image_and_another_key_replace_no_vm" {
  command = plan

  variables {
    vms                  = { a100-1 = { host_number = 10, price_per_hour_usd = 3.673, image_version = "1.1.0" } }
    admin_ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINkpihDRsHNYN9xL2F2sZBsPPO8npH5dU6VPLz9bL8/6"
  }

  override_data {
    target          = data.azurerm_shared_image_version.this
    override_during = plan
    values = {
      id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/mock-rg/providers/Microsoft.Compute/galleries/mock/images/mock/versions/1.1.0"
    }
  }

  assert {
    condition     = endswith(azurerm_linux_virtual_machine.this["a100-1"].source_image_id, "/versions/1.0.0")
    error_message = "An apply would replace a VM that nobody asked to roll, with the jobs on it."
  }

  assert {
    condition     = one(azurerm_linux_virtual_machine.this["a100-1"].admin_ssh_key).public_key == "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOyGT+mbU5cEuIcqxZEGfvItg2qNlCCH8tuidLMB6+bl"
    error_message = "An apply would replace a VM for the key of an administrator who can't log in anyway."
  }
}

run "another_vm_leaves_the_first_one_where_it_is" {
  command = plan

  variables {
    vms = {
      a100-0 = { host_number = 11, price_per_hour_usd = 3.673, image_version = "1.0.0" }
      a100-1 = { host_number = 10, price_per_hour_usd = 3.673, image_version = "1.0.0" }
    }
  }

  assert {
    condition     = azurerm_network_interface.this["a100-1"].ip_configuration[0].private_ip_address == "10.60.0.10"
    error_message = "A VM would get another address because one was added before it."
  }
}
