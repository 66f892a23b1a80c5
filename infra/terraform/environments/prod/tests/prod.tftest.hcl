mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  subscription_id      = "00000000-0000-0000-0000-000000000000"
  tenant_id            = "00000000-0000-0000-0000-000000000000"
  admin_ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOyGT+mbU5cEuIcqxZEGfvItg2qNlCCH8tuidLMB6+bl"
  contact_emails       = ["ops@example.com"]
}

run "comes_up_before_there_is_an_image" {
  command = plan

  assert {
    condition     = length(output.coldforge.vms) == 0 && output.coldforge.image.name != ""
    error_message = "A first apply needs an image that the gallery, which it creates, can't hold yet."
  }
}

run "prefers_the_cheap_vms_and_falls_back_to_another_region" {
  command = plan

  variables {
    image_version = "1.4.0"
  }

  assert {
    condition     = [for vm in output.coldforge.vms : "${vm.region} ${vm.price_per_hour_usd}"] == ["eastus 3.673", "eastus 3.673", "southcentralus 6.98"]
    error_message = "The dear VM is woken first, or there is none in another region."
  }
}
