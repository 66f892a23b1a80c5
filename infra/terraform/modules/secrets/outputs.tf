output "vault" {
  description = "The vault: `id`, `name`, `url`."
  value = {
    id   = azurerm_key_vault.this.id
    name = azurerm_key_vault.this.name
    url  = azurerm_key_vault.this.vault_uri
  }

  depends_on = [azurerm_private_endpoint.this]
}
