"""Which waiting work the GPU worker does next. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from gpu_agent.engines.hunyuan3d.model import ShapeSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Work that waits.

    Attributes:
        number: Order of arrival of its job, unique.
        settings: Of a shape; None for a texture, which shares no batch.
        runs_alone: A child process was lost with it: the next loss must hit no other job.
    """

    number: int
    settings: ShapeSettings | None
    runs_alone: bool = False

    @property
    def may_share(self) -> bool:
        """Whether it can be part of a batch."""
        return self.settings is not None and not self.runs_alone


def choose_batch(waiting: Sequence[Waiting], *, limit: int) -> tuple[int, ...]:
    """Choose the next batch: the job that came first, and those that can share with it.

    The first one is always in it, so that nothing waits for ever behind later equals.

    Args:
        waiting: In any order.
        limit: Most jobs in one batch, at least 1.

    Returns:
        Numbers in the order of arrival; none only if nothing waits.
    """
    queue = sorted(waiting, key=lambda one: one.number)
    if not queue:
        return ()
    first = queue[0]
    if not first.may_share:
        return (first.number,)
    equals = [one.number for one in queue if one.may_share and one.settings == first.settings]
    return tuple(equals[:limit])
