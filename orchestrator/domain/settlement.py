"""What becomes of a job's row when its workflow ended without writing it, or is gone."""

from enum import StrEnum
from typing import NamedTuple

from orchestrator.domain.instances import LIVE
from orchestrator.domain.job import JobRow, JobState

ENDED_FROM_OUTSIDE = ("Terminated", "Canceled")
FORGOTTEN_S = 60.0
"""A queued job this old, in seconds, was cut off before its workflow began, if it has none. The
row is inserted before the workflow is started."""
LOST_S = 300.0
"""A job is never called lost when it is younger than this, in seconds."""
LOOKS_APART_S = 60.0
"""Two looks lie at least so far apart, in seconds: a timer may run twice at once."""


class Step(StrEnum):
    """What to do about a row that is not over."""

    NOTHING = "nothing"
    START = "start"
    """Start its workflow."""
    NOTE_MISSING = "note_missing"
    """Remember that there was no workflow."""
    NOTE_SEEN = "note_seen"
    """Forget that there was none."""
    CANCEL = "cancel"
    FAIL = "fail"
    LOSE = "lose"
    """The workflow is gone."""


class InstanceSeen(NamedTuple):
    """A workflow instance as it was seen.

    Attributes:
        status: Durable's runtime status; None if there is no such instance.
        ended_as: The job's state that its output names, or None.
    """

    status: str | None
    ended_as: str | None = None


def next_step(row: JobRow, seen: InstanceSeen, batch: InstanceSeen | None, now: float) -> Step:
    """Decide what to do about a row.

    Args:
        row: Not over.
        seen: The job's own instance.
        batch: That of the batch to which it belongs, or None if it belongs to none.
        now: Epoch seconds.
    """
    if seen.status in LIVE:
        return Step.NOTHING if row.missing_at is None else Step.NOTE_SEEN
    if seen.status is not None:
        return _end(seen)
    if row.state is JobState.QUEUED:
        # Its batch starts it, once its image is there.
        if batch is None or batch.status is None:
            return Step.START if now - row.created_at > FORGOTTEN_S else Step.NOTHING
        if batch.status in LIVE:
            return Step.NOTHING
        if batch.status in ENDED_FROM_OUTSIDE:
            return Step.CANCEL
    if now - row.created_at < LOST_S:
        return Step.NOTHING
    if row.missing_at is None:
        return Step.NOTE_MISSING
    return Step.LOSE if now - row.missing_at >= LOOKS_APART_S else Step.NOTHING


def _end(seen: InstanceSeen) -> Step:
    if seen.status in ENDED_FROM_OUTSIDE or seen.ended_as == JobState.CANCELLED:
        return Step.CANCEL
    return Step.FAIL
