"""Which job bears which billed seconds.

A job's own account is a view on the seconds that the meter counts: its share of the time that jobs
ran, of the cold start that it waited for, and of the idle gap that its slot ended. What is left of
the idle time at the end is nobody's.
"""

from typing import Any

from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.state import SETTLED_LIMIT, Vm


def hand_out(vm: Vm) -> None:
    """Let the jobs that now hold slots bear the cold start or the idle gap before them."""
    if not vm.slots or not (vm.cold_s or vm.gap_s):
        return
    for job_id in vm.slots:
        share = share_of(vm, job_id)
        share[1] += vm.cold_s / len(vm.slots)
        share[2] += vm.gap_s / len(vm.slots)
    vm.cold_s = vm.gap_s = 0.0


def give_back(vm: Vm, job_id: str) -> None:
    """Take a share from a job whose offer came to nothing, for the next job to bear."""
    _, cold_s, idle_s = vm.shares.pop(job_id, [0.0, 0.0, 0.0])
    vm.cold_s += cold_s
    vm.gap_s += idle_s


def settle(pool: DecisionContext, vm: Vm, job_id: str) -> dict[str, Any] | None:
    """Move a job's share from its VM to what is remembered of ended jobs; give all of it so far.

    Several attempts of one job add up.
    """
    settled = pool.state.settled
    share = vm.shares.pop(job_id, None)
    before = settled.pop(job_id, [0.0, 0.0, 0.0, 0.0])
    if share is None and before == [0.0, 0.0, 0.0, 0.0]:
        return None
    price = price_of(pool, vm)
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


def share_of(vm: Vm, job_id: str) -> list[float]:
    """Give a job's share of the open interval, begun when needed."""
    return vm.shares.setdefault(job_id, [0.0, 0.0, 0.0])


def price_of(pool: DecisionContext, vm: Vm) -> float:
    """Give a VM's price in USD an hour; 0 if nothing is known of it."""
    candidate = pool.policy.reach(vm.name, vm.home)
    return candidate.price_per_hour_usd if candidate else 0.0
