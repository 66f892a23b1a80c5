mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  name                = "cf"
  location            = "eastus"
  resource_group_name = "cf-vms-rg"
  subnet = {
    id     = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Network/virtualNetworks/cf-vnet/subnets/gpu"
    prefix = "10.60.0.0/20"
  }
  vms = {
    a100-1 = { host_number = 10, zone = "2", preference = 7, price_per_hour_usd = 3.673, image_version = "1.4.0" }
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

run "no_vm_has_a_public_address" {
  command = plan

  assert {
    condition     = alltrue([for nic in azurerm_network_interface.this : nic.ip_configuration[0].public_ip_address_id == null])
    error_message = "A VM can be reached from the internet."
  }
}

run "the_app_knows_a_vm_by_an_address_that_it_keeps" {
  command = plan

  assert {
    condition     = azurerm_network_interface.this["a100-1"].ip_configuration[0].private_ip_address_allocation == "Static" && azurerm_network_interface.this["a100-1"].ip_configuration[0].private_ip_address == "10.60.0.10"
    error_message = "The address may be another one after a deallocation."
  }

  assert {
    condition = output.candidates["a100-1"] == {
      preference         = 7
      name               = "cf-a100-1"
      resource_group     = "cf-vms-rg"
      size               = "Standard_NC24ads_A100_v4"
      region             = "eastus"
      zone               = "2"
      price_per_hour_usd = 3.673
      agent_url          = "http://10.60.0.10:8470"
    }
    error_message = "The app is told something else of the VM than what was asked for."
  }
}

run "a_vm_can_be_deallocated_and_starts_with_secure_boot" {
  command = plan

  assert {
    condition     = length(azurerm_linux_virtual_machine.this["a100-1"].os_disk[0].diff_disk_settings) == 0
    error_message = "A VM whose disk is on the host's own drive can't be deallocated."
  }

  assert {
    condition     = azurerm_linux_virtual_machine.this["a100-1"].secure_boot_enabled && azurerm_linux_virtual_machine.this["a100-1"].vtpm_enabled
    error_message = "A VM boots whatever is on its disk."
  }
}

run "nobody_logs_in_with_a_password_or_installs_by_extension" {
  command = plan

  assert {
    condition     = azurerm_linux_virtual_machine.this["a100-1"].disable_password_authentication && azurerm_linux_virtual_machine.this["a100-1"].allow_extension_operations == false
    error_message = "A VM takes passwords or extensions."
  }
}

run "each_vm_has_an_identity_of_its_own_and_no_other" {
  command = plan

  variables {
    vms = {
      a100-1 = { host_number = 10, price_per_hour_usd = 3.673, image_version = "1.4.0" }
      a100-2 = { host_number = 11, price_per_hour_usd = 3.673, image_version = "1.4.0" }
    }
  }

  assert {
    condition     = toset([for identity in azurerm_user_assigned_identity.vm : identity.name]) == toset(["cf-a100-1-id", "cf-a100-2-id"])
    error_message = "VMs share an identity, so one may switch off the other."
  }

  assert {
    condition     = alltrue([for vm in azurerm_linux_virtual_machine.this : vm.identity[0].type == "UserAssigned" && length(vm.identity[0].identity_ids) == 1])
    error_message = "A VM has more than the one identity that the switch and the agent ask for by its client id."
  }
}

run "agent_and_switch_learn_their_settings_without_secrets" {
  command = plan

  assert {
    condition     = jsondecode(base64decode(azurerm_linux_virtual_machine.this["a100-1"].user_data)).settings.GPU_AGENT_VM_NAME == output.candidates["a100-1"].name
    error_message = "Agent and app call the VM by different names."
  }

  assert {
    condition     = jsondecode(base64decode(azurerm_linux_virtual_machine.this["a100-1"].user_data)).settings.GPU_AGENT_HOST == "10.60.0.10"
    error_message = "The agent listens where the app does not ask."
  }

  assert {
    condition     = alltrue([for url in values(jsondecode(base64decode(azurerm_linux_virtual_machine.this["a100-1"].user_data)).secrets) : startswith(url, "https://cf-123456.vault.azure.net/secrets/")])
    error_message = "User data, which every process on a VM can read, holds a secret."
  }
}

run "the_image_is_the_version_that_was_named" {
  command = plan

  assert {
    condition     = data.azurerm_shared_image_version.this["1.4.0"].name == "1.4.0" && azurerm_linux_virtual_machine.this["a100-1"].source_image_id == data.azurerm_shared_image_version.this["1.4.0"].id
    error_message = "The VM boots from another image."
  }
}

run "azure_stops_no_vm_by_the_clock_unless_asked_to" {
  command = plan

  assert {
    condition     = length(azurerm_dev_test_global_vm_shutdown_schedule.this) == 0
    error_message = "A VM would be stopped in the middle of a job."
  }
}

run "azure_stops_vms_at_the_time_that_was_asked_for" {
  command = plan

  variables {
    daily_stop_at = "0330"
  }

  assert {
    condition     = azurerm_dev_test_global_vm_shutdown_schedule.this["a100-1"].daily_recurrence_time == "0330"
    error_message = "The schedule is at another time."
  }
}

run "refuses_the_european_union_without_a_licence" {
  command = plan

  variables {
    location = "West Europe"
  }

  expect_failures = [var.location]
}

run "refuses_the_united_kingdom_without_a_licence" {
  command = plan

  variables {
    location = "uksouth"
  }

  expect_failures = [var.location]
}

run "refuses_south_korea_without_a_licence" {
  command = plan

  variables {
    location = "koreacentral"
  }

  expect_failures = [var.location]
}

run "takes_the_european_union_with_a_licence" {
  command = plan

  variables {
    location        = "westeurope"
    hunyuan_licence = "TC-2026-0815"
  }

  assert {
    condition     = azurerm_linux_virtual_machine.this["a100-1"].location == "westeurope"
    error_message = "The VM is somewhere else."
  }
}

run "takes_a_european_region_outside_of_the_union" {
  command = plan

  variables {
    location = "switzerlandnorth"
  }

  assert {
    condition     = azurerm_linux_virtual_machine.this["a100-1"].location == "switzerlandnorth"
    error_message = "The VM is somewhere else."
  }
}

run "refuses_a_size_that_the_image_is_not_built_for" {
  command = plan

  variables {
    vms = { big = { size = "Standard_NC48ads_A100_v4", host_number = 10, price_per_hour_usd = 9.554, image_version = "1.4.0" } }
  }

  expect_failures = [var.vms]
}

run "refuses_two_vms_at_one_address" {
  command = plan

  variables {
    vms = {
      a100-1 = { host_number = 10, price_per_hour_usd = 3.673, image_version = "1.4.0" }
      a100-2 = { host_number = 10, price_per_hour_usd = 3.673, image_version = "1.4.0" }
    }
  }

  expect_failures = [var.vms]
}

run "refuses_an_address_that_azure_keeps" {
  command = plan

  variables {
    vms = { a100-1 = { host_number = 3, price_per_hour_usd = 3.673, image_version = "1.4.0" } }
  }

  expect_failures = [var.vms]
}

run "refuses_an_image_version_that_moves" {
  command = plan

  variables {
    vms = { a100-1 = { host_number = 10, price_per_hour_usd = 3.673, image_version = "latest" } }
  }

  expect_failures = [var.vms]
}

run "refuses_a_switch_that_ends_cold_starts" {
  command = plan

  variables {
    switch = { boot_grace_s = 120 }
  }

  expect_failures = [var.switch]
}

run "refuses_an_uptime_without_bound" {
  command = plan

  variables {
    switch = { max_uptime_s = 31536000 }
  }

  expect_failures = [var.switch]
}
