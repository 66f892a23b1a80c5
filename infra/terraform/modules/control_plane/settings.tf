locals {
  # Secrets stay in the vault: the platform puts their values in the place of these references. The first
  # of the agents' two tokens is where the app begins; which it shows later is up to `make rotate`.
  secrets = {
    GPU_AGENT_TOKEN = "gpu-agent-token"
  }

  settings = merge(
    {
      # azurerm writes a connection string with an empty key here unless it is overridden. It drops the usual
      # spelling when it reads, so that every plan would put the app again; Azure ignores the case.
      AZUREWEBJOBSSTORAGE                       = ""
      AzureWebJobsStorage__accountName          = var.storage.name
      AzureWebJobsStorage__credential           = "managedidentity"
      AzureWebJobsStorage__clientId             = var.identity.client_id
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "ClientId=${var.identity.client_id};Authorization=AAD"

      # glibc gives the memory of decoded images back to the system instead of keeping it for each thread.
      MALLOC_ARENA_MAX       = "2"
      MALLOC_TRIM_THRESHOLD_ = "131072"

      ARM_URL                 = "https://management.azure.com"
      AZURE_CLIENT_ID         = var.identity.client_id
      AZURE_SUBSCRIPTION_ID   = var.subscription_id
      EXPOSE_DURABLE_URLS     = tostring(var.expose_durable_urls)
      GPU_VMS                 = jsonencode(var.vms)
      IMAGE_URL_ALLOWED_HOSTS = join(",", var.image_url_allowed_hosts)
      INTAKE_MEMORY_MB        = tostring(floor(0.55 * var.instance_memory_mb))
      MAX_IMAGE_MB            = tostring(var.max_image_mb)
      MAX_IMAGE_MEGAPIXELS    = tostring(var.max_image_megapixels)
      STORAGE_ACCESS          = var.storage_access
      STORAGE_BLOB_URL        = trimsuffix(var.storage.blob_endpoint, "/")
      STORAGE_TABLE_URL       = trimsuffix(var.storage.table_endpoint, "/")
    },
    { for name, value in var.pool : upper(name) => tostring(value) if name != "warm_windows" },
    { WARM_WINDOWS = jsonencode(var.pool.warm_windows) },
    { for name, secret in local.secrets : name => "@Microsoft.KeyVault(SecretUri=${trimsuffix(var.vault_url, "/")}/secrets/${secret})" },
    var.more_settings,
  )
}
