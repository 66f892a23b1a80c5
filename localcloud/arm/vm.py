"""What a VM is at one moment, as values. Times are epoch seconds."""

from dataclasses import dataclass, field
from enum import StrEnum

from localcloud.arm.errors import ArmDetail


class PowerState(StrEnum):
    """Azure's power states."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DEALLOCATING = "deallocating"
    DEALLOCATED = "deallocated"


class OperationStatus(StrEnum):
    """How far a long-running operation is, in the words of its polling body."""

    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Overlap(StrEnum):
    """What a start does while a deallocation is under way. Azure documents none of them."""

    CONFLICT = "conflict"
    NOT_ALLOWED = "not_allowed"
    PREEMPT = "preempt"


class AgentStep(StrEnum):
    """What has to be done about a VM's agent now."""

    NOTHING = "nothing"
    SPAWN = "spawn"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a VM takes its time, in seconds.

    Attributes:
        boot_s: From the start's acceptance to running.
        deallocate_s: From the deallocation's acceptance to deallocated.
        restart_agent_after_s: From an agent's death to its next start; None: it stays dead.
        overlap: What a start does during a deallocation.
        operation_kept_s: From an operation's end until nothing is known of it any more.
    """

    boot_s: float = 5.0
    deallocate_s: float = 2.0
    restart_agent_after_s: float | None = None
    overlap: Overlap = Overlap.CONFLICT
    operation_kept_s: float = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPlan:
    """How a start will turn out.

    Attributes:
        boot_s: From acceptance to its end; None: the VM's own pace.
        extra_boot_s: Added to that.
        failure: How its operation fails when that time is over; None: it succeeds.
        agent_starts: Whether the VM, once running, starts its agent.
    """

    boot_s: float | None = None
    extra_boot_s: float = 0.0
    failure: ArmDetail | None = None
    agent_starts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A long-running operation.

    Attributes:
        id: A GUID.
        kind: ``start``, ``deallocate`` or ``powerOff``.
        started_at: Epoch seconds.
        ended_at: Epoch seconds; None while in progress.
        failure: Why it failed.
    """

    id: str
    kind: str
    started_at: float
    status: OperationStatus = OperationStatus.IN_PROGRESS
    ended_at: float | None = None
    failure: ArmDetail | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A time spent in one power state; `ended_at` is None for the one that goes on."""

    state: PowerState
    started_at: float
    ended_at: float | None = None
    is_billed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A process that stands for what runs inside the VM: a unit of its systemd.

    Attributes:
        pid: Its process id while it lives.
        created_at: When that process was made, to tell it from a later one of the same id.
        died_at: When it ended although the VM was running; epoch seconds.
        stays_dead: It is not started again until the VM's next boot.
    """

    pid: int | None = None
    created_at: float | None = None
    died_at: float | None = None
    stays_dead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A VM at one moment.

    Attributes:
        name: Its name in Azure.
        power: Its power state.
        current: The operation under way.
        due_at: When the present transition is over; epoch seconds.
        plan: How the start under way will turn out.
        release_failure: Why the deallocation under way will fail; None: it will not.
        failure: Why the last operation failed; shown as its provisioning state.
        intervals: The latest power intervals, oldest first; the last one goes on.
        billed_before_s: Billed seconds of intervals no longer kept.
        starts: How often it came to run.
        past: Operations that are over, oldest first.
        agent: Its agent's process.
        switch: Its dead-man's switch's process, if it has one.
    """

    name: str
    power: PowerState = PowerState.DEALLOCATED
    current: Operation | None = None
    due_at: float | None = None
    plan: StartPlan = field(default_factory=StartPlan)
    release_failure: ArmDetail | None = None
    failure: ArmDetail | None = None
    intervals: tuple[Interval, ...] = ()
    billed_before_s: float = 0.0
    starts: int = 0
    past: tuple[Operation, ...] = ()
    agent: Agent = field(default_factory=Agent)
    switch: Agent = field(default_factory=Agent)
