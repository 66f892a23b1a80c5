locals {
  workspace_id = var.existing_workspace_id != null ? var.existing_workspace_id : azurerm_log_analytics_workspace.this[0].id

  action_group_ids = concat([azurerm_monitor_action_group.this.id], var.existing_action_group_ids)
}

resource "azurerm_log_analytics_workspace" "this" {
  count = var.existing_workspace_id == null ? 1 : 0

  name                = "${var.name}-logs"
  location            = var.location
  resource_group_name = var.resource_group_name
  sku                 = "PerGB2018"
  retention_in_days   = var.retention_days
  daily_quota_gb      = var.daily_quota_gb
  tags                = var.tags

  local_authentication_enabled = false
}

resource "azurerm_application_insights" "this" {
  name                = "${var.name}-insights"
  location            = var.location
  resource_group_name = var.resource_group_name
  workspace_id        = local.workspace_id
  application_type    = "web"
  # Reports are taken from identities only, so the key in the connection string opens nothing.
  local_authentication_enabled = false
  tags                         = var.tags
}

resource "azurerm_monitor_action_group" "this" {
  name                = "${var.name}-alerts"
  resource_group_name = var.resource_group_name
  short_name          = "coldforge"
  tags                = var.tags

  dynamic "email_receiver" {
    for_each = toset(var.alert_emails)

    content {
      name                    = email_receiver.value
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }
}
