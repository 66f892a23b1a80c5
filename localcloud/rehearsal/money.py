"""Whether the money adds up: the ledger against the stand-in's own meter. Pure.

The meter counts virtual seconds, the ledger was written by a clock that jumps: each metered moment
is first put as that clock showed it. What the pool began and ended must then agree to the second,
whatever has gone wrong. What it discovered is marked as estimated, and must agree within a tick,
and the delays of the faults that fell into it, but for a time off that nobody can have seen.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

MADE_WITHIN_S = 1.0
"""What the pool made agrees to the second: the call itself takes no longer."""

AllowedAt = Callable[[float], float]
"""Tells how many seconds after a virtual second the pool may discover what happened then."""


@dataclass(frozen=True, slots=True)
class Billed:
    """A time in which a VM was billed, in virtual seconds.

    Attributes:
        unseen_s: Seconds in between in which it was off, and nobody looked.
    """

    began_at: float
    ended_at: float
    unseen_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """What meter and ledger make of one billed interval.

    Attributes:
        metered: None if only the ledger knows it.
        began_s: Seconds between their begins.
        ended_s: Seconds between their ends.
        may_begin_s, may_end_s: How large these may be.
        is_estimated: Whether the ledger says that it does not know for sure.
    """

    vm: str
    metered: Billed | None
    began_s: float
    ended_s: float
    may_begin_s: float
    may_end_s: float
    is_estimated: bool
    what: str

    @property
    def is_wrong(self) -> bool:
        """Whether one of them is larger than it may be."""
        return self.began_s > self.may_begin_s or self.ended_s > self.may_end_s


def compare_ledger(
    vm: str,
    metered: Sequence[Billed],
    recorded: Sequence[dict[str, Any]],
    *,
    shown_at: Callable[[float], float],
    allowed_at: AllowedAt,
    looks: Sequence[float] = (),
    asked_off: Sequence[float] = (),
) -> list[Difference]:
    """Hold a VM's recorded intervals against its meter.

    Args:
        vm: Its name.
        metered: What the stand-in billed, apart from each other.
        recorded: Of the ledger, in epoch seconds of the app's clock.
        shown_at: Tells what that clock showed at a virtual second.
        allowed_at: How late the pool may discover something.
        looks: When the reconciler was told its power, in virtual seconds.
        asked_off: When the pool asked for its deallocation, in virtual seconds.
    """
    metered = _join_unseen(metered, recorded, shown_at, sorted([*looks, *asked_off]))
    shown = [(shown_at(one.began_at), shown_at(one.ended_at)) for one in metered]
    # A clock that was put back further than the interval is long leaves nothing of it.
    shown = [(began_at, max(began_at, ended_at)) for began_at, ended_at in shown]
    own: list[list[dict[str, Any]]] = [[] for _ in metered]
    unknown = []
    for record in recorded:
        overlaps = [_overlap_s(record, span) for span in shown]
        best = max(range(len(shown)), key=overlaps.__getitem__, default=None)
        if best is None or overlaps[best] < -MADE_WITHIN_S:
            unknown.append(record)
        else:
            own[best].append(record)
    differences = [
        _compare(vm, meter, span, records, allowed_at)
        for meter, span, records in zip(metered, shown, own, strict=True)
    ]
    return differences + [_unknown_to_the_meter(vm, record) for record in unknown]


def find_wrong(differences: Iterable[Difference]) -> list[Difference]:
    """Find what invariant 6 of the pool does not allow."""
    return [one for one in differences if one.is_wrong]


def _compare(
    vm: str,
    meter: Billed,
    shown: tuple[float, float],
    records: list[dict[str, Any]],
    allowed_at: AllowedAt,
) -> Difference:
    seconds = meter.ended_at - meter.began_at
    span = f"{vm} was billed from {meter.began_at:.1f} to {meter.ended_at:.1f} s"
    if not records:
        # On and off again before anybody looked.
        may_s = allowed_at(meter.began_at)
        what = f"{span}, and the ledger knows nothing of it"
        return Difference(vm, meter, seconds, 0.0, may_s, 0.0, True, what)
    is_estimated = any(one["is_estimated"] for one in records)
    early_s = shown[0] - min(one["began_at"] for one in records)
    late_s = max(one["ended_at"] for one in records) - shown[1]
    began_s, ended_s = abs(early_s), abs(late_s) + _gaps_s(records) + meter.unseen_s
    may_begin_s = may_end_s = MADE_WITHIN_S
    if is_estimated:
        may_end_s += meter.unseen_s
        # Whichever came first is what the other had to follow.
        may_begin_s += allowed_at(meter.began_at - max(0.0, early_s))
        may_end_s += allowed_at(meter.ended_at + min(0.0, late_s))
    says = "estimates" if is_estimated else "says"
    what = (
        f"{span}; the ledger {says} a begin {began_s:.1f} s off (may {may_begin_s:.0f}) "
        f"and an end {ended_s:.1f} s off (may {may_end_s:.0f})"
    )
    return Difference(vm, meter, began_s, ended_s, may_begin_s, may_end_s, is_estimated, what)


def _join_unseen(
    metered: Sequence[Billed],
    recorded: Sequence[dict[str, Any]],
    shown_at: Callable[[float], float],
    known: Sequence[float],
) -> list[Billed]:
    """Join what the ledger bills as one, and as an estimate, because nobody saw the VM off.

    What is `known` are the moments at which the pool saw it, or asked for its deallocation itself.
    """
    joined: list[Billed] = []
    for one in metered:
        before = joined[-1] if joined else None
        if before is None or any(
            before.ended_at - MADE_WITHIN_S <= at <= one.began_at for at in known
        ):
            joined.append(one)
            continue
        off_at, on_at = shown_at(before.ended_at), shown_at(one.began_at)
        if any(
            record["is_estimated"] and record["began_at"] <= off_at and on_at <= record["ended_at"]
            for record in recorded
        ):
            unseen_s = before.unseen_s + one.began_at - before.ended_at
            joined[-1] = Billed(before.began_at, one.ended_at, unseen_s)
        else:
            joined.append(one)
    return joined


def _gaps_s(records: list[dict[str, Any]]) -> float:
    """Add up what lies between the records of one interval, or is in two of them."""
    ordered = sorted(records, key=lambda one: one["began_at"])
    return sum(
        (abs(after["began_at"] - before["ended_at"]) for before, after in pairwise(ordered)),
        start=0.0,
    )


def _unknown_to_the_meter(vm: str, record: dict[str, Any]) -> Difference:
    seconds = record["ended_at"] - record["began_at"]
    what = f"the ledger bills {seconds:.1f} s of {vm} that the meter does not know: {record}"
    return Difference(
        vm, None, seconds, 0.0, MADE_WITHIN_S, 0.0, bool(record["is_estimated"]), what
    )


def _overlap_s(record: dict[str, Any], span: tuple[float, float]) -> float:
    """Give the seconds in both; negative is the distance between them."""
    seconds: float = min(record["ended_at"], span[1]) - max(record["began_at"], span[0])
    return seconds
