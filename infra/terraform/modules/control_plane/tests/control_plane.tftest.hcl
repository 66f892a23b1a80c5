mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  name                = "cf-123456"
  location            = "eastus"
  resource_group_name = "cf-rg"
  subscription_id     = "00000000-0000-0000-0000-000000000000"
  identity = {
    id        = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/cf-app-id"
    client_id = "11111111-1111-1111-1111-111111111111"
  }
  subnet_id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Network/virtualNetworks/cf-vnet/subnets/function"
  storage = {
    name                     = "cf123456"
    blob_endpoint            = "https://cf123456.blob.core.windows.net/"
    table_endpoint           = "https://cf123456.table.core.windows.net/"
    deployment_container_url = "https://cf123456.blob.core.windows.net/deployments"
  }
  vault_url                              = "https://cf-123456.vault.azure.net/"
  application_insights_connection_string = "InstrumentationKey=44444444-4444-4444-4444-444444444444"
  vms = [{
    name               = "cf-a100-1"
    resource_group     = "cf-vms-rg"
    size               = "Standard_NC24ads_A100_v4"
    region             = "eastus"
    zone               = null
    price_per_hour_usd = 3.673
    agent_url          = "http://10.60.0.10:8470"
  }]
}

run "the_app_runs_python_3_11_on_flex_consumption_within_the_network" {
  command = plan

  assert {
    condition     = azurerm_service_plan.this.sku_name == "FC1" && azurerm_function_app_flex_consumption.this.runtime_name == "python" && azurerm_function_app_flex_consumption.this.runtime_version == "3.11"
    error_message = "The app runs on another plan or another Python than the one it is tested on."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.virtual_network_subnet_id == var.subnet_id && azurerm_function_app_flex_consumption.this.site_config[0].vnet_route_all_enabled
    error_message = "The app is outside of the network, and can't reach an agent."
  }
}

run "no_key_and_no_password_opens_the_app_or_its_storage" {
  command = plan

  assert {
    condition     = azurerm_function_app_flex_consumption.this.storage_authentication_type == "UserAssignedIdentity" && azurerm_function_app_flex_consumption.this.storage_access_key == null
    error_message = "The app reads its package with a key."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["AZUREWEBJOBSSTORAGE"] == ""
    error_message = "azurerm would write a connection string, and the host would use it before the identity."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.webdeploy_publish_basic_authentication_enabled == false
    error_message = "The app can be deployed to with a password."
  }
}

run "callers_reach_the_app_over_tls_1_2_alone" {
  command = plan

  assert {
    condition     = azurerm_function_app_flex_consumption.this.https_only && azurerm_function_app_flex_consumption.this.site_config[0].minimum_tls_version == "1.2" && azurerm_function_app_flex_consumption.this.site_config[0].scm_minimum_tls_version == "1.2"
    error_message = "The app answers in the clear or with an old TLS."
  }
}

run "azurerm_reads_every_setting_that_it_writes" {
  command = plan

  assert {
    condition     = length(setintersection(keys(azurerm_function_app_flex_consumption.this.app_settings), ["AzureWebJobsStorage", "APPLICATIONINSIGHTS_CONNECTION_STRING"])) == 0
    error_message = "azurerm drops a setting when it reads, so every apply would start the app again, with jobs in flight."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.site_config[0].application_insights_connection_string == var.application_insights_connection_string
    error_message = "The app reports nowhere."
  }
}

run "an_instance_gives_the_memory_of_images_back" {
  command = plan

  assert {
    condition     = [azurerm_function_app_flex_consumption.this.app_settings["MALLOC_ARENA_MAX"], azurerm_function_app_flex_consumption.this.app_settings["MALLOC_TRIM_THRESHOLD_"]] == ["2", "131072"]
    error_message = "glibc keeps the memory of decoded images for each thread, until the instance has none left."
  }
}

run "an_instance_has_as_much_memory_as_was_asked_for" {
  command = plan

  variables {
    instance_memory_mb = 4096
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.instance_memory_in_mb == 4096
    error_message = "The instances have another size than the one that was asked for."
  }
}

run "refuses_an_instance_that_large_images_do_not_fit_into" {
  command = plan

  variables {
    instance_memory_mb = 512
  }

  expect_failures = [var.instance_memory_mb]
}

run "a_secret_is_a_reference_to_the_vault" {
  command = plan

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["GPU_AGENT_TOKEN"] == "@Microsoft.KeyVault(SecretUri=https://cf-123456.vault.azure.net/secrets/gpu-agent-token)"
    error_message = "The agents' token is not read from the vault."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.identity[0].type == "SystemAssigned, UserAssigned"
    error_message = "azurerm can't tell the app by which user-assigned identity to resolve references, so it needs one of its own."
  }
}

run "the_app_is_told_of_the_vms_in_the_form_that_it_reads" {
  command = plan

  assert {
    condition     = jsondecode(azurerm_function_app_flex_consumption.this.app_settings["GPU_VMS"])[0].agent_url == "http://10.60.0.10:8470" && jsondecode(azurerm_function_app_flex_consumption.this.app_settings["GPU_VMS"])[0].zone == null
    error_message = "GPU_VMS does not hold the VMs."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["STORAGE_BLOB_URL"] == "https://cf123456.blob.core.windows.net" && azurerm_function_app_flex_consumption.this.app_settings["STORAGE_ACCESS"] == "identity_and_sas_only"
    error_message = "The app is told of another storage account."
  }
}

run "the_app_may_sleep_unless_an_instance_is_kept_ready" {
  command = plan

  assert {
    condition     = length(azurerm_function_app_flex_consumption.this.always_ready) == 0
    error_message = "An instance is paid for that nobody asked for."
  }
}

run "one_instance_of_the_durable_part_can_be_kept_ready" {
  command = plan

  variables {
    always_ready_instances = 1
  }

  assert {
    condition     = [azurerm_function_app_flex_consumption.this.always_ready[0].name, azurerm_function_app_flex_consumption.this.always_ready[0].instance_count] == ["durable", 1]
    error_message = "Another part than the durable one is kept ready."
  }
}

run "refuses_an_idle_window_shorter_than_a_cold_start" {
  command = plan

  variables {
    pool = { idle_window_s = 120 }
  }

  expect_failures = [var.pool]
}

run "refuses_a_start_limit_that_stops_sound_vms" {
  command = plan

  variables {
    pool = { start_timeout_s = 120 }
  }

  expect_failures = [var.pool]
}

run "refuses_a_lease_that_a_redeployment_outlasts" {
  command = plan

  variables {
    pool = { lease_s = 60 }
  }

  expect_failures = [var.pool]
}

run "refuses_to_ask_azure_more_often_than_it_answers" {
  command = plan

  variables {
    pool = { wake_poll_s = 1 }
  }

  expect_failures = [var.pool]
}

run "refuses_a_name_that_shares_its_host_id" {
  command = plan

  variables {
    name = "a-name-that-is-longer-than-thirty-two-characters"
  }

  expect_failures = [var.name]
}

run "refuses_a_second_instance_that_would_do_nothing" {
  command = plan

  variables {
    always_ready_instances = 2
  }

  expect_failures = [var.always_ready_instances]
}
