resource "azurerm_monitor_diagnostic_setting" "this" {
  for_each = var.diagnosed

  name                       = "coldforge"
  target_resource_id         = each.value.id
  log_analytics_workspace_id = local.workspace_id

  dynamic "enabled_log" {
    for_each = toset(each.value.categories)

    content {
      category = enabled_log.value
    }
  }

  dynamic "enabled_metric" {
    for_each = each.value.metrics ? ["AllMetrics"] : []

    content {
      category = enabled_metric.value
    }
  }
}
