output "workspace_id" {
  description = "Workspace that everything reports to."
  value       = local.workspace_id
}

output "action_group_id" {
  description = "Who is told when an alert fires."
  value       = azurerm_monitor_action_group.this.id
}

output "application_insights" {
  description = "Where the app reports to: `id`, `connection_string`."
  value = {
    id                = azurerm_application_insights.this.id
    connection_string = azurerm_application_insights.this.connection_string
  }
  sensitive = true
}
