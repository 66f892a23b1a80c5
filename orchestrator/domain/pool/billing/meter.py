"""A VM's billed time: opened, counted, and closed into its account.

Each decision first counts the time since the last one under the state that held in between, so
that the parts of an interval always add up to it.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum

from orchestrator.domain.pool.billing.allocation import price_of, settle, share_of
from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.effects import RecordInterval
from orchestrator.domain.pool.state import MONTHS_LIMIT, Account, OpenInterval, Vm, VmPhase

COLD = (VmPhase.STARTING, VmPhase.WARMING)

UNSEEN_LOOKS = 2
"""Longest pauses between two looks that leave no doubt of a bill."""


class Part(StrEnum):
    """What a billed second was for."""

    JOB = "job"
    COLD_START = "cold_start"
    IDLE = "idle"
    FAILED_START = "failed_start"


def open_interval(vm: Vm, *, at: float, estimated: bool) -> None:
    """Begin to count a VM's billed time at a moment (epoch seconds)."""
    vm.interval = OpenInterval(began_at=at, counted_to=at, seen_on_at=at, is_estimated=estimated)


def note_on(pool: DecisionContext, vm: Vm, *, at: float) -> None:
    """Note that a VM is known to be on at a moment (epoch seconds).

    For longer than two looks nobody knew: it may have been off, and on again, in between.
    """
    if vm.interval.began_at is None:
        return
    if at - vm.interval.seen_on_at > UNSEEN_LOOKS * pool.policy.look_awake_s:
        vm.interval.is_estimated = True
    vm.interval.seen_on_at = max(vm.interval.seen_on_at, at)


def drop_interval(vm: Vm) -> None:
    """Forget an open interval: nothing was allocated that could be billed."""
    vm.interval.began_at = None
    vm.interval.parts, vm.interval.shares = {}, {}


def count(vm: Vm, until: float) -> None:
    """Count the time since the last count under the state that the VM has had since."""
    if vm.interval.began_at is None or until <= vm.interval.counted_to:
        return
    seconds = until - vm.interval.counted_to
    jobs = [slot.job_id for slot in vm.slots.values() if slot.claimed]
    if vm.phase in COLD:
        part = Part.COLD_START
        vm.interval.cold_s += seconds
    elif jobs:
        part = Part.JOB
        for job_id in jobs:
            share_of(vm, job_id).compute_s += seconds / len(jobs)
    else:
        part = Part.IDLE
        vm.interval.gap_s += seconds
    for month, spent_s in _by_month(vm.interval.counted_to, until):
        _add(vm.interval.parts, month, part, spent_s)
    vm.interval.counted_to = until


def fail_start(vm: Vm) -> None:
    """Call what was counted as cold start a failed start."""
    for parts in vm.interval.parts.values():
        seconds = parts.pop(Part.COLD_START, 0.0)
        # A new key must be a plain string, for orjson writes no other.
        parts[str(Part.FAILED_START)] = parts.get(Part.FAILED_START, 0.0) + seconds
    vm.interval.cold_s = 0.0


def close_interval(pool: DecisionContext, vm: Vm, *, at: float, estimated: bool) -> None:
    """Put a VM's open interval into its account, and have it recorded for good."""
    if vm.interval.began_at is None:
        return
    count(vm, at)
    at = max(at, vm.interval.began_at)
    note_on(pool, vm, at=at)
    _take_back(vm, vm.interval.counted_to - at)
    seconds = at - vm.interval.began_at
    usd = seconds * price_of(pool, vm) / 3600
    account = pool.account(vm)
    account.billed_s += seconds
    account.cost_usd += usd
    is_estimated = estimated or vm.interval.is_estimated
    if is_estimated:
        account.estimated_s += seconds
    merge_months(account.months, vm.interval.parts)
    pool.keep(
        RecordInterval(
            vm=vm.name,
            epoch=vm.epoch,
            began_at=vm.interval.began_at,
            ended_at=at,
            parts=_total(vm.interval.parts),
            cost_usd=round(usd, 6),
            is_estimated=is_estimated,
        )
    )
    for job_id in list(vm.interval.shares):
        settle(pool, vm, job_id)
    drop_interval(vm)
    vm.interval.is_estimated = False


def _take_back(vm: Vm, seconds: float) -> None:
    """Uncount what was counted past the interval's end, latest parts first."""
    for month in sorted(vm.interval.parts, reverse=True):
        parts = vm.interval.parts[month]
        for part in (Part.IDLE, Part.JOB, Part.COLD_START, Part.FAILED_START):
            taken = min(parts.get(part, 0.0), seconds)
            if taken > 0:
                parts[part] -= taken
                seconds -= taken


def account_now(account: Account, vm: Vm, *, price_per_hour_usd: float, now: float) -> Account:
    """Give a VM's account with its open interval counted up to `now`."""
    if vm.interval.began_at is None:
        return account
    open_vm = replace(vm, interval=vm.interval.copy())
    count(open_vm, now)
    months = {month: dict(parts) for month, parts in account.months.items()}
    merge_months(months, open_vm.interval.parts)
    open_s = max(0.0, now - vm.interval.began_at)
    return replace(
        account,
        billed_s=account.billed_s + open_s,
        cost_usd=account.cost_usd + open_s * price_per_hour_usd / 3600,
        months=months,
    )


def merge_months(months: dict[str, dict[str, float]], parts: dict[str, dict[str, float]]) -> None:
    """Add seconds by month and part to others; only the latest months are kept."""
    for month, by_part in parts.items():
        for part, seconds in by_part.items():
            _add(months, month, part, seconds)
    for month in sorted(months)[:-MONTHS_LIMIT]:
        del months[month]


def _total(parts: dict[str, dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for by_part in parts.values():
        for part, seconds in by_part.items():
            total[str(part)] = total.get(part, 0.0) + seconds
    return {part: round(seconds, 3) for part, seconds in total.items()}


def _add(months: dict[str, dict[str, float]], month: str, part: str, seconds: float) -> None:
    by_part = months.setdefault(month, {})
    by_part[str(part)] = by_part.get(part, 0.0) + seconds


def _by_month(since: float, until: float) -> Iterator[tuple[str, float]]:
    """Part a span of time at the months' ends, in UTC as Azure bills."""
    while since < until:
        moment = datetime.fromtimestamp(since, UTC)
        year, month = divmod(moment.year * 12 + moment.month, 12)
        end = min(until, datetime(year, month + 1, 1, tzinfo=UTC).timestamp())
        yield f"{moment:%Y-%m}", end - since
        since = end
