"""Where every billed second goes: to a job, a cold start, idle time, or a start that failed.

Each decision first counts the time since the last one under the state that held in between, so
that the parts of an interval always add up to it. A job's own account is a view on the same
seconds: its share of the time that jobs ran, of the cold start that it waited for, and of the idle
gap that its slot ended. What is left of the idle time at the end is nobody's.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from orchestrator.domain.pool.effects import RecordInterval
from orchestrator.domain.pool.state import MONTHS_LIMIT, SETTLED_LIMIT, Account, Vm, VmPhase
from orchestrator.domain.pool.working import Working

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
    vm.billed_since = vm.counted_to = at
    vm.is_estimated = estimated
    vm.has_run = False
    vm.seen_on_at = at
    vm.machine_boot = ""
    vm.parts = {}
    vm.shares = {}
    vm.gap_s = vm.cold_s = 0.0


def note_on(pool: Working, vm: Vm, *, at: float) -> None:
    """Note that a VM is known to be on at a moment (epoch seconds).

    For longer than two looks nobody knew: it may have been off, and on again, in between.
    """
    if vm.billed_since is None:
        return
    if at - vm.seen_on_at > UNSEEN_LOOKS * pool.policy.look_awake_s:
        vm.is_estimated = True
    vm.seen_on_at = max(vm.seen_on_at, at)


def drop_interval(vm: Vm) -> None:
    """Forget an open interval: nothing was allocated that could be billed."""
    vm.billed_since = None
    vm.parts, vm.shares = {}, {}


def count(vm: Vm, until: float) -> None:
    """Count the time since the last count under the state that the VM has had since."""
    if vm.billed_since is None or until <= vm.counted_to:
        return
    seconds = until - vm.counted_to
    jobs = [slot.job_id for slot in vm.slots.values() if slot.claimed]
    if vm.phase in COLD:
        part = Part.COLD_START
        vm.cold_s += seconds
    elif jobs:
        part = Part.JOB
        for job_id in jobs:
            _share(vm, job_id)[0] += seconds / len(jobs)
    else:
        part = Part.IDLE
        vm.gap_s += seconds
    for month, spent_s in _by_month(vm.counted_to, until):
        _add(vm.parts, month, part, spent_s)
    vm.counted_to = until


def hand_out(vm: Vm) -> None:
    """Let the jobs that now hold slots bear the cold start or the idle gap before them."""
    if not vm.slots or not (vm.cold_s or vm.gap_s):
        return
    for job_id in vm.slots:
        share = _share(vm, job_id)
        share[1] += vm.cold_s / len(vm.slots)
        share[2] += vm.gap_s / len(vm.slots)
    vm.cold_s = vm.gap_s = 0.0


def give_back(vm: Vm, job_id: str) -> None:
    """Take a share from a job whose offer came to nothing, for the next job to bear."""
    _, cold_s, idle_s = vm.shares.pop(job_id, [0.0, 0.0, 0.0])
    vm.cold_s += cold_s
    vm.gap_s += idle_s


def settle(pool: Working, vm: Vm, job_id: str) -> dict[str, Any] | None:
    """Move a job's share from its VM to what is remembered of ended jobs; give all of it so far.

    Several attempts of one job add up.
    """
    settled = pool.state.settled
    share = vm.shares.pop(job_id, None)
    before = settled.pop(job_id, [0.0, 0.0, 0.0, 0.0])
    if share is None and before == [0.0, 0.0, 0.0, 0.0]:
        return None
    price = _price(pool, vm)
    seconds = share or [0.0, 0.0, 0.0]
    settled[job_id] = [
        *(round(old + new, 3) for old, new in zip(before, seconds, strict=False)),
        round(before[3] + sum(seconds) * price / 3600, 6),
    ]
    while len(settled) > SETTLED_LIMIT:
        del settled[next(iter(settled))]
    return cost_of(settled[job_id])


def cost_of(settled: list[float]) -> dict[str, Any]:
    """Give an ended job's cost as its status shows it."""
    compute_s, cold_s, idle_s, usd = settled
    return {
        "usd": usd,
        "compute_seconds": compute_s,
        "cold_start_seconds": cold_s,
        "idle_seconds": idle_s,
    }


def fail_start(vm: Vm) -> None:
    """Call what was counted as cold start a failed start."""
    for parts in vm.parts.values():
        seconds = parts.pop(Part.COLD_START, 0.0)
        # A new key must be a plain string, for orjson writes no other.
        parts[str(Part.FAILED_START)] = parts.get(Part.FAILED_START, 0.0) + seconds
    vm.cold_s = 0.0


def close_interval(pool: Working, vm: Vm, *, at: float, estimated: bool) -> None:
    """Put a VM's open interval into its account, and have it recorded for good."""
    if vm.billed_since is None:
        return
    count(vm, at)
    at = max(at, vm.billed_since)
    note_on(pool, vm, at=at)
    _take_back(vm, vm.counted_to - at)
    seconds = at - vm.billed_since
    usd = seconds * _price(pool, vm) / 3600
    account = pool.account(vm)
    account.billed_s += seconds
    account.cost_usd += usd
    is_estimated = estimated or vm.is_estimated
    if is_estimated:
        account.estimated_s += seconds
    merge_months(account.months, vm.parts)
    pool.keep(
        RecordInterval(
            vm=vm.name,
            epoch=vm.epoch,
            began_at=vm.billed_since,
            ended_at=at,
            parts=_total(vm.parts),
            cost_usd=round(usd, 6),
            is_estimated=is_estimated,
        )
    )
    for job_id in list(vm.shares):
        settle(pool, vm, job_id)
    drop_interval(vm)
    vm.is_estimated = False


def _take_back(vm: Vm, seconds: float) -> None:
    """Uncount what was counted past the interval's end, latest parts first."""
    for month in sorted(vm.parts, reverse=True):
        parts = vm.parts[month]
        for part in (Part.IDLE, Part.JOB, Part.COLD_START, Part.FAILED_START):
            taken = min(parts.get(part, 0.0), seconds)
            if taken > 0:
                parts[part] -= taken
                seconds -= taken


def account_now(account: Account, vm: Vm, *, price_per_hour_usd: float, now: float) -> Account:
    """Give a VM's account with its open interval counted up to `now`."""
    if vm.billed_since is None:
        return account
    open_vm = replace(
        vm,
        parts={month: dict(parts) for month, parts in vm.parts.items()},
        shares={job: list(share) for job, share in vm.shares.items()},
    )
    count(open_vm, now)
    months = {month: dict(parts) for month, parts in account.months.items()}
    merge_months(months, open_vm.parts)
    open_s = max(0.0, now - vm.billed_since)
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


def _share(vm: Vm, job_id: str) -> list[float]:
    return vm.shares.setdefault(job_id, [0.0, 0.0, 0.0])


def _price(pool: Working, vm: Vm) -> float:
    candidate = pool.policy.reach(vm.name, vm.home)
    return candidate.price_per_hour_usd if candidate else 0.0


def _by_month(since: float, until: float) -> Iterator[tuple[str, float]]:
    """Part a span of time at the months' ends, in UTC as Azure bills."""
    while since < until:
        moment = datetime.fromtimestamp(since, UTC)
        year, month = divmod(moment.year * 12 + moment.month, 12)
        end = min(until, datetime(year, month + 1, 1, tzinfo=UTC).timestamp())
        yield f"{moment:%Y-%m}", end - since
        since = end
