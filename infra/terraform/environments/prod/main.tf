# Two A100 in different zones and, for days without A100 capacity, an H100 in another region.
module "coldforge" {
  source = "../../modules/coldforge"

  name            = "coldforge-prod"
  subscription_id = var.subscription_id
  tenant_id       = var.tenant_id
  home_region     = "eastus"

  regions = {
    eastus = {
      address_space = "10.62.0.0/16"
      vms = var.image_version == "" ? {} : {
        a100-1 = { zone = "1", host_number = 10, preference = 10, price_per_hour_usd = 3.673, image_version = var.image_version }
        a100-2 = { zone = "2", host_number = 11, preference = 20, price_per_hour_usd = 3.673, image_version = var.image_version }
      }
    }
    southcentralus = {
      address_space = "10.63.0.0/16"
      vms = var.image_version == "" ? {} : {
        h100-1 = { size = "Standard_NC40ads_H100_v5", host_number = 10, preference = 30, price_per_hour_usd = 6.98, image_version = var.image_version }
      }
    }
  }

  storage_replication  = "ZRS"
  retention_days       = 30
  hunyuan_licence      = var.hunyuan_licence
  admin_ssh_public_key = var.admin_ssh_public_key
  assign_roles         = var.assign_roles
  alert_emails         = var.contact_emails
  app                  = { always_ready_instances = 1 }

  budget = {
    monthly_usd    = 2000
    contact_emails = var.contact_emails
  }
}
