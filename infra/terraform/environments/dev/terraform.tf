terraform {
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source = "hashicorp/azurerm"
      # 5.x names the zone of a private DNS link differently and registers no resource provider.
      version = ">= 4.81, < 5.0"
    }
  }

  # The account and container of the state are yours, made beforehand: see ../../README.md.
  backend "azurerm" {
    key              = "coldforge-dev.tfstate"
    use_azuread_auth = true
  }
}

provider "azurerm" {
  subscription_id = var.subscription_id
  tenant_id       = var.tenant_id
  # The storage account has no keys, so nothing in here may ask for one.
  storage_use_azuread = true

  resource_provider_registrations = "none"
  resource_providers_to_register = [
    "Microsoft.AlertsManagement",
    "Microsoft.App",
    "Microsoft.Compute",
    "Microsoft.Consumption",
    "Microsoft.DevTestLab",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.Storage",
    "Microsoft.Web",
  ]

  features {
    # A VM that Azure has no room for is there all the same: without this, the next apply stumbles over it.
    persist_id_on_create_before_polling_for_completion = true

    resource_group {
      # A group that holds what Terraform did not create is not deleted with it.
      prevent_deletion_if_contains_resources = true
    }

    key_vault {
      purge_soft_delete_on_destroy = false
    }

    storage {
      # Containers and tables go through Azure Resource Manager: whoever applies needs no role on data, and
      # with `private` access is outside of the network.
      data_plane_available = false
    }

    template_deployment {
      # The tables and what is in them stay if the deployment that made them goes.
      delete_nested_items_during_deletion = false
    }

    virtual_machine {
      # Once this block is there, azurerm leaves the disk behind unless told otherwise: billed, and in the way
      # of the next VM of that name.
      delete_os_disk_on_deletion = true
      # Deleting a VM ends its jobs: give the agent its time to stop.
      skip_shutdown_and_force_delete = false
    }
  }
}
