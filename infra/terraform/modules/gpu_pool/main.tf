# One identity a VM: none may switch another one off.
resource "azurerm_user_assigned_identity" "vm" {
  for_each = var.vms

  name                = "${var.name}-${each.key}-id"
  location            = var.location
  resource_group_name = var.resource_group_name
  tags                = var.tags
}

resource "azurerm_network_interface" "this" {
  for_each = var.vms

  name                           = "${var.name}-${each.key}-nic"
  location                       = var.location
  resource_group_name            = var.resource_group_name
  accelerated_networking_enabled = true
  tags                           = var.tags

  ip_configuration {
    name      = "agent"
    subnet_id = var.subnet.id
    # The app knows the VM by this address, also while it sleeps.
    private_ip_address_allocation = "Static"
    private_ip_address            = cidrhost(var.subnet.prefix, each.value.host_number)
  }
}

data "azurerm_shared_image_version" "this" {
  for_each = toset([for vm in var.vms : vm.image_version])

  name                = each.value
  image_name          = var.image.name
  gallery_name        = var.image.gallery_name
  resource_group_name = var.image.resource_group_name
}

resource "azurerm_linux_virtual_machine" "this" {
  for_each = var.vms

  name                  = "${var.name}-${each.key}"
  computer_name         = each.key
  location              = var.location
  resource_group_name   = var.resource_group_name
  size                  = each.value.size
  zone                  = each.value.zone
  network_interface_ids = [azurerm_network_interface.this[each.key].id]
  source_image_id       = data.azurerm_shared_image_version.this[each.value.image_version].id
  # Azure offers it to the VM itself at every boot, and a change of it neither stops nor replaces the VM.
  user_data = base64encode(jsonencode(local.user_data[each.key]))
  tags      = merge(var.tags, { "coldforge-image" = each.value.image_version })

  admin_username                  = "coldforge"
  disable_password_authentication = true
  allow_extension_operations      = false
  secure_boot_enabled             = true
  vtpm_enabled                    = true
  patch_mode                      = "ImageDefault"
  patch_assessment_mode           = "ImageDefault"

  admin_ssh_key {
    username   = "coldforge"
    public_key = var.admin_ssh_public_key
  }

  # A managed disk: one on the host's own drive would not let the VM be deallocated.
  os_disk {
    name                 = "${var.name}-${each.key}-os"
    caching              = "ReadOnly"
    storage_account_type = "Premium_LRS"
    disk_size_gb         = each.value.os_disk_gb
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.vm[each.key].id]
  }

  boot_diagnostics {}

  lifecycle {
    # Each of these would replace the VM, jobs and all. A VM is rolled by name, with -replace.
    ignore_changes = [source_image_id, admin_ssh_key, tags["coldforge-image"]]
  }
}

resource "azurerm_dev_test_global_vm_shutdown_schedule" "this" {
  for_each = var.daily_stop_at == null ? {} : azurerm_linux_virtual_machine.this

  virtual_machine_id    = each.value.id
  location              = var.location
  daily_recurrence_time = var.daily_stop_at
  timezone              = "UTC"
  tags                  = var.tags

  notification_settings {
    enabled = false
  }
}
