"""Retire one VM: drain its agent, deallocate it, confirm that it is deallocated.

The agent may refuse the drain, and the pool may answer a completed drain with a new epoch; then
this ends without deallocating. With `lost` there is nobody to drain. It begins anew after some
rounds, so that a deallocation that hangs does not let its history grow.
"""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from orchestrator.domain.names import Activity
from orchestrator.domain.pool.commands import VmLost, command_to_json
from orchestrator.workflows.call_with_retry import call_with_retry

RETRY = timedelta(seconds=15)
UNREACHABLE_PAUSE = timedelta(seconds=2)
MAX_ROUNDS = 20
"""Polls in one execution, some seven history events each."""


def retire_vm(context: Any) -> Generator[Any, Any, Any]:
    """Drain and deallocate a VM.

    Input: ``{vm, epoch, drain, lost, wake_poll_s, unreachable_s}``, and ``deallocation`` once the
    drain is over: the outcome it goes on from. Output: the last outcome.
    """
    order: dict[str, Any] = context.get_input()
    retire = {"vm": order["vm"], "epoch": order["epoch"], "drain": order["drain"]}
    if not order["lost"] and "deallocation" not in order:
        answer = yield from _drain(context, retire, timedelta(seconds=order["unreachable_s"]))
        if answer["outcome"] != "deallocate":
            return answer
    outcome = order.get("deallocation", "failed")
    poll = timedelta(seconds=order["wake_poll_s"])
    ended = yield from _deallocate(context, retire, poll, outcome)
    if ended["outcome"] not in ("deallocated", "stale"):
        context.continue_as_new({**order, "deallocation": ended["outcome"]})
        return None
    return ended


def _drain(
    context: Any, retire: dict[str, Any], patience: timedelta
) -> Generator[Any, Any, dict[str, Any]]:
    give_up_at = context.current_utc_datetime + patience
    while True:
        answer = yield from call_with_retry(context, Activity.DRAIN_VM, retire)
        if answer["outcome"] != "unreachable":
            return answer
        if context.current_utc_datetime >= give_up_at:
            lost = VmLost(vm=retire["vm"], epoch=retire["epoch"], reason="no answer to the drain")
            yield from call_with_retry(context, Activity.APPLY_POOL_COMMAND, command_to_json(lost))
            return answer
        yield context.create_timer(context.current_utc_datetime + UNREACHABLE_PAUSE)


def _deallocate(
    context: Any, retire: dict[str, Any], poll: timedelta, outcome: str
) -> Generator[Any, Any, dict[str, Any]]:
    """Ask for the deallocation unless that was done, and poll; give the last outcome."""
    for _ in range(MAX_ROUNDS):
        if outcome == "failed":
            asked = yield from call_with_retry(context, Activity.DEALLOCATE_VM, retire)
            if asked["outcome"] == "stale":
                return asked
            if asked["outcome"] == "later":
                pause = asked.get("retry_after_s") or RETRY.total_seconds()
                yield context.create_timer(context.current_utc_datetime + timedelta(seconds=pause))
                continue
        seen = yield from call_with_retry(context, Activity.CHECK_DEALLOCATED, retire)
        outcome = seen["outcome"]
        if outcome in ("deallocated", "stale"):
            return seen
        yield context.create_timer(context.current_utc_datetime + poll)
    return {"outcome": outcome}
