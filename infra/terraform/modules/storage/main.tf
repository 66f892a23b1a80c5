locals {
  account = var.existing_account != null ? var.existing_account : {
    id             = azurerm_storage_account.this[0].id
    name           = azurerm_storage_account.this[0].name
    blob_endpoint  = azurerm_storage_account.this[0].primary_blob_endpoint
    queue_endpoint = azurerm_storage_account.this[0].primary_queue_endpoint
    table_endpoint = azurerm_storage_account.this[0].primary_table_endpoint
  }
  # Nothing uses `failed`, `inbox`, `deliveries` and `results` yet: they are for jobs from a folder,
  # for webhooks, and for results that are found again.
  containers = toset(["deployments", "failed", "inbox", "jobs", "pool"])
  tables     = toset(["deliveries", "idempotency", "jobs", "ledger", "results"])
}

resource "azurerm_storage_account" "this" {
  count = var.existing_account == null ? 1 : 0

  name                = var.account_name
  location            = var.location
  resource_group_name = var.resource_group_name
  tags                = var.tags

  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = var.replication

  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  local_user_enabled              = false
  allow_nested_items_to_be_public = false
  https_traffic_only_enabled      = true
  min_tls_version                 = "TLS1_2"
  public_network_access_enabled   = var.storage_access != "private"

  dynamic "identity" {
    for_each = var.customer_managed_key == null ? [] : [var.customer_managed_key.identity_id]

    content {
      type         = "UserAssigned"
      identity_ids = [identity.value]
    }
  }

  # The app signs its links with a key of Entra, for an hour; this bounds any other signature.
  sas_policy {
    expiration_period = "01.00:00:00"
    expiration_action = "Block"
  }

  blob_properties {
    delete_retention_policy {
      days = var.soft_delete_days
    }

    container_delete_retention_policy {
      days = var.soft_delete_days
    }
  }

  lifecycle {
    # Set by the resource of that name below.
    ignore_changes = [customer_managed_key]
  }
}

resource "azurerm_storage_account_customer_managed_key" "this" {
  count = var.existing_account == null && var.customer_managed_key != null ? 1 : 0

  storage_account_id        = azurerm_storage_account.this[0].id
  key_vault_key_id          = var.customer_managed_key.key_id
  user_assigned_identity_id = var.customer_managed_key.identity_id
}

resource "azurerm_storage_container" "this" {
  for_each = local.containers

  name                  = each.value
  storage_account_id    = local.account.id
  container_access_type = "private"
}

# azurerm_storage_table sets an access list with the account's key, which is off. A template goes through
# Azure Resource Manager alone, so it needs no role on data and works from outside of a private account.
resource "azurerm_resource_group_template_deployment" "tables" {
  name                = "${var.name}-tables"
  resource_group_name = var.existing_account == null ? var.resource_group_name : split("/", var.existing_account.id)[4]
  deployment_mode     = "Incremental"
  tags                = var.tags

  template_content = jsonencode({
    "$schema"      = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    contentVersion = "1.0.0.0"
    resources = [
      for table in local.tables : {
        type       = "Microsoft.Storage/storageAccounts/tableServices/tables"
        apiVersion = "2023-05-01"
        name       = "${local.account.name}/default/${table}"
      }
    ]
  })
}

# Deployments older than the template keep their tables and what is in them.
removed {
  from = azurerm_storage_table.this

  lifecycle {
    destroy = false
  }
}

# An account holds one policy: into one that exists, these rules are added by hand.
resource "azurerm_storage_management_policy" "this" {
  count = var.existing_account == null ? 1 : 0

  storage_account_id = local.account.id

  rule {
    name    = "delete-old-jobs"
    enabled = true

    filters {
      # Neither `pool/`, which holds the state of the VMs, nor the containers of Durable itself.
      prefix_match = ["failed/", "inbox/", "jobs/"]
      blob_types   = ["blockBlob"]
    }

    actions {
      base_blob {
        delete_after_days_since_modification_greater_than = var.retention_days
      }
    }
  }
}

resource "azurerm_private_endpoint" "this" {
  for_each = var.storage_access == "private" ? toset(["blob", "queue", "table"]) : toset([])

  name                = "${var.name}-${each.value}-endpoint"
  location            = var.location
  resource_group_name = var.resource_group_name
  subnet_id           = var.endpoint_subnet_id
  tags                = var.tags

  private_service_connection {
    name                           = each.value
    private_connection_resource_id = try(azurerm_storage_account.this[0].id, var.existing_account.id)
    subresource_names              = [each.value]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = each.value
    private_dns_zone_ids = [var.private_dns_zone_ids["privatelink.${each.value}.core.windows.net"]]
  }
}
