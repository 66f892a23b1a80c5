"""Wake one VM: start it through ARM, then poll power and readiness with durable timers.

A replay repeats it from the order in which the activities answered. Whatever happens to this
instance, the pool's own deadline ends a wake that does not end. It begins anew after some rounds:
every replay reads the whole history, and a VM that never gets ready is polled for 20 minutes.
"""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from orchestrator.domain.names import Activity
from orchestrator.workflows.call_with_retry import call_with_retry

START_RETRY = timedelta(seconds=20)
MAX_ROUNDS = 20
"""Polls in one execution, some seven history events each."""


def wake_vm(context: Any) -> Generator[Any, Any, Any]:
    """Start a VM and wait until its agent is ready.

    Input: ``{vm, epoch, wake_poll_s, ready_poll_s}``, and ``is_started`` once ARM has taken the
    start. Output: the last outcome.
    """
    order: dict[str, Any] = context.get_input()
    wake = {"vm": order["vm"], "epoch": order["epoch"]}
    if not order.get("is_started"):
        started = yield from _start(context, wake)
        if started["outcome"] != "accepted":
            return started
    for _ in range(MAX_ROUNDS):
        seen = yield from call_with_retry(context, Activity.CHECK_WAKE, wake)
        if seen["outcome"] in ("ready", "failed", "stale"):
            return seen
        poll_s = order["ready_poll_s" if seen["outcome"] == "warming" else "wake_poll_s"]
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=poll_s))
    context.continue_as_new({**order, "is_started": True})
    return None


def _start(context: Any, wake: dict[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
    started = yield from call_with_retry(context, Activity.START_VM, wake)
    while started["outcome"] == "later":
        pause = timedelta(seconds=started.get("retry_after_s") or START_RETRY.total_seconds())
        yield context.create_timer(context.current_utc_datetime + pause)
        started = yield from call_with_retry(context, Activity.START_VM, wake)
    return started
