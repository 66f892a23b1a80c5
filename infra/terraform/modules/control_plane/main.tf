resource "azurerm_service_plan" "this" {
  name                = "${var.name}-plan"
  location            = var.location
  resource_group_name = var.resource_group_name
  os_type             = "Linux"
  sku_name            = "FC1"
  tags                = var.tags
}

resource "azurerm_function_app_flex_consumption" "this" {
  name                = var.name
  location            = var.location
  resource_group_name = var.resource_group_name
  service_plan_id     = azurerm_service_plan.this.id
  tags                = var.tags

  runtime_name           = "python"
  runtime_version        = "3.11"
  instance_memory_in_mb  = var.instance_memory_mb
  maximum_instance_count = var.maximum_instances

  storage_container_type            = "blobContainer"
  storage_container_endpoint        = var.storage.deployment_container_url
  storage_authentication_type       = "UserAssignedIdentity"
  storage_user_assigned_identity_id = var.identity.id

  virtual_network_subnet_id                      = var.subnet_id
  https_only                                     = true
  webdeploy_publish_basic_authentication_enabled = false
  app_settings                                   = local.settings

  # The app acts as the user-assigned one. The other is there because azurerm can't tell a Flex app
  # by which user-assigned identity to resolve its references to Key Vault.
  identity {
    type         = "SystemAssigned, UserAssigned"
    identity_ids = [var.identity.id]
  }

  dynamic "always_ready" {
    for_each = var.always_ready_instances > 0 ? [var.always_ready_instances] : []

    content {
      name           = "durable"
      instance_count = always_ready.value
    }
  }

  site_config {
    minimum_tls_version     = "1.2"
    scm_minimum_tls_version = "1.2"
    http2_enabled           = true
    vnet_route_all_enabled  = true
    # azurerm drops it from `app_settings` when it reads, so it has its own argument.
    application_insights_connection_string = var.application_insights_connection_string
  }

  lifecycle {
    # `make rotate` changes it; an apply would bring back a token that newer agents do not know.
    ignore_changes = [app_settings["GPU_AGENT_TOKEN"]]
  }
}
