"""The pool's state: one small JSON object."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, Self

from orchestrator.domain.pool.effects import Effect, effect_from_json, effect_to_json

VERSION = 1
OVER_LIMIT = 2000
"""Ended attempts remembered; a straggler older than that many jobs finds no slot to harm."""
LEARNED_LIMIT = 20
SETTLED_LIMIT = 500
MONTHS_LIMIT = 24


class VmPhase(StrEnum):
    """What the pool believes of a VM."""

    DEALLOCATED = "deallocated"
    STARTING = "starting"
    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"
    DEALLOCATING = "deallocating"
    NO_CAPACITY = "no_capacity"
    BROKEN = "broken"


class Ticket(NamedTuple):
    """A job waiting for a slot.

    Attributes:
        since: When the job joined, epoch seconds: its place in the queue.
        asked_at: When its workflow last asked, epoch seconds.
        misses: Offers in a row that nobody claimed.
    """

    job_id: str
    fence: int
    since: float
    asked_at: float
    round: int
    priority: int
    misses: int

    @property
    def order(self) -> tuple[int, float, str]:
        """Sort key: priority first, then first come first served."""
        return (-self.priority, self.since, self.job_id)


class Slot(NamedTuple):
    """A place on a VM, held by one attempt of one job.

    Attributes:
        granted_at: When it was offered, epoch seconds.
        claimed: False while it is only an offer.
        releasing: The job was ended from outside; the slot waits for the agent to confirm.
        ended_at: When it was, epoch seconds; 0 before.
    """

    job_id: str
    fence: int
    granted_at: float
    claimed: bool
    releasing: bool
    since: float
    round: int
    priority: int
    misses: int
    ended_at: float = 0.0


@dataclass(slots=True)
class Share:
    """A job's share of a VM's open interval, in seconds."""

    compute_s: float = 0.0
    cold_start_s: float = 0.0
    idle_s: float = 0.0


class Settled(NamedTuple):
    """What all attempts of an ended job have cost so far."""

    compute_s: float = 0.0
    cold_start_s: float = 0.0
    idle_s: float = 0.0
    usd: float = 0.0


@dataclass(slots=True)
class OpenInterval:
    """The time that a VM is billed for and that is not in its account yet.

    Moments are epoch seconds. While nothing is billed, `began_at` is None and the rest is what the
    last interval left.

    Attributes:
        is_estimated: The start was discovered and not made by the pool, or the VM may have been
            off in it.
        has_run: The VM has been on for more than a start that may yet fail.
        seen_on_at: When it was last known to be on.
        machine_boot: Which boot of its machine the agent named; empty before.
        counted_to: Up to when the seconds have found their parts.
        parts: Seconds by month and `billing.meter.Part`.
        shares: By job with a slot.
        gap_s: Idle seconds since the last job, not yet borne by a next one.
        cold_s: Seconds of this wake's cold start, not yet borne by a job.
    """

    began_at: float | None = None
    is_estimated: bool = False
    has_run: bool = False
    seen_on_at: float = 0.0
    machine_boot: str = ""
    counted_to: float = 0.0
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)
    gap_s: float = 0.0
    cold_s: float = 0.0

    def copy(self) -> "OpenInterval":
        """Give a copy that shares nothing that is changed in place."""
        return replace(
            self,
            parts=_copy_months(self.parts),
            shares={job_id: replace(share) for job_id, share in self.shares.items()},
        )


@dataclass(slots=True)
class Vm:
    """A candidate as the pool believes it to be. All moments are epoch seconds.

    Attributes:
        epoch: Number of the wake period; 0 before the first.
        interval: What it is billed for.
        asked_at: When ARM was first asked for what this phase wants; None once it has answered.
        not_begun_at: When that was last seen not to have begun, epoch seconds.
        retry_at: End of the cool-down.
        failures: Failed wakes in a row.
        capacity_failures: Stock-outs in a row.
        reason: One sentence on why it is as it is, for people.
        home: The candidate's fields as of its latest wake: how to reach and deallocate the VM even
            after it was taken out of the settings.
        drain: Number of the latest drain in this epoch.
        receipt: The agent's drain receipt, needed to deallocate without the workflow.
        unseen_since: First of the observations in a row in which the agent did not answer.
        adrift: Jobs with a claimed slot that no workflow or no agent was seen to work on, and when
            that was first seen.
        off_by: When the VM's switch deallocates it at the latest; None while that is not known.
        max_uptime_s: Seconds from its boot until `off_by`; 0 while that is not known.
    """

    name: str
    phase: VmPhase = VmPhase.DEALLOCATED
    epoch: int = 0
    phase_since: float = 0.0
    slots: dict[str, Slot] = field(default_factory=dict)
    last_busy_at: float = 0.0
    woken_at: float = 0.0
    interval: OpenInterval = field(default_factory=OpenInterval)
    asked_at: float | None = None
    not_begun_at: float = 0.0
    retry_at: float = 0.0
    failures: int = 0
    capacity_failures: int = 0
    reason: str = ""
    home: dict[str, Any] | None = None
    drain: int = 0
    receipt: str | None = None
    unseen_since: float | None = None
    adrift: dict[str, float] = field(default_factory=dict)
    off_by: float | None = None
    max_uptime_s: float = 0.0

    def copy(self) -> "Vm":
        """Give a copy that shares nothing that is changed in place."""
        return replace(
            self,
            slots=dict(self.slots),
            adrift=dict(self.adrift),
            interval=self.interval.copy(),
        )


@dataclass(slots=True)
class Account:
    """What a VM has cost so far, closed intervals only.

    Attributes:
        estimated_s: The part of `billed_s` whose start or end was discovered, not made.
        months: Seconds by month (UTC, ``2026-11``) and `billing.meter.Part`; the latest 24
            months.
    """

    billed_s: float = 0.0
    estimated_s: float = 0.0
    cost_usd: float = 0.0
    wakes: int = 0
    months: dict[str, dict[str, float]] = field(default_factory=dict)

    def copy(self) -> "Account":
        """Give a copy that shares nothing that is changed in place."""
        return replace(self, months=_copy_months(self.months))


class Pending(NamedTuple):
    """An effect in the outbox; issued again at `next_at` (epoch seconds) unless confirmed."""

    effect: Effect
    next_at: float


@dataclass(slots=True)
class PoolState:
    """Everything the pool knows.

    Attributes:
        queue: Sorted by `Ticket.order`.
        over: Highest fence that has ended, by job, oldest first, bounded.
        generation: The reconciler's.
        tick_at: Last tick, epoch seconds.
        look_at: When the next tick is planned, epoch seconds.
        settled: What ended jobs cost; bounded.
        prewarm_vms: VMs wanted warm until `prewarm_until` (epoch seconds).
        learned: Recent durations in seconds: ``wake_s`` (cold starts) and ``job_s`` (slots).
    """

    vms: dict[str, Vm] = field(default_factory=dict)
    queue: list[Ticket] = field(default_factory=list)
    outbox: dict[str, Pending] = field(default_factory=dict)
    over: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    learned: dict[str, list[float]] = field(default_factory=dict)
    generation: int = 0
    tick_at: float = 0.0
    look_at: float = 0.0
    prewarm_vms: int = 0
    prewarm_until: float = 0.0
    settled: dict[str, Settled] = field(default_factory=dict)

    def copy(self) -> Self:
        """Give a copy that shares only values that are never changed in place."""
        return replace(
            self,
            vms={name: vm.copy() for name, vm in self.vms.items()},
            queue=list(self.queue),
            outbox=dict(self.outbox),
            over=dict(self.over),
            accounts={name: account.copy() for name, account in self.accounts.items()},
            settled=dict(self.settled),
            learned={name: list(values) for name, values in self.learned.items()},
        )

    def slot_of(self, job_id: str) -> tuple[Vm, Slot] | None:
        """Find the slot that a job holds."""
        for vm in self.vms.values():
            if job_id in vm.slots:
                return vm, vm.slots[job_id]
        return None

    def open_jobs(self) -> int:
        """Count the jobs waiting or holding a slot."""
        return len(self.queue) + sum(len(vm.slots) for vm in self.vms.values())

    def to_json(self) -> dict[str, Any]:
        """Give the JSON object."""
        return {
            "version": VERSION,
            "vms": {name: _vm_to_json(vm) for name, vm in self.vms.items()},
            "queue": [list(ticket) for ticket in self.queue],
            "outbox": {
                key: [effect_to_json(p.effect), p.next_at] for key, p in self.outbox.items()
            },
            "over": self.over,
            "accounts": {name: _fields(account) for name, account in self.accounts.items()},
            "learned": self.learned,
            "generation": self.generation,
            "tick_at": self.tick_at,
            "look_at": self.look_at,
            "settled": {job_id: list(cost) for job_id, cost in self.settled.items()},
            "prewarm_vms": self.prewarm_vms,
            "prewarm_until": self.prewarm_until,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the state from its JSON object.

        What an older app did not know takes its default, and what a newer one has added within
        the version is left out, so that the app may be put back.

        Raises:
            ValueError: A newer version of the app wrote it; this one would lose what it added.
        """
        if data.get("version") != VERSION:
            raise ValueError(
                f"pool state has version {data.get('version')}, this app reads {VERSION}: "
                "deploy the newer app again"
            )
        return cls(
            vms={name: _vm_from_json(vm) for name, vm in data["vms"].items()},
            queue=[Ticket(*ticket) for ticket in data["queue"]],
            outbox={
                key: Pending(effect_from_json(effect), next_at)
                for key, (effect, next_at) in data["outbox"].items()
            },
            over=dict(data["over"]),
            accounts={
                name: Account(**_known(Account, account))
                for name, account in data["accounts"].items()
            },
            learned=dict(data["learned"]),
            generation=data["generation"],
            tick_at=data["tick_at"],
            look_at=data["look_at"],
            settled={job: Settled(*cost) for job, cost in data.get("settled", {}).items()},
            prewarm_vms=data.get("prewarm_vms", 0),
            prewarm_until=data.get("prewarm_until", 0.0),
        )


_STORED_VM = (
    *("name", "phase", "epoch", "phase_since", "slots", "last_busy_at", "woken_at"),
    *("billed_since", "is_estimated", "has_run", "seen_on_at", "machine_boot"),
    *("asked_at", "not_begun_at", "counted_to", "parts", "shares", "gap_s", "cold_s", "retry_at"),
    *("failures", "capacity_failures", "reason", "home", "drain", "receipt", "unseen_since"),
    *("adrift", "off_by", "max_uptime_s"),
)
"""Keys of a stored VM, in their order. Those of its interval lie flat among the others."""
_STORED_INTERVAL = {
    "billed_since" if name == "began_at" else name: name for name in OpenInterval.__slots__
}
"""Fields of an interval, by their stored key."""


def _vm_to_json(vm: Vm) -> dict[str, Any]:
    interval = vm.interval
    values = {
        key: getattr(interval, _STORED_INTERVAL[key])
        if key in _STORED_INTERVAL
        else getattr(vm, key)
        for key in _STORED_VM
    }
    values["slots"] = [list(slot) for slot in vm.slots.values()]
    values["shares"] = {
        job_id: [share.compute_s, share.cold_start_s, share.idle_s]
        for job_id, share in interval.shares.items()
    }
    return values


def _vm_from_json(data: Mapping[str, Any]) -> Vm:
    slots = [Slot(*slot) for slot in data["slots"]]
    interval = {
        name: data[key]
        for key, name in _STORED_INTERVAL.items()
        if key in data and key != "shares"
    }
    shares = {job_id: Share(*share) for job_id, share in data.get("shares", {}).items()}
    values = {
        **_known(Vm, data),
        "phase": VmPhase(data["phase"]),
        "slots": {slot.job_id: slot for slot in slots},
        "interval": OpenInterval(**interval, shares=shares),
    }
    return Vm(**values)


def _fields(value: Account) -> dict[str, Any]:
    """Give an object's fields as they are; `asdict` would copy each of them, however deep."""
    return {name: getattr(value, name) for name in value.__slots__}


def _known(kind: type[Vm | Account], data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in kind.__slots__ if name in data}


def _copy_months(months: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {month: dict(parts) for month, parts in months.items()}
