mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  name                       = "cf"
  location                   = "eastus"
  resource_group_name        = "cf-rg"
  alert_emails               = ["ops@example.com"]
  watched_resource_group_ids = { eastus = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-vms-eastus-rg" }
}

run "somebody_is_told_of_a_vm_that_is_billed_and_does_nothing" {
  command = plan

  assert {
    condition     = azurerm_monitor_scheduled_query_rules_alert_v2.billed_but_idle.window_duration == "PT45M" && strcontains(azurerm_monitor_scheduled_query_rules_alert_v2.billed_but_idle.criteria[0].query, "following on ")
    error_message = "The alert looks at another time, or not at the jobs."
  }

  assert {
    condition     = strcontains(azurerm_monitor_scheduled_query_rules_alert_v2.billed_but_idle.criteria[0].query, "where Vm !in (at_work)") && !strcontains(azurerm_monitor_scheduled_query_rules_alert_v2.billed_but_idle.criteria[0].query, "toscalar")
    error_message = "One VM that works keeps the alert from telling of another that does not."
  }

  assert {
    condition     = azurerm_monitor_scheduled_query_rules_alert_v2.billed_but_idle.action[0].action_groups == tolist([azurerm_monitor_action_group.this.id])
    error_message = "The alert tells nobody."
  }
}

run "somebody_is_told_of_jobs_that_fail" {
  command = plan

  assert {
    condition     = strcontains(azurerm_monitor_scheduled_query_rules_alert_v2.failed_jobs.criteria[0].query, "run_job") && azurerm_monitor_scheduled_query_rules_alert_v2.failed_jobs.action[0].action_groups == tolist([azurerm_monitor_action_group.this.id])
    error_message = "The alert does not look at jobs, or tells nobody."
  }
}

run "somebody_is_told_of_a_vm_that_does_not_start" {
  command = plan

  assert {
    condition     = one(azurerm_monitor_activity_log_alert.failed_start["eastus"].criteria).operation_name == "Microsoft.Compute/virtualMachines/start/action" && one(azurerm_monitor_activity_log_alert.failed_start["eastus"].criteria).status == "Failed"
    error_message = "The alert looks for something else than failed starts."
  }

  assert {
    condition     = azurerm_monitor_activity_log_alert.failed_start["eastus"].action[0].action_group_id == azurerm_monitor_action_group.this.id
    error_message = "The alert tells nobody."
  }
}

run "every_alert_tells_the_pager_too" {
  command = plan

  variables {
    existing_action_group_ids = ["/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/ops-rg/providers/Microsoft.Insights/actionGroups/pager"]
  }

  assert {
    condition = alltrue([
      for told in [
        azurerm_monitor_scheduled_query_rules_alert_v2.billed_but_idle.action[0].action_groups,
        azurerm_monitor_scheduled_query_rules_alert_v2.failed_jobs.action[0].action_groups,
        azurerm_monitor_activity_log_alert.failed_start["eastus"].action[*].action_group_id,
      ] : contains(told, var.existing_action_group_ids[0]) && length(told) == 2
    ])
    error_message = "An alert comes by e-mail alone, or does not come to the pager."
  }
}

run "reports_are_taken_from_identities_alone" {
  command = plan

  assert {
    condition     = azurerm_application_insights.this.local_authentication_enabled == false && azurerm_log_analytics_workspace.this[0].local_authentication_enabled == false
    error_message = "Whoever knows the key may write to the logs."
  }
}

run "logs_have_a_daily_bound" {
  command = plan

  assert {
    condition     = azurerm_log_analytics_workspace.this[0].daily_quota_gb == 1
    error_message = "An error in a loop would log, and cost, without bound."
  }
}

run "what_is_named_reports_to_the_workspace" {
  command = plan

  variables {
    diagnosed = {
      vault = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.KeyVault/vaults/cf", categories = ["AuditEvent"] }
      vm    = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cf-rg/providers/Microsoft.Compute/virtualMachines/vm", metrics = true }
    }
  }

  assert {
    condition     = one(azurerm_monitor_diagnostic_setting.this["vault"].enabled_log).category == "AuditEvent" && one(azurerm_monitor_diagnostic_setting.this["vm"].enabled_metric).category == "AllMetrics"
    error_message = "The vault's readers or the VMs' uptime are not recorded."
  }
}

run "an_existing_workspace_is_used_and_not_created" {
  command = plan

  variables {
    existing_workspace_id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/hub/providers/Microsoft.OperationalInsights/workspaces/hub-logs"
  }

  assert {
    condition     = length(azurerm_log_analytics_workspace.this) == 0 && azurerm_application_insights.this.workspace_id == var.existing_workspace_id
    error_message = "Reports go elsewhere, or destroy would remove the workspace."
  }
}

run "refuses_alerts_that_tell_nobody" {
  command = plan

  variables {
    alert_emails = []
  }

  expect_failures = [var.alert_emails]
}

run "refuses_a_time_that_alerts_do_not_look_back_over" {
  command = plan

  variables {
    idle_alert_minutes = 50
  }

  expect_failures = [var.idle_alert_minutes]
}
