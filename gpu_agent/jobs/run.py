"""What passes between the services and the threads that work for them."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu_agent.jobs.job import JobKey
from gpu_agent.wire import Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A job that a worker thread has taken.

    Attributes:
        deadline_at: When its time is up, in seconds on the boot clock.
        stopped: Set when the job must not go on.
    """

    key: JobKey
    epoch: int
    submission: Submission
    deadline_at: float
    stopped: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """How far the engine's set-up is.

    Attributes:
        phase: ``setting_up``, ``warming_up``, ``ready`` or ``failed``, as in `Readiness`.
        percent: 0 to 100.
        detail: One sentence for a person.
        steps: Percent of each step that was begun, in order.
    """

    phase: str
    percent: int
    detail: str
    steps: Mapping[str, int] = field(default_factory=dict)

    def go_on(self, percent: int, detail: str, step: str) -> "SetUp":
        """Say how far it is; a new step means that those before it are done."""
        steps = dict(self.steps)
        if step and step not in steps:
            steps = dict.fromkeys(steps, 100)
        if step:
            steps[step] = max(percent, steps.get(step, 0))
        phase = "warming_up" if step == "warm_up" else "setting_up"
        return SetUp(phase=phase, percent=percent, detail=detail, steps=steps)
