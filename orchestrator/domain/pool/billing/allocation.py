"""Which job bears which billed seconds.

A job's own account is a view on the seconds that the meter counts: its share of the time that jobs
ran, of the cold start that it waited for, and of the idle gap that its slot ended. What is left of
the idle time at the end is nobody's.
"""

from typing import Any

from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.state import SETTLED_LIMIT, Settled, Share, Vm


def hand_out(vm: Vm) -> None:
    """Let the jobs that now hold slots bear the cold start or the idle gap before them."""
    interval = vm.interval
    if not vm.slots or not (interval.cold_s or interval.gap_s):
        return
    for job_id in vm.slots:
        share = share_of(vm, job_id)
        share.cold_start_s += interval.cold_s / len(vm.slots)
        share.idle_s += interval.gap_s / len(vm.slots)
    interval.cold_s = interval.gap_s = 0.0


def give_back(vm: Vm, job_id: str) -> None:
    """Take a share from a job whose offer came to nothing, for the next job to bear."""
    share = vm.interval.shares.pop(job_id, Share())
    vm.interval.cold_s += share.cold_start_s
    vm.interval.gap_s += share.idle_s


def settle(pool: DecisionContext, vm: Vm, job_id: str) -> dict[str, Any] | None:
    """Move a job's share from its VM to what is remembered of ended jobs; give all of it so far.

    Several attempts of one job add up.
    """
    settled = pool.state.settled
    share = vm.interval.shares.pop(job_id, None)
    before = settled.pop(job_id, Settled())
    if share is None:
        if before == Settled():
            return None
        share = Share()
    seconds = share.compute_s + share.cold_start_s + share.idle_s
    settled[job_id] = Settled(
        compute_s=round(before.compute_s + share.compute_s, 3),
        cold_start_s=round(before.cold_start_s + share.cold_start_s, 3),
        idle_s=round(before.idle_s + share.idle_s, 3),
        usd=round(before.usd + seconds * price_of(pool, vm) / 3600, 6),
    )
    while len(settled) > SETTLED_LIMIT:
        del settled[next(iter(settled))]
    return cost_of(settled[job_id])


def cost_of(settled: Settled) -> dict[str, Any]:
    """Give an ended job's cost as its status shows it."""
    return {
        "usd": settled.usd,
        "compute_seconds": settled.compute_s,
        "cold_start_seconds": settled.cold_start_s,
        "idle_seconds": settled.idle_s,
    }


def share_of(vm: Vm, job_id: str) -> Share:
    """Give a job's share of the open interval, begun when needed."""
    return vm.interval.shares.setdefault(job_id, Share())


def price_of(pool: DecisionContext, vm: Vm) -> float:
    """Give a VM's price in USD an hour; 0 if nothing is known of it."""
    candidate = pool.policy.reach(vm.name, vm.home)
    return candidate.price_per_hour_usd if candidate else 0.0
