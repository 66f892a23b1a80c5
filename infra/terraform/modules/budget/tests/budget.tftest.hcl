mock_provider "azurerm" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  name                 = "cf-budget"
  subscription_id      = "00000000-0000-0000-0000-000000000000"
  resource_group_names = ["cf-rg", "cf-vms-eastus-rg"]
  monthly_usd          = 200
  starts_on            = "2026-12-01"
  contact_emails       = ["ops@example.com"]
}

run "the_bill_of_app_and_vms_is_one_number" {
  command = plan

  assert {
    condition     = one(one(azurerm_consumption_budget_subscription.this.filter).dimension).values == tolist(["cf-rg", "cf-vms-eastus-rg"]) && azurerm_consumption_budget_subscription.this.amount == 200
    error_message = "A resource group of the deployment is left out, or the amount is another."
  }
}

run "counting_begins_with_a_month" {
  command = plan

  assert {
    condition     = azurerm_consumption_budget_subscription.this.time_period[0].start_date == "2026-12-01T00:00:00Z"
    error_message = "The budget begins at another time than the one that was asked for."
  }
}

run "without_a_first_month_it_is_that_of_the_first_apply" {
  command = plan

  variables {
    starts_on = null
  }

  assert {
    condition     = azurerm_consumption_budget_subscription.this.time_period[0].start_date == formatdate("YYYY-MM-01'T00:00:00Z'", plantimestamp())
    error_message = "Azure refuses budgets that began in a month gone by."
  }
}

run "somebody_is_told_before_and_when_it_is_used_up" {
  command = plan

  assert {
    condition     = toset([for notification in azurerm_consumption_budget_subscription.this.notification : notification.threshold]) == toset([50, 80, 100, 110])
    error_message = "A threshold is missing."
  }

  assert {
    condition     = alltrue([for notification in azurerm_consumption_budget_subscription.this.notification : notification.contact_emails == tolist(["ops@example.com"])])
    error_message = "A threshold tells nobody."
  }
}

run "refuses_a_budget_that_tells_nobody" {
  command = plan

  variables {
    contact_emails = []
  }

  expect_failures = [var.contact_emails]
}

run "refuses_to_begin_in_the_middle_of_a_month" {
  command = plan

  variables {
    starts_on = "2026-12-15"
  }

  expect_failures = [var.starts_on]
}

run "refuses_a_budget_of_nothing" {
  command = plan

  variables {
    monthly_usd = 0
  }

  expect_failures = [var.monthly_usd]
}
