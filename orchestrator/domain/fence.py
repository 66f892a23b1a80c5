"""A job's fence: an integer that is higher for every newer attempt, also after a new start.

The start of the job's workflow in milliseconds, then the attempt. A job started again under its
id is thereby newer than whatever its earlier run left behind on an agent.
"""

MAX_TRIES = 99
"""Two decimal digits hold the attempt."""


def fence_of(started_ms: int, attempt: int) -> int:
    """Build the fence of one attempt.

    Args:
        started_ms: Start of the workflow, milliseconds since 1970.
        attempt: 1 to `MAX_TRIES`.

    Raises:
        ValueError: `attempt` is out of range.
    """
    if not 1 <= attempt <= MAX_TRIES:
        raise ValueError(f"attempt must be 1 to {MAX_TRIES}, not {attempt}")
    return started_ms * 100 + attempt


def fence_ending_all_before(now: float) -> int:
    """Build the fence above every attempt of every run that began up to `now` (epoch seconds)."""
    return int(now * 1000) * 100 + MAX_TRIES


def ending_all(fence: int) -> int:
    """Raise a fence above every attempt of its run."""
    return fence // 100 * 100 + MAX_TRIES


def ends_all(fence: int) -> bool:
    """Tell whether a fence ends a job for good. No attempt has such a fence."""
    return fence % 100 == MAX_TRIES
