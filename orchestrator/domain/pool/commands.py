"""What can be told to the pool. Any command may come twice, late, or out of order."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue:
    """A job asks for its first slot of this attempt.

    Reply: ``{"answer": "slot", vm, epoch}``, ``{"answer": "wait", position, waiting_for, ...}`` or
    ``{"answer": "over"}`` when this or a newer attempt has ended, ``{"answer": "cancelled"}`` when
    the job was.

    Attributes:
        round: Number of the wait that an offer should end (see `names.slot_event`).
        priority: Higher goes first; first come first served within one.
    """

    job_id: str
    fence: int
    round: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquire(Enqueue):
    """A job claims an offer, or asks because its wait timed out. Reply as for `Enqueue`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An attempt is over: it holds no slot and no ticket from now on.

    Reply: ``{"answer": "done" | "stale", "cost": {usd, compute_seconds, …} or None}``, the cost of
    all of the job's attempts so far.

    Attributes:
        ran: True if the attempt ended on the agent, so that its duration may be learned from.
        vm_unreachable: True when the agent did not answer for a minute: its VM is lost.
    """

    job_id: str
    fence: int
    ran: bool = False
    vm_unreachable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """End every attempt up to a fence; a slot is freed only once its agent has confirmed."""

    job_id: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerAsked:
    """ARM is about to be asked to start or to deallocate a VM, `at` (epoch seconds).

    Whoever hears no answer, or ends before it, leaves this behind: the moment from which the VM
    may have been billed, or no longer. Reply ``stale`` if it must not be asked.

    Attributes:
        found_off_at: When Azure was asked, just before, and said that the VM is off; None: it did
            not say so.
        start_failed: Whether Azure also said that the VM's last start failed.
    """

    vm: str
    epoch: int
    drain: int
    at: float
    found_off_at: float | None = None
    start_failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerRefused:
    """ARM has answered that it will not do what it was asked for `at`: that call began nothing."""

    vm: str
    epoch: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAccepted:
    """ARM took the start that it was asked for `at` (epoch seconds): billing begins.

    Attributes:
        may_have_been_on: It was on already, or that is not known: billing began before.
    """

    vm: str
    epoch: int
    at: float
    may_have_been_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRunning:
    """ARM says running; the agent is not ready yet."""

    vm: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VmReady:
    """The agent takes jobs.

    Attributes:
        machine_boot: Which boot of its machine it names, or empty.
        off_by, max_uptime_s: See `cap.Cap`.
    """

    vm: str
    epoch: int
    machine_boot: str = ""
    off_by: float | None = None
    max_uptime_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed:
    """A wake gave up.

    Attributes:
        code: ARM's ``error.code`` or ours.
        is_capacity: No host has room: cool down and try the next candidate. Counts as no failure.
        is_configuration: Nothing but a person's act will help: opens the VM's circuit at once.
        may_be_on: The VM may be running: deallocate it before anything else.
    """

    vm: str
    epoch: int
    code: str
    message: str = ""
    is_capacity: bool = False
    is_configuration: bool = False
    may_be_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VmLost:
    """The agent or its VM is gone."""

    vm: str
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """The agent closed its door and holds nothing.

    Reply: ``{"answer": "deallocate"}`` or ``{"answer": "reopened"}``.
    """

    vm: str
    epoch: int
    drain: int
    receipt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRefused:
    """The agent holds a job."""

    vm: str
    epoch: int
    drain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeallocationAccepted:
    """ARM took the deallocation that it was asked for `at` (epoch seconds): billing ends.

    Attributes:
        may_have_been_off: It was off already, or that is not known: billing ended before.
    """

    vm: str
    epoch: int
    at: float
    may_have_been_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deallocated:
    """ARM says deallocated."""

    vm: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prewarm:
    """Keep the first `vms` candidates that can be had warm until a moment (epoch seconds)."""

    vms: int
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetVm:
    """Let a broken or cooling VM be tried again. Reply ``stale`` if it is neither."""

    vm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Effects that are done: they leave the outbox if they are still the same."""

    effects: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSeen:
    """What was observed of a VM, with the belief under which it was observed.

    Attributes:
        epoch, phase_since: The pool's belief at the time; a later change makes this stale.
        seen_at: Just before Azure was asked, epoch seconds.
        power: Azure's power state, ``gone`` when there is no such VM, or None when it could not be
            read.
        failure: ``error.code`` of the VM's last operation, or None if that did not fail.
        agent: ``up``, ``closed`` or ``unreachable``; None when it was not asked.
        jobs: Live jobs on the agent as (job_id, fence), or None when not known.
        machine_boot: Which boot of its machine the agent names; empty when it was not asked.
        off_by, max_uptime_s: See `cap.Cap`.
    """

    vm: str
    epoch: int
    phase_since: float
    seen_at: float = 0.0
    power: str | None = None
    failure: str | None = None
    agent: str | None = None
    jobs: list[list[Any]] | None = None
    machine_boot: str = ""
    off_by: float | None = None
    max_uptime_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSeen:
    """An attempt, in a slot or in the queue, of which something was seen."""

    job_id: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The reconciler's round.

    Reply: ``{"answer": "sleep", until, for_s}`` (epoch seconds, seconds) or
    ``{"answer": "superseded"}``.

    Attributes:
        generation: The reconciler's own, or None when `sweep` ticks.
        ended: Attempts whose job or workflow instance is over.
        missing: Attempts whose workflow instance does not exist.
    """

    generation: int | None = None
    seen: list[VmSeen] = field(default_factory=list)
    ended: list[JobSeen] = field(default_factory=list)
    missing: list[JobSeen] = field(default_factory=list)


Command = (
    Enqueue
    | Acquire
    | Release
    | Cancel
    | PowerAsked
    | PowerRefused
    | StartAccepted
    | VmRunning
    | VmReady
    | StartFailed
    | VmLost
    | Drained
    | DrainRefused
    | DeallocationAccepted
    | Deallocated
    | Prewarm
    | ResetVm
    | Confirm
    | Tick
)

_KINDS: dict[str, type[Command]] = {c.__name__: c for c in get_args(Command)}


def command_to_json(command: Command) -> dict[str, Any]:
    """Give a command's JSON object, fit for an activity's input."""
    return {"kind": type(command).__name__, **asdict(command)}


def command_from_json(data: Mapping[str, Any]) -> Command:
    """Build a command from its JSON object.

    Raises:
        KeyError: The kind is unknown.
        TypeError: A field is absent or unknown.
    """
    values = dict(data)
    kind = _KINDS[values.pop("kind")]
    if kind is Tick:
        values["seen"] = [VmSeen(**seen) for seen in values.get("seen", [])]
        for name in ("ended", "missing"):
            values[name] = [JobSeen(**job) for job in values.get(name, [])]
    command: Command = kind(**values)
    return command
