locals {
  # The image reads `settings` as they are and fetches each of `secrets` from the vault at boot. The agent
  # accepts both tokens, whichever of them the app shows: `make rotate` goes from one to the other.
  user_data = {
    for name, vm in var.vms : name => {
      settings = merge(
        {
          GPU_AGENT_CLIENT_ID        = azurerm_user_assigned_identity.vm[name].client_id
          GPU_AGENT_DATA_DIR         = "/var/lib/gpu-agent"
          GPU_AGENT_DRAIN_S          = "60"
          GPU_AGENT_ENGINE           = "hunyuan3d"
          GPU_AGENT_HOST             = cidrhost(var.subnet.prefix, vm.host_number)
          GPU_AGENT_KEEP_H           = "24"
          GPU_AGENT_LEAST_FREE_GIB   = "1"
          GPU_AGENT_PORT             = tostring(var.agent_port)
          GPU_AGENT_SLOTS            = tostring(var.slots_per_vm)
          GPU_AGENT_STORE_PATIENCE_S = "120"
          GPU_AGENT_STORE_URL        = trimsuffix(var.blob_endpoint, "/")
          GPU_AGENT_THREADS          = "64"
          GPU_AGENT_UNFIT_S          = "30"
          GPU_AGENT_VM_NAME          = "${var.name}-${name}"

          GPU_SWITCH_AGENT_URL    = "http://${cidrhost(var.subnet.prefix, vm.host_number)}:${var.agent_port}"
          GPU_SWITCH_ANSWER_S     = "5"
          GPU_SWITCH_ARM_URL      = "https://management.azure.com"
          GPU_SWITCH_BOOT_GRACE_S = tostring(var.switch.boot_grace_s)
          GPU_SWITCH_MAX_UPTIME_S = tostring(var.switch.max_uptime_s)
          GPU_SWITCH_POLL_S       = "15"
          GPU_SWITCH_RETRY_S      = "5"
          GPU_SWITCH_STOP_COMMAND = "systemctl stop gpu-agent"
          GPU_SWITCH_WARNING_S    = "300"
        },
        var.agent_settings,
      )
      secrets = {
        GPU_AGENT_TOKEN          = "${trimsuffix(var.vault_url, "/")}/secrets/gpu-agent-token"
        GPU_AGENT_TOKEN_PREVIOUS = "${trimsuffix(var.vault_url, "/")}/secrets/gpu-agent-token-other"
      }
    }
  }
}
