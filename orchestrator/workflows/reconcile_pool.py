"""The eternal timer orchestration: one tick, one sleep, and again as a new execution.

Each round is an execution of its own, so that history stays short and a `look` event that came
twice can't be served to a later wait. A `look` that continue-as-new drops does no harm: the next
tick follows at once.
"""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.domain.names import LOOK_EVENT, Activity
from orchestrator.workflows.call_with_retry import call_with_retry


def reconcile_pool(context: Any) -> Generator[Any, Any, Any]:
    """Tick, sleep until the pool's next deadline or a `look`, continue as new.

    Input: ``{generation}``. It ends only when a newer generation has taken over.
    """
    order: dict[str, Any] = context.get_input()
    tick = {"generation": order["generation"]}
    answer = yield from call_with_retry(context, Activity.TICK_POOL, tick)
    if answer["answer"] == "superseded":
        return answer
    until = _end_of_sleep(answer, context.current_utc_datetime)
    if until > context.current_utc_datetime:
        look = context.wait_for_external_event(LOOK_EVENT)
        timer = context.create_timer(until)
        winner = yield context.task_any([look, timer])
        if winner == look:
            timer.cancel()
    context.continue_as_new(order)
    return None


def _end_of_sleep(answer: dict[str, Any], now: datetime) -> datetime:
    """Count the sleep from the host's own time.

    The app's clock may have been put back since: a moment by that clock could have passed here,
    and the reconciler would tick without a pause until the clocks agree again.
    """
    if "for_s" in answer:
        return now + timedelta(seconds=answer["for_s"])
    # Written by an earlier version of the app.
    return datetime.fromtimestamp(answer["until"], UTC)
