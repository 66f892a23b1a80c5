"""What a decision asks the world to do. Each is safe to perform twice and late."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

LOOK = "look"
"""Name of a `Look` in the outbox: there is one at most."""


@dataclass(frozen=True, slots=True)
class GrantSlot:
    """Tell a job of an offer. Only a hint: the job claims it with `Acquire`."""

    job_id: str
    event: str
    vm: str
    epoch: int

    @property
    def key(self) -> str:
        """Name of the effect in the outbox."""
        return f"grant:{self.job_id}"


@dataclass(frozen=True, slots=True)
class WakeVm:
    """Start the workflow `wake_vm`."""

    vm: str
    epoch: int

    @property
    def key(self) -> str:
        """Name of the effect in the outbox."""
        return f"wake:{self.vm}"


@dataclass(frozen=True, slots=True)
class RetireVm:
    """Start the workflow `retire_vm`; `lost` skips the drain, for nobody is there to answer."""

    vm: str
    epoch: int
    drain: int
    lost: bool

    @property
    def key(self) -> str:
        """Name of the effect in the outbox."""
        return f"retire:{self.vm}"


@dataclass(frozen=True, slots=True)
class StopJob:
    """Cancel a job on an agent; once the agent has confirmed, release the job's slot."""

    vm: str
    job_id: str
    fence: int

    @property
    def key(self) -> str:
        """Name of the effect in the outbox."""
        return f"stop:{self.vm}:{self.job_id}:{self.fence}"


@dataclass(frozen=True, slots=True)
class StartReconciler:
    """Start a generation of the reconciler."""

    generation: int

    @property
    def key(self) -> str:
        """Name of the effect in the outbox."""
        return "reconciler"


@dataclass(frozen=True, slots=True)
class RecordInterval:
    """Write a billed interval into the ledger, for good. Moments are epoch seconds.

    Attributes:
        parts: Seconds by `ledger.Part`; they add up to the interval.
        is_estimated: Whether its begin or end was discovered and not made.
    """

    vm: str
    epoch: int
    began_at: float
    ended_at: float
    parts: dict[str, float]
    cost_usd: float
    is_estimated: bool

    @property
    def key(self) -> str:
        """Name of the effect in the outbox."""
        return f"interval:{self.vm}:{self.began_at}"


@dataclass(frozen=True, slots=True)
class Look:
    """Wake the reconciler before its planned time. Its tick confirms it."""

    generation: int

    @property
    def key(self) -> str:
        """Name of the effect in the outbox."""
        return LOOK


Effect = GrantSlot | WakeVm | RetireVm | StopJob | StartReconciler | RecordInterval | Look
"""Each stays in the outbox until confirmed."""

_KINDS: dict[str, type[Effect]] = {c.__name__: c for c in get_args(Effect)}


def effect_to_json(effect: Effect) -> dict[str, Any]:
    """Give an effect's JSON object."""
    return {"kind": type(effect).__name__, **asdict(effect)}


def effect_from_json(data: Mapping[str, Any]) -> Effect:
    """Build an effect from its JSON object."""
    values = dict(data)
    return _KINDS[values.pop("kind")](**values)
