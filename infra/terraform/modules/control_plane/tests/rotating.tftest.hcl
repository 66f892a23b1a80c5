# An app as it is, and what the next apply would do with it.
mock_provider "azurerm" {
  source = "../../mocks"
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
  vms                                    = []
  # Stands for `make rotate`, which has the app show the other token.
  more_settings = { GPU_AGENT_TOKEN = "@Microsoft.KeyVault(SecretUri=https://cf-123456.vault.azure.net/secrets/gpu-agent-token-other)" }
}

run "an_app_that_shows_the_other_token" {
  assert {
    condition     = endswith(azurerm_function_app_flex_consumption.this.app_settings["GPU_AGENT_TOKEN"], "/secrets/gpu-agent-token-other)")
    error_message = "The app shows another token than it was given."
  }
}

run "an_apply_does_not_take_a_rotation_back" {
  command = plan

  variables {
    more_settings = { LOOK_AWAKE_S = "30" }
  }

  assert {
    condition     = endswith(azurerm_function_app_flex_consumption.this.app_settings["GPU_AGENT_TOKEN"], "/secrets/gpu-agent-token-other)")
    error_message = "An apply would have the app show a token that agents which are up may not know."
  }

  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["LOOK_AWAKE_S"] == "30"
    error_message = "An apply would change no setting at all."
  }
}
