"""Whether the money adds up: the ledger against the stand-in's own meter, and idle time. Pure.

Moments are virtual seconds. What a fault near by explains is judged by a wider measure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.rehearsal.faults import FaultName, Span
from orchestrator.domain.pool import PoolPolicy

MADE_WITHIN_S = 2.0
"""The pool began and ended it: equal to the second, and one more for the calls themselves."""
NEAR_S = 1200.0
"""A fault so long before or after may still show: a reconciler and a sweep come in between."""
IDLE_SLACK_S = 10.0
DRAIN_S = 2.0

MOVES_NO_MONEY = frozenset(
    {
        FaultName.AGENT_CRASH,
        FaultName.AGENT_HANG,
        FaultName.SLOW_AGENT,
        FaultName.WRONG_ANSWER,
        FaultName.NETWORK_CUT,
        FaultName.STOCK_OUT,
        FaultName.SLOW_START,
        FaultName.NEVER_READY,
    }
)
"""Faults that leave begin and end of a billed interval as well known as ever."""


@dataclass(frozen=True, slots=True)
class Billed:
    """A time in which a VM was billed; `ended_at` is None while it goes on."""

    began_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Tail:
    """The idle time of a VM up to the moment at which its deallocation was taken."""

    vm: str
    idle_from: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Difference:
    """What meter and ledger make of one billed interval, in seconds.

    Attributes:
        is_explained: Whether a fault near by is known to blur it.
    """

    vm: str
    metered: Billed
    error_s: float
    is_explained: bool
    is_estimated: bool


def compare_ledger(
    vm: str,
    metered: Sequence[Billed],
    recorded: Sequence[dict[str, Any]],
    spans: Sequence[Span],
    *,
    beginning: float,
) -> list[Difference]:
    """Hold a VM's recorded intervals against its meter.

    Args:
        vm: Its name.
        metered: What the stand-in billed, apart from each other.
        recorded: Of the ledger, in epoch seconds.
        spans: Faults that fired.
        beginning: Epoch seconds at virtual second 0.
    """
    differences = []
    left = [
        (one["began_at"] - beginning, one["ended_at"] - beginning, one["is_estimated"])
        for one in recorded
    ]
    for meter in metered:
        own = [one for one in left if one[0] < meter.ended_at + 1 and one[1] > meter.began_at - 1]
        left = [one for one in left if one not in own]
        seconds = sum(end - begin for begin, end, _ in own)
        error_s = abs(seconds - (meter.ended_at - meter.began_at))
        blurs = any(
            _is_near(span, meter.began_at, meter.ended_at) and span.name not in MOVES_NO_MONEY
            for span in spans
        )
        is_estimated = any(estimated for _, _, estimated in own)
        differences.append(Difference(vm, meter, error_s, blurs, is_estimated))
    differences += [
        Difference(
            vm,
            Billed(begin, end),
            end - begin,
            any(_is_near(span, begin, end) for span in spans),
            estimated,
        )
        for begin, end, estimated in left
    ]
    return differences


def find_wrong(differences: Iterable[Difference], policy: PoolPolicy) -> list[str]:
    """Tell which differences are larger than invariant 6 of the pool allows."""
    blurred_s = policy.look_asleep_s + policy.reconciler_overdue_s + NEAR_S
    wrong = []
    for one in differences:
        allowed_s = blurred_s if one.is_explained else MADE_WITHIN_S
        if one.error_s > allowed_s:
            wrong.append(
                f"{one.vm} was billed from {one.metered.began_at:.0f} to "
                f"{one.metered.ended_at:.0f} s, and the ledger is {one.error_s:.1f} s off"
            )
    return wrong


def find_idlers(tails: Iterable[Tail], spans: Sequence[Span], policy: PoolPolicy) -> list[str]:
    """Tell which VMs were idle for longer than window, tick and drain, with no fault about."""
    allowed_s = policy.idle_window_s + policy.look_awake_s + DRAIN_S + IDLE_SLACK_S
    return [
        f"{tail.vm} was idle for {tail.ended_at - tail.idle_from:.0f} s until {tail.ended_at:.0f}"
        for tail in tails
        if tail.ended_at - tail.idle_from > allowed_s
        and not any(_is_near(span, tail.idle_from, tail.ended_at) for span in spans)
    ]


def _is_near(span: Span, since: float, until: float) -> bool:
    return span.since <= until + NEAR_S and span.until >= since - NEAR_S
