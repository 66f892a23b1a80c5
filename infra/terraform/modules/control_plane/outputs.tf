output "app" {
  description = "The function app: `id`, `name`, `url`."
  value = {
    id   = azurerm_function_app_flex_consumption.this.id
    name = azurerm_function_app_flex_consumption.this.name
    url  = "https://${azurerm_function_app_flex_consumption.this.default_hostname}"
  }
}

output "settings" {
  description = "What the app is told, by the names in docs/settings.md; secrets are references to the vault."
  value       = nonsensitive(local.settings)
}

output "vault_reader_principal_id" {
  description = "The app's own identity, by which the platform reads the secrets."
  value       = azurerm_function_app_flex_consumption.this.identity[0].principal_id
}
