"""What can go wrong in a rehearsal, by name: when it does, and how often it did.

A span is a time in which something may go wrong; whoever would suffer from it asks, and what it
then suffers counts as fired. A blow falls at one moment.
"""

from collections import Counter
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a fault comes and how long it stays, in virtual seconds.

    Attributes:
        gap_s: Mean time between two.
        lasts_s: Shortest and longest span; None for a blow.
        share: Of the calls that meet the span, how many suffer.
        hits_one: Whether a span is about one VM, drawn anew each time, or about everything.
    """

    gap_s: float
    lasts_s: tuple[float, float] | None = None
    share: float = 1.0
    hits_one: bool = True


PACES: dict[FaultName, Pace] = {
    FaultName.STOCK_OUT: Pace(1500, (300, 2400), hits_one=True),
    FaultName.SLOW_START: Pace(2400, (600, 1500), share=0.7),
    FaultName.NEVER_READY: Pace(1800, (600, 1800), share=0.5),
    FaultName.STUCK_DEALLOCATING: Pace(2400, (600, 1500), share=0.8),
    FaultName.LOST_ARM_REPLY: Pace(1500, (200, 900), share=0.5, hits_one=False),
    FaultName.THROTTLED: Pace(2400, (60, 400), share=0.8, hits_one=False),
    FaultName.AGENT_CRASH: Pace(1200),
    FaultName.AGENT_HANG: Pace(2400, (5, 200)),
    FaultName.SLOW_AGENT: Pace(1800, (30, 300), share=0.5),
    FaultName.WRONG_ANSWER: Pace(1200, (30, 180), share=0.3),
    FaultName.NETWORK_CUT: Pace(1800, (5, 150)),
    FaultName.STORAGE_ERROR: Pace(1800, (5, 60), share=0.25, hits_one=False),
    FaultName.HOST_CRASH: Pace(1200),
    FaultName.DUPLICATE: Pace(900, (100, 600), share=0.3, hits_one=False),
    FaultName.LATE: Pace(1500, (100, 400), share=0.1, hits_one=False),
    FaultName.CLOCK_JUMP: Pace(4000),
    FaultName.TERMINATED: Pace(1200),
    FaultName.STARTED_BY_HAND: Pace(4000),
    FaultName.STOPPED_BY_HAND: Pace(5000),
    FaultName.DEALLOCATED_BY_HAND: Pace(4000),
}


@dataclass(slots=True)
class Span:
    """A fault from one virtual second to another, of one VM or (None) of everything."""

    name: FaultName
    vm: str | None
    since: float
    until: float


class Faults:
    """Which spans are on, and what has fired.

    Args:
        chance: Draws who suffers.
    """

    def __init__(self, loop: VirtualLoop, timeline: Timeline, chance: Random) -> None:
        self._loop = loop
        self._timeline = timeline
        self._chance = chance
        self._on: dict[FaultName, list[Span]] = {}
        self.fired: Counter[FaultName] = Counter()
        self.spans: list[Span] = []

    def begin(self, name: FaultName, vm: str | None, lasts_s: float) -> None:
        """Turn a span on."""
        now = self._loop.time()
        span = Span(name, vm, now, now + lasts_s)
        self._on.setdefault(name, []).append(span)
        self._timeline.note("fault", f"{name} of {vm or 'everything'} for {lasts_s:.0f} s")

    def strike(self, name: FaultName, vm: str | None, what: str = "") -> None:
        """Note a blow."""
        now = self._loop.time()
        self._count(name, Span(name, vm, now, now))
        self._timeline.note("fault", f"{name} {vm or ''} {what}".rstrip())

    def hits(self, name: FaultName, vm: str | None = None) -> bool:
        """Ask whether a call suffers from a fault; if so, it has fired."""
        spans = self._on.get(name)
        if not spans:
            return False
        now = self._loop.time()
        spans[:] = [span for span in spans if span.until > now]
        span = next((s for s in spans if vm is None or s.vm in (None, vm)), None)
        if span is None or self._chance.random() >= PACES[name].share:
            return False
        self._count(name, span)
        return True

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

    def _count(self, name: FaultName, span: Span) -> None:
        self.fired[name] += 1
        if not self.spans or self.spans[-1] is not span:
            self.spans.append(span)
