"""What passes between the desk and the threads that work for it."""

import threading
from dataclasses import dataclass, field

from gpu_agent.jobs import JobKey
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
        phase: ``setting_up``, ``ready`` or ``failed``, as in `Readiness`.
        percent: 0 to 100.
        detail: One sentence for a person.
    """

    phase: str
    percent: int
    detail: str
