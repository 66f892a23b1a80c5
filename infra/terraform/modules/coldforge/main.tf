locals {
  # The same for one deployment for ever, and another one for every other deployment in the world.
  unique = substr(sha1("${var.subscription_id}/${var.name}"), 0, 6)
  short  = replace(var.name, "-", "")
  tags   = merge(var.tags, { coldforge = var.name })

  resource_group = var.existing.resource_group != null ? var.existing.resource_group : {
    id   = azurerm_resource_group.home[0].id
    name = azurerm_resource_group.home[0].name
  }
  home    = module.network[var.home_region]
  callers = local.subnet_prefixes[var.home_region].function

  subnet_prefixes = {
    for name, region in var.regions : name => name == var.home_region && var.existing.virtual_network != null ? var.existing.virtual_network.subnet_prefixes : {
      gpu       = cidrsubnet(region.address_space, 4, 0)
      function  = name == var.home_region ? cidrsubnet(region.address_space, 4, 1) : null
      endpoints = name == var.home_region ? cidrsubnet(region.address_space, 4, 2) : null
    }
  }

  storage_zones = [for service in ["blob", "queue", "table"] : "privatelink.${service}.core.windows.net"]
  vault_zone    = "privatelink.vaultcore.azure.net"
}

resource "azurerm_resource_group" "home" {
  count = var.existing.resource_group == null ? 1 : 0

  name     = "${var.name}-rg"
  location = var.home_region
  tags     = local.tags
}

# The VMs are apart from the rest: the app may start and stop all that is in here.
resource "azurerm_resource_group" "vms" {
  for_each = var.regions

  name     = "${var.name}-vms-${each.key}-rg"
  location = each.key
  tags     = local.tags
}

resource "azurerm_user_assigned_identity" "app" {
  name                = "${var.name}-app-id"
  location            = var.home_region
  resource_group_name = local.resource_group.name
  tags                = local.tags
}

module "network" {
  source   = "../network"
  for_each = var.regions

  name                     = each.key == var.home_region ? var.name : "${var.name}-${each.key}"
  location                 = each.key
  resource_group_name      = local.resource_group.name
  existing_virtual_network = each.key == var.home_region ? var.existing.virtual_network : null
  address_space            = each.value.address_space
  subnet_prefixes          = local.subnet_prefixes[each.key]
  agent_callers            = local.callers
  way_out                  = var.way_out
  private_dns_zones        = each.key == var.home_region ? toset(concat(var.storage_access == "private" ? local.storage_zones : [], [local.vault_zone])) : []
  tags                     = local.tags
}

module "storage" {
  source = "../storage"

  name                 = var.name
  account_name         = "${local.short}${local.unique}"
  location             = var.home_region
  resource_group_name  = local.resource_group.name
  existing_account     = var.existing.storage_account
  replication          = var.storage_replication
  storage_access       = var.storage_access
  retention_days       = var.retention_days
  customer_managed_key = var.customer_managed_key
  endpoint_subnet_id   = local.home.endpoint_subnet_id
  private_dns_zone_ids = local.home.private_dns_zone_ids
  tags                 = local.tags
}

module "secrets" {
  source = "../secrets"

  name                = var.name
  vault_name          = "${substr(local.short, 0, 16)}-${local.unique}"
  location            = var.home_region
  resource_group_name = local.resource_group.name
  tenant_id           = var.tenant_id
  endpoint_subnet_id  = local.home.endpoint_subnet_id
  private_dns_zone_id = local.home.private_dns_zone_ids[local.vault_zone]
  tags                = local.tags
}

module "image_gallery" {
  source = "../image_gallery"

  name                = var.name
  location            = var.home_region
  resource_group_name = local.resource_group.name
  tags                = local.tags
}

module "gpu_pool" {
  source   = "../gpu_pool"
  for_each = var.regions

  name                 = var.name
  location             = each.key
  hunyuan_licence      = var.hunyuan_licence
  resource_group_name  = azurerm_resource_group.vms[each.key].name
  subnet               = module.network[each.key].gpu_subnet
  vms                  = each.value.vms
  image                = module.image_gallery.image
  admin_ssh_public_key = var.admin_ssh_public_key
  blob_endpoint        = module.storage.account.blob_endpoint
  vault_url            = module.secrets.vault.url
  agent_settings       = var.agents.settings
  slots_per_vm         = try(var.pool.slots_per_vm, 4)
  switch               = { max_uptime_s = var.agents.max_uptime_s, boot_grace_s = var.agents.boot_grace_s }
  daily_stop_at        = var.agents.daily_stop_at
  tags                 = local.tags
}

module "control_plane" {
  source = "../control_plane"

  name                = "${var.name}-${local.unique}"
  location            = var.home_region
  resource_group_name = local.resource_group.name
  subscription_id     = var.subscription_id
  identity = {
    id        = azurerm_user_assigned_identity.app.id
    client_id = azurerm_user_assigned_identity.app.client_id
  }
  subnet_id = local.home.function_subnet_id
  storage = {
    name                     = module.storage.account.name
    blob_endpoint            = module.storage.account.blob_endpoint
    table_endpoint           = module.storage.account.table_endpoint
    deployment_container_url = module.storage.deployment_container_url
  }
  storage_access                         = var.storage_access
  vault_url                              = module.secrets.vault.url
  application_insights_connection_string = module.observability.application_insights.connection_string
  vms                                    = local.candidates
  pool                                   = var.pool
  expose_durable_urls                    = var.app.expose_durable_urls
  image_url_allowed_hosts                = var.app.image_url_allowed_hosts
  always_ready_instances                 = var.app.always_ready_instances
  maximum_instances                      = var.app.maximum_instances
  instance_memory_mb                     = var.app.instance_memory_mb
  max_image_mb                           = var.app.max_image_mb
  max_image_megapixels                   = var.app.max_image_megapixels
  more_settings                          = var.app.more_settings
  tags                                   = local.tags
}

module "observability" {
  source = "../observability"

  name                       = var.name
  location                   = var.home_region
  resource_group_name        = local.resource_group.name
  existing_workspace_id      = var.existing.workspace_id
  alert_emails               = var.alert_emails
  existing_action_group_ids  = var.existing.action_group_ids
  watched_resource_group_ids = { for region, group in azurerm_resource_group.vms : region => group.id }
  diagnosed = merge(
    {
      app   = { id = module.control_plane.app.id, categories = ["FunctionAppLogs"] }
      vault = { id = module.secrets.vault.id, categories = ["AuditEvent"] }
      blobs = { id = "${module.storage.account.id}/blobServices/default", categories = ["StorageDelete"] }
    },
    { for name, vm in local.vms : "vm-${name}" => { id = vm.id, metrics = true } },
  )
  tags = local.tags
}

module "budget" {
  source = "../budget"

  name                 = "${var.name}-budget"
  subscription_id      = var.subscription_id
  resource_group_names = concat([local.resource_group.name], [for group in azurerm_resource_group.vms : group.name])
  monthly_usd          = var.budget.monthly_usd
  starts_on            = var.budget.starts_on
  contact_emails       = var.budget.contact_emails
}
