locals {
  starts_on = var.starts_on != null ? var.starts_on : formatdate("YYYY-MM-01", plantimestamp())

  # Half-way in the first days of a month is the sign of a VM that nobody stops.
  notifications = [
    { threshold = 50, type = "Actual" },
    { threshold = 80, type = "Actual" },
    { threshold = 100, type = "Actual" },
    { threshold = 110, type = "Forecasted" },
  ]
}

# Of the subscription and not of a group: a deployment has several, and one number is its bill.
resource "azurerm_consumption_budget_subscription" "this" {
  name            = var.name
  subscription_id = "/subscriptions/${var.subscription_id}"
  amount          = var.monthly_usd
  time_grain      = "Monthly"

  filter {
    dimension {
      name   = "ResourceGroupName"
      values = var.resource_group_names
    }
  }

  time_period {
    start_date = "${local.starts_on}T00:00:00Z"
  }

  dynamic "notification" {
    for_each = local.notifications

    content {
      operator       = "GreaterThanOrEqualTo"
      threshold      = notification.value.threshold
      threshold_type = notification.value.type
      contact_emails = var.contact_emails
    }
  }

  lifecycle {
    # Every later apply is in another month.
    ignore_changes = [time_period[0].start_date]
  }
}
