"""What can go wrong in a rehearsal, by name: when it does, how often it did, and what it excuses.

A span is a time in which something may go wrong; whoever would suffer from it asks, and what it
then suffers counts as fired. A blow falls at one moment. Each firing may put off what the pool
does about a VM, or about all of them, by no more than its fault allows: see `PACES`.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from localcloud.rehearsal.timeline import Timeline
from localcloud.rehearsal.virtual_time import VirtualLoop


class FaultName(StrEnum):
    """The names."""

    STOCK_OUT = "stock_out"
    SLOW_START = "slow_start"
    NEVER_READY = "never_ready"
    STUCK_DEALLOCATING = "stuck_deallocating"
    LOST_ARM_REPLY = "lost_arm_reply"
    THROTTLED = "throttled"
    AGENT_CRASH = "agent_crash"
    AGENT_HANG = "agent_hang"
    SLOW_AGENT = "slow_agent"
    WRONG_ANSWER = "wrong_answer"
    NETWORK_CUT = "network_cut"
    STORAGE_ERROR = "storage_error"
    HOST_CRASH = "host_crash"
    DUPLICATE = "duplicate"
    LATE = "late"
    CLOCK_JUMP = "clock_jump"
    TERMINATED = "terminated"
    STARTED_BY_HAND = "started_by_hand"
    STOPPED_BY_HAND = "stopped_by_hand"
    DEALLOCATED_BY_HAND = "deallocated_by_hand"
    SUSPENDED = "suspended"
    STORE_LOST = "store_lost"
    CANCELLED_AT_BIRTH = "cancelled_at_birth"
    VM_UNLISTED = "vm_unlisted"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a fault comes and how long it stays, in virtual seconds.

    Attributes:
        gap_s: Mean time between two.
        lasts_s: Shortest and longest span; None for a blow.
        share: Of the calls that meet the span, how many suffer.
        hits_one: Whether a span is about one VM, drawn anew each time, or about everything.
        costs_s: Most seconds by which a firing puts off what the pool does about a VM.
        lasts_on: Whether the rest of the span comes on top: nothing gets through before its end.
        costs_anew: Whether each firing costs as much, and not only a VM's first in a span.
    """

    gap_s: float
    lasts_s: tuple[float, float] | None = None
    share: float = 1.0
    hits_one: bool = True
    costs_s: float = 0.0
    lasts_on: bool = False
    costs_anew: bool = False


PATIENCE_S = 75.0
"""A workflow asks an agent for a minute before it gives it up; then a last call of 10 s."""
RESTART_S = 180.0
"""The host is down for up to two minutes; then a tick."""
PACES: dict[FaultName, Pace] = {
    FaultName.STOCK_OUT: Pace(1500, (300, 2400), hits_one=True),
    FaultName.SLOW_START: Pace(2400, (600, 1500), share=0.7),
    FaultName.NEVER_READY: Pace(1800, (600, 1800), share=0.5),
    FaultName.STUCK_DEALLOCATING: Pace(2400, (600, 1500), share=0.8),
    # The workflow asks again after 15 s or 20.
    FaultName.LOST_ARM_REPLY: Pace(
        1500, (200, 900), share=0.5, hits_one=False, costs_s=20, costs_anew=True
    ),
    # Azure names a time of at most 90 s to wait.
    FaultName.THROTTLED: Pace(
        2400, (60, 400), share=0.8, hits_one=False, costs_s=90, lasts_on=True
    ),
    FaultName.AGENT_CRASH: Pace(1200, costs_s=PATIENCE_S),
    FaultName.AGENT_HANG: Pace(2400, (5, 200), costs_s=PATIENCE_S),
    FaultName.SLOW_AGENT: Pace(1800, (30, 300), share=0.5, costs_s=PATIENCE_S),
    FaultName.WRONG_ANSWER: Pace(1200, (30, 180), share=0.3, costs_s=PATIENCE_S),
    FaultName.NETWORK_CUT: Pace(1800, (5, 150), costs_s=PATIENCE_S),
    # Pauses double, so the last is no longer than the span was; then an effect waits for a tick.
    FaultName.STORAGE_ERROR: Pace(
        1800, (5, 60), share=0.25, hits_one=False, costs_s=120, lasts_on=True
    ),
    FaultName.HOST_CRASH: Pace(1200, costs_s=RESTART_S),
    FaultName.DUPLICATE: Pace(900, (100, 600), share=0.3, hits_one=False),
    # Each message by as much as was drawn for it.
    FaultName.LATE: Pace(1500, (100, 400), share=0.1, hits_one=False),
    # By as much as the clock jumps.
    FaultName.CLOCK_JUMP: Pace(4000),
    # By the deadline that takes over what the workflow did not do.
    FaultName.TERMINATED: Pace(500),
    FaultName.STARTED_BY_HAND: Pace(4000),
    FaultName.STOPPED_BY_HAND: Pace(5000),
    FaultName.DEALLOCATED_BY_HAND: Pace(4000),
    # A job holds up no VM but by its slot.
    FaultName.SUSPENDED: Pace(900),
    # By a restart; what the end of the workflows puts off counts as `terminated`.
    FaultName.STORE_LOST: Pace(12000, costs_s=RESTART_S),
    FaultName.CANCELLED_AT_BIRTH: Pace(1500, (200, 800), share=0.3, hits_one=False),
    # Each of its two restarts costs as much as a crash.
    FaultName.VM_UNLISTED: Pace(3000, costs_s=RESTART_S),
}


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault that fired: from `at`, in virtual seconds, it may put things off by `costs_s`.

    Attributes:
        vm: Whose things; None for everybody's.
    """

    name: FaultName
    vm: str | None
    at: float
    costs_s: float


def allowance(hits: Iterable[Hit], vm: str, since: float, base_s: float) -> float:
    """Give the seconds within which something must be done about a VM.

    Args:
        hits: In order of time.
        vm: The VM.
        since: From when on, in virtual seconds.
        base_s: Within which it must be done when nothing goes wrong; each hit that falls into the
            time allowed so far, or still lasts when it begins, adds its own.
    """
    end = since + base_s
    for hit in hits:
        if hit.at > end:
            break
        if hit.vm in (None, vm) and hit.at + hit.costs_s >= since:
            end += hit.costs_s
    return end - since


@dataclass(slots=True)
class Span:
    """A fault from one virtual second to another, of one VM or (None) of everything.

    Attributes:
        met: Who has suffered from it, VMs or (None) everybody.
    """

    name: FaultName
    vm: str | None
    since: float
    until: float
    met: set[str | None] = field(default_factory=set)


class Faults:
    """Which spans are on, and what has fired.

    Args:
        draw: Gives each fault a source of chance of its own, which decides who suffers.
    """

    def __init__(
        self, loop: VirtualLoop, timeline: Timeline, draw: Callable[[str], Random]
    ) -> None:
        self._loop = loop
        self._timeline = timeline
        self._chances = {name: draw(f"faults/{name}") for name in FaultName}
        self._on: dict[FaultName, list[Span]] = {}
        self.fired: Counter[FaultName] = Counter()
        self.hits_made: list[Hit] = []

    def begin(self, name: FaultName, vm: str | None, lasts_s: float) -> None:
        """Turn a span on."""
        now = self._loop.time()
        span = Span(name, vm, now, now + lasts_s)
        self._on.setdefault(name, []).append(span)
        self._timeline.note("fault", f"{name} of {vm or 'everything'} for {lasts_s:.0f} s")

    def strike(
        self, name: FaultName, vm: str | None, what: str = "", *, costs_s: float | None = None
    ) -> None:
        """Note a blow, and by how much it may put things off."""
        self.fired[name] += 1
        self.excuse(name, vm, PACES[name].costs_s if costs_s is None else costs_s)
        self._timeline.note("fault", f"{name} {vm or ''} {what}".rstrip())

    def hits(self, name: FaultName, vm: str | None = None) -> bool:
        """Ask whether a call suffers from a fault; if so, it has fired."""
        spans = self._on.get(name)
        if not spans:
            return False
        now = self._loop.time()
        spans[:] = [span for span in spans if span.until > now]
        span = next((s for s in spans if vm is None or s.vm in (None, vm)), None)
        pace = PACES[name]
        if span is None or self._chances[name].random() >= pace.share:
            return False
        self.fired[name] += 1
        if vm not in span.met or pace.costs_anew:
            span.met.add(vm)
            self.excuse(name, vm, pace.costs_s + (span.until - now if pace.lasts_on else 0.0))
        return True

    def excuse(self, name: FaultName, vm: str | None, costs_s: float) -> None:
        """Note that things may be put off from now on by so many seconds."""
        if costs_s > 0:
            self.hits_made.append(Hit(name, vm, self._loop.time(), costs_s))

    def left_s(self, name: FaultName, vm: str | None = None) -> float:
        """Give the seconds that a span still lasts, 0 if none is on."""
        now = self._loop.time()
        spans = self._on.get(name, [])
        return max((s.until - now for s in spans if vm is None or s.vm in (None, vm)), default=0.0)

    def end_all(self) -> None:
        """Turn every span off: from here on all is well."""
        now = self._loop.time()
        for spans in self._on.values():
            for span in spans:
                span.until = min(span.until, now)
        self._on.clear()
        self._timeline.note("fault", "no more faults")
