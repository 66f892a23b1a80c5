# One VM, the cheapest storage, no instance that never sleeps.
module "coldforge" {
  source = "../../modules/coldforge"

  name            = "coldforge-dev"
  subscription_id = var.subscription_id
  tenant_id       = var.tenant_id
  home_region     = "eastus"

  regions = {
    eastus = {
      address_space = "10.60.0.0/16"
      vms = var.image_version == "" ? {} : {
        a100-1 = { host_number = 10, price_per_hour_usd = 3.673, image_version = var.image_version }
      }
    }
  }

  storage_replication  = "LRS"
  retention_days       = 7
  hunyuan_licence      = var.hunyuan_licence
  admin_ssh_public_key = var.admin_ssh_public_key
  assign_roles         = var.assign_roles
  alert_emails         = var.contact_emails

  budget = {
    monthly_usd    = 200
    contact_emails = var.contact_emails
  }
}
