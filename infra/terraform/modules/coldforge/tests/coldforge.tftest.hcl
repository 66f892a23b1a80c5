mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  name                 = "cf-test"
  subscription_id      = "00000000-0000-0000-0000-000000000000"
  tenant_id            = "00000000-0000-0000-0000-000000000000"
  home_region          = "eastus"
  admin_ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOyGT+mbU5cEuIcqxZEGfvItg2qNlCCH8tuidLMB6+bl"
  alert_emails         = ["ops@example.com"]
  budget = {
    monthly_usd    = 200
    starts_on      = "2026-12-01"
    contact_emails = ["ops@example.com"]
  }
  regions = {
    eastus = {
      address_space = "10.60.0.0/16"
      vms = {
        a100-1 = { host_number = 10, preference = 20, price_per_hour_usd = 3.673, image_version = "1.4.0" }
        a100-2 = { host_number = 11, preference = 10, price_per_hour_usd = 3.673, image_version = "1.4.0" }
      }
    }
    southcentralus = {
      address_space = "10.61.0.0/16"
      vms = {
        h100-1 = { size = "Standard_NC40ads_H100_v5", host_number = 10, preference = 15, price_per_hour_usd = 6.98, image_version = "1.4.0" }
      }
    }
  }
}

run "the_app_is_told_of_all_vms_in_order_of_preference" {
  command = plan

  assert {
    condition     = [for vm in output.vms : vm.name] == ["cf-test-a100-2", "cf-test-h100-1", "cf-test-a100-1"]
    error_message = "VMs are missing or would be woken in another order."
  }

  assert {
    condition     = [for vm in output.vms : vm.agent_url] == ["http://10.60.0.11:8470", "http://10.61.0.10:8470", "http://10.60.0.10:8470"]
    error_message = "A VM's address is not the one that the app is told."
  }
}

run "the_doctor_learns_which_image_each_vm_should_have" {
  command = plan

  assert {
    condition     = output.image_versions == { cf-test-a100-1 = "1.4.0", cf-test-a100-2 = "1.4.0", cf-test-h100-1 = "1.4.0" }
    error_message = "A VM with an old image would not be noticed."
  }
}

run "vms_elsewhere_are_reached_over_peered_networks" {
  command = plan

  assert {
    condition     = keys(azurerm_virtual_network_peering.to_home) == ["southcentralus"] && keys(azurerm_virtual_network_peering.from_home) == ["southcentralus"]
    error_message = "The app can't reach the VMs of a further region."
  }

  assert {
    condition     = keys(azurerm_private_dns_zone_virtual_network_link.elsewhere) == ["southcentralus privatelink.vaultcore.azure.net"]
    error_message = "VMs of a further region can't find the vault."
  }
}

run "the_vms_are_apart_from_what_the_app_may_not_touch" {
  command = plan

  assert {
    condition     = toset([for vm in output.vms : vm.resource_group]) == toset(["cf-test-vms-eastus-rg", "cf-test-vms-southcentralus-rg"]) && output.resource_group_name == "cf-test-rg"
    error_message = "The role to start and stop VMs reaches more than the pool."
  }
}

run "whoever_may_not_give_roles_can_apply_the_rest" {
  command = plan

  variables {
    assign_roles = false
  }

  assert {
    condition     = output.role_assignments == null && keys(output.roles_input.vms) == ["a100-1", "a100-2", "h100-1"]
    error_message = "Roles are given all the same, or the output for whoever gives them is not whole."
  }
}

run "what_exists_is_used_and_not_created" {
  command = plan

  variables {
    existing = {
      resource_group = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/ours", name = "ours" }
      workspace_id   = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/hub/providers/Microsoft.OperationalInsights/workspaces/hub-logs"
      storage_account = {
        id             = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/data/providers/Microsoft.Storage/storageAccounts/ourdata"
        name           = "ourdata"
        blob_endpoint  = "https://ourdata.blob.core.windows.net/"
        queue_endpoint = "https://ourdata.queue.core.windows.net/"
        table_endpoint = "https://ourdata.table.core.windows.net/"
      }
      virtual_network = {
        id                  = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub-vnet"
        name                = "hub-vnet"
        resource_group_name = "hub"
        subnet_prefixes     = { gpu = "10.9.0.0/24", function = "10.9.1.0/24", endpoints = "10.9.2.0/24" }
      }
    }
  }

  assert {
    condition     = length(azurerm_resource_group.home) == 0 && output.resource_group_name == "ours" && output.storage_account_name == "ourdata"
    error_message = "A resource group or an account is created, and destroy would remove it."
  }

  assert {
    condition     = module.network["eastus"].virtual_network.name == "hub-vnet" && module.network["eastus"].gpu_subnet.prefix == "10.9.0.0/24"
    error_message = "The subnets are not in the network that was named."
  }
}

run "the_pools_settings_reach_app_and_agents" {
  command = plan

  variables {
    pool = { idle_window_s = 600, slots_per_vm = 2 }
  }

  assert {
    condition     = module.control_plane.settings.IDLE_WINDOW_S == "600" && module.control_plane.settings.SLOTS_PER_VM == "2"
    error_message = "The app goes on with its defaults."
  }
}

run "whoever_gives_the_roles_apart_learns_the_tenant" {
  command = plan

  assert {
    condition     = output.tenant_id == var.tenant_id
    error_message = "infra/terraform/roles would be applied to the tenant that the login happens to be in."
  }
}

run "refuses_a_misspelt_setting_of_the_pool" {
  command = plan

  variables {
    pool = { idle_windows_s = 600 }
  }

  expect_failures = [var.pool]
}

run "takes_the_shortest_uptime_in_which_a_job_can_end" {
  command = plan

  variables {
    pool   = { start_timeout_s = 600, job_timeout_s = 3000 }
    agents = { max_uptime_s = 4290 }
  }
}

run "refuses_an_uptime_that_cuts_jobs_off" {
  command = plan

  variables {
    pool   = { start_timeout_s = 600, job_timeout_s = 3000 }
    agents = { max_uptime_s = 4289 }
  }

  expect_failures = [var.agents]
}

run "refuses_a_switch_that_ends_a_cold_start_that_the_app_waits_for" {
  command = plan

  variables {
    pool = { start_timeout_s = 1800 }
  }

  expect_failures = [var.agents]
}

run "refuses_a_lease_that_ends_between_two_looks" {
  command = plan

  variables {
    pool = { lease_s = 100 }
  }

  expect_failures = [var.pool]
}

run "refuses_networks_that_overlap" {
  command = plan

  variables {
    regions = {
      eastus         = { address_space = "10.60.0.0/16" }
      southcentralus = { address_space = "10.60.0.0/16" }
    }
  }

  expect_failures = [var.regions]
}

run "refuses_two_vms_of_one_name" {
  command = plan

  variables {
    regions = {
      eastus         = { address_space = "10.60.0.0/16", vms = { gpu-1 = { host_number = 10, price_per_hour_usd = 3.673, image_version = "1.4.0" } } }
      southcentralus = { address_space = "10.61.0.0/16", vms = { gpu-1 = { host_number = 10, price_per_hour_usd = 3.673, image_version = "1.4.0" } } }
    }
  }

  expect_failures = [var.regions]
}

run "refuses_a_home_without_a_network" {
  command = plan

  variables {
    home_region = "westus3"
  }

  expect_failures = [var.regions]
}
