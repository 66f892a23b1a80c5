"""Calling an activity again while it fails.

What an activity finds out is its answer. When it raises instead, the ground under it gave way:
storage did not answer, or the host ended. That passes, and must cost nobody a job or a VM.
The SDK's own retry options are no help inside `task_any`, and count a task twice when it is
yielded twice, so this is a loop of calls and timers.
"""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from orchestrator.domain.names import Activity

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=1)
MAX_FAILURES = 90
"""In a row, about an hour and a half: longer than storage is ever away."""


def call_with_retry(
    context: Any, activity: Activity, order: dict[str, Any]
) -> Generator[Any, Any, dict[str, Any]]:
    """Call an activity until it answers.

    Yields the call, then a timer and the call again for every failure.

    Raises:
        Exception: The last failure, after `MAX_FAILURES` of them.
    """
    pause = FIRST_PAUSE
    for _ in range(MAX_FAILURES - 1):
        try:
            answer: dict[str, Any] = yield context.call_activity(activity, order)
        except Exception:  # noqa: BLE001 - the SDK raises plain Exception for a failed activity
            yield context.create_timer(context.current_utc_datetime + pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            return answer
    answer = yield context.call_activity(activity, order)
    return answer
