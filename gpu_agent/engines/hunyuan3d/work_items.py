"""What a worker thread leaves with the GPU worker and waits for."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpu_agent.engines.hunyuan3d.batching import Waiting
from gpu_agent.engines.hunyuan3d.health import Step
from gpu_agent.engines.hunyuan3d.messages import PaintWork, Shaped, ShapeWork
from gpu_agent.errors import EngineError


@dataclass(eq=False, slots=True, kw_only=True)
class WorkItem:
    """One piece of work for the GPU and what became of it.

    Written by the GPU worker's thread only, but for `is_wanted`.

    Attributes:
        number: Of the work.
        arrival: Of its job; a job's texture keeps the place that its shape had.
        losses: Child processes that were lost with it.
        is_wanted: False once its job was stopped.
        step: What is done for it, and how much of that, 0 to 1; None while it waits.
        seconds: What its steps took.
        over: Set when `answer` or `error` is.
    """

    number: int
    arrival: int
    work: ShapeWork | PaintWork
    losses: int = 0
    is_wanted: bool = True
    step: tuple[Step, float] | None = None
    seconds: dict[Step, float] = field(default_factory=dict)
    answer: Shaped | bytes | None = None
    error: EngineError | None = None
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def about(self) -> Mapping[str, Any]:
        """What log lines about it carry."""
        return self.work.about

    def waiting(self) -> Waiting:
        """Give what the choice of a batch needs to know."""
        settings = self.work.settings[0] if isinstance(self.work, ShapeWork) else None
        return Waiting(number=self.arrival, settings=settings, runs_alone=self.losses > 0)

    def end(
        self, *, answer: Shaped | bytes | None = None, error: EngineError | None = None
    ) -> None:
        """Let the worker thread go on."""
        self.answer, self.error = answer, error
        self.over.set()
