terraform {
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source = "hashicorp/azurerm"
      # 5.x names the zone of a private DNS link differently and registers no resource provider.
      version = ">= 4.81, < 5.0"
    }
  }
}
