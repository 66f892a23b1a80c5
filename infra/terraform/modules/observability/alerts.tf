# A VM counts as up while Azure measures it: its metrics end when it is deallocated.
resource "azurerm_monitor_scheduled_query_rules_alert_v2" "billed_but_idle" {
  name                 = "${var.name}-vm-billed-but-idle"
  display_name         = "A GPU VM is billed and does nothing"
  description          = "A VM was up for ${var.idle_alert_minutes} minutes in which no job was followed on it: look at GET /api/pool, which says whether it is kept warm on purpose; if not, deallocate it by hand."
  location             = var.location
  resource_group_name  = var.resource_group_name
  scopes               = [local.workspace_id]
  severity             = 1
  evaluation_frequency = "PT15M"
  window_duration      = "PT${var.idle_alert_minutes}M"
  # A workspace has its tables from the first report on, and this is made before it.
  skip_query_validation = true
  tags                  = var.tags

  criteria {
    query                   = <<-EOT
      let at_work = AppTraces
        | where Message startswith "following on "
        | distinct Vm = tolower(extract("^following on ([^ ]+) ", 1, Message));
      AzureMetrics
      | where ResourceProvider == "MICROSOFT.COMPUTE" and MetricName == "Percentage CPU"
      | extend Vm = tolower(tostring(split(_ResourceId, "/")[-1]))
      | where Vm !in (at_work)
      | summarize minutes = dcount(bin(TimeGenerated, 1m)) by _ResourceId
      | where minutes >= ${var.idle_alert_minutes - 10}
    EOT
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 0
    resource_id_column      = "_ResourceId"
  }

  action {
    action_groups = local.action_group_ids
  }
}

resource "azurerm_monitor_scheduled_query_rules_alert_v2" "failed_jobs" {
  name                  = "${var.name}-failed-jobs"
  display_name          = "Jobs fail"
  description           = "Three jobs or more failed within an hour: GET /api/jobs?state=failed says why."
  location              = var.location
  resource_group_name   = var.resource_group_name
  scopes                = [local.workspace_id]
  severity              = 2
  evaluation_frequency  = "PT15M"
  window_duration       = "PT1H"
  skip_query_validation = true
  tags                  = var.tags

  criteria {
    # What Durable itself reports at every change of an orchestration's state.
    query                   = <<-EOT
      AppTraces
      | where Properties.prop__functionType == "Orchestrator" and Properties.prop__functionName == "run_job"
      | where Properties.prop__state == "Failed"
      | summarize by tostring(Properties.prop__instanceId)
    EOT
    time_aggregation_method = "Count"
    operator                = "GreaterThanOrEqual"
    threshold               = 3
  }

  action {
    action_groups = local.action_group_ids
  }
}

# No capacity, no quota, no permission: whatever keeps a VM from starting, Azure logs it here.
resource "azurerm_monitor_activity_log_alert" "failed_start" {
  for_each = var.watched_resource_group_ids

  name                = "${var.name}-failed-start-${each.key}"
  description         = "A GPU VM did not start. The pool tries its other VMs; jobs wait."
  location            = "global"
  resource_group_name = var.resource_group_name
  scopes              = [each.value]
  tags                = var.tags

  criteria {
    category       = "Administrative"
    operation_name = "Microsoft.Compute/virtualMachines/start/action"
    status         = "Failed"
  }

  dynamic "action" {
    for_each = local.action_group_ids

    content {
      action_group_id = action.value
    }
  }
}
