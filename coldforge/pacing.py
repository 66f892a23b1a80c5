"""How long to wait before asking again."""

import random
from collections.abc import Callable

from coldforge.models import JobStatus

SHORTEST_POLL_S = 0.5
LONGEST_POLL_S = 5.0
"""A person watches the progress line; a longer silence looks like a hang."""

LONGEST_RETRY_S = 15.0


def choose_poll_delay(status: JobStatus) -> float:
    """Return the seconds until a job should be looked at again.

    The server's own wish comes first, then half of the time that it thinks is left.
    """
    if status.retry_after_s is not None:
        return max(SHORTEST_POLL_S, status.retry_after_s)
    if status.estimated_seconds_left is not None:
        half = status.estimated_seconds_left / 2
        return min(LONGEST_POLL_S, max(SHORTEST_POLL_S, half))
    return 1.0 if status.state == "running" else 2.0


def choose_retry_delay(
    failures: int,
    *,
    retry_after_s: float | None = None,
    draw: Callable[[], float] = random.random,
) -> float:
    """Return the seconds until a failed call is made again.

    It doubles from half a second, less up to a half by chance, so that many clients don't come
    back in step.

    Args:
        failures: How many there were in a row, 1 or more.
        retry_after_s: What the server asked for; never undercut.
        draw: Gives numbers in [0, 1).
    """
    longest_s = min(LONGEST_RETRY_S, 0.5 * 2.0 ** (min(failures, 10) - 1))
    return max(longest_s * (1 - draw() / 2), retry_after_s or 0.0)
