"""How a Durable instance's status is read, by effects and by routes alike."""

from typing import Any

SUSPENDED = "Suspended"
LIVE = ("Running", "Pending", "ContinuedAsNew", SUSPENDED)
"""Runtime statuses of an instance that is not over."""


def status_name(status: Any) -> str:
    """Give a Durable status's runtime status as text; the SDK has an enum or None."""
    runtime_status = getattr(status, "runtime_status", None)
    return str(getattr(runtime_status, "value", runtime_status))
