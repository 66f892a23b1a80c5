locals {
  # Both tokens of the agents, by which `make rotate` goes from one to the other. `make apply` makes them
  # before there is a VM. Of all else in the vault a VM sees nothing: it reads strangers' images.
  agent_tokens = ["gpu-agent-token", "gpu-agent-token-other"]

  # Every assignment, and what an operator sees where it is missing.
  assignments = merge(
    {
      for region, group in var.scopes.vm_resource_groups : "app-operates-vms-${region}" => {
        principal_id   = var.app.principal_id
        role           = azurerm_role_definition.operator[region].name
        custom_role_id = azurerm_role_definition.operator[region].role_definition_resource_id
        # The group, not each VM: an assignment to a VM ends with it, and VMs are rolled.
        scope   = group
        symptom = "Jobs wait for a VM in ${region}; the app logs AuthorizationFailed at every start, and a VM that is up is never put to sleep by the app."
      }
    },
    {
      app-owns-blobs = {
        principal_id   = var.app.principal_id
        role           = "Storage Blob Data Owner"
        custom_role_id = null
        scope          = var.scopes.storage_account
        symptom        = "The app does not start, or answers 503: the host can't take its leases, and the pool's state can't be read."
      }
      app-uses-queues = {
        principal_id   = var.app.principal_id
        role           = "Storage Queue Data Contributor"
        custom_role_id = null
        scope          = var.scopes.storage_account
        symptom        = "Jobs are accepted and stay queued: Durable can't read its queues."
      }
      app-uses-tables = {
        principal_id   = var.app.principal_id
        role           = "Storage Table Data Contributor"
        custom_role_id = null
        scope          = var.scopes.storage_account
        symptom        = "POST /api/jobs answers 503: the rows of jobs and Durable's history can't be written."
      }
      app-reads-secrets = {
        principal_id   = var.app.vault_reader_principal_id
        role           = "Key Vault Secrets User"
        custom_role_id = null
        scope          = var.scopes.key_vault
        symptom        = "The app does not start: GPU_AGENT_TOKEN holds the text of the reference and not the token, which its log says."
      }
      app-reports = {
        principal_id   = var.app.principal_id
        role           = "Monitoring Metrics Publisher"
        custom_role_id = null
        scope          = var.scopes.application_insights
        symptom        = "Application Insights stays empty, and the alerts with it."
      }
    },
    {
      for name, vm in var.vms : "vm-deallocates-itself-${name}" => {
        principal_id   = vm.principal_id
        role           = azurerm_role_definition.switch[vm.region].name
        custom_role_id = azurerm_role_definition.switch[vm.region].role_definition_resource_id
        scope          = vm.id
        symptom        = "The dead-man's switch on ${name} logs 403: with the app down, the VM stays on and billed."
      }
    },
    {
      for name, vm in var.vms : "vm-uses-jobs-${name}" => {
        principal_id   = vm.principal_id
        role           = "Storage Blob Data Contributor"
        custom_role_id = null
        scope          = var.scopes.jobs_container
        symptom        = "Jobs on ${name} fail in the stage fetch: the agent can't read the input image."
      }
    },
    {
      for pair in setproduct(keys(var.vms), local.agent_tokens) : "vm-reads-${pair[1]}-${pair[0]}" => {
        principal_id   = var.vms[pair[0]].principal_id
        role           = "Key Vault Secrets User"
        custom_role_id = null
        scope          = "${var.scopes.key_vault}/secrets/${pair[1]}"
        symptom        = "The agent on ${pair[0]} does not start: it has no token, the wake is given up after its time-out."
      }
    },
  )
}
