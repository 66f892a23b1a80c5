"""The pool as the API shows it."""

from typing import Any

from orchestrator.domain.pool.billing.meter import account_now
from orchestrator.domain.pool.idle_policy import plan_stop, wanted_warmth
from orchestrator.domain.pool.policy import PoolPolicy
from orchestrator.domain.pool.scale_up import estimate_queued, median
from orchestrator.domain.pool.slots import waiting
from orchestrator.domain.pool.state import Account, PoolState, Vm, VmPhase


def view_pool(state: PoolState, now: float, policy: PoolPolicy) -> dict[str, Any]:
    """Give VMs, queue and money: the body of ``GET /api/pool``. Moments are epoch seconds."""
    configured = [c.name for c in policy.candidates]
    # One that was taken out of the settings is shown for as long as it may cost something.
    names = [*configured, *(name for name in state.vms if name not in configured)]
    vms = [_view_vm(state.vms.get(n, Vm(name=n)), state, now, policy) for n in names]
    return {
        "now": now,
        "vms": vms,
        "queue": [
            {"job_id": t.job_id, "position": i, "since": t.since}
            for i, t in enumerate(state.queue[:100], start=1)
        ],
        "queue_length": len(state.queue),
        "totals": {
            "billed_seconds": round(sum(vm["billed_seconds"] for vm in vms), 3),
            "cost_usd": round(sum(vm["cost_usd"] for vm in vms), 6),
        },
        "warm": wanted_warmth(state, now, policy)._asdict(),
        "reconciler": {
            "generation": state.generation,
            "last_tick_at": state.tick_at or None,
            "next_tick_at": state.look_at or None,
        },
        "learned": {name: median(values) for name, values in state.learned.items()},
    }


def _view_vm(vm: Vm, state: PoolState, now: float, policy: PoolPolicy) -> dict[str, Any]:
    candidate = policy.reach(vm.name, vm.home)
    price = candidate.price_per_hour_usd if candidate else 0.0
    account = account_now(
        state.accounts.get(vm.name, Account()), vm, price_per_hour_usd=price, now=now
    )
    return {
        **view_vm_briefly(vm, state, now, policy),
        "epoch": vm.epoch,
        "size": candidate.size if candidate else None,
        "region": candidate.region if candidate else None,
        "zone": candidate.zone if candidate else None,
        "price_per_hour_usd": price,
        "slots": sorted(vm.slots),
        "slots_per_vm": policy.slots_per_vm,
        "retry_at": vm.retry_at if vm.phase is VmPhase.NO_CAPACITY else None,
        "failures": vm.failures,
        "reason": vm.reason,
        "wakes": account.wakes,
        "billed_seconds": round(account.billed_s, 3),
        "estimated_seconds": round(account.estimated_s, 3),
        "cost_usd": round(account.cost_usd, 6),
        "months": {
            month: {part: round(seconds, 3) for part, seconds in parts.items()}
            for month, parts in sorted(account.months.items())
        },
    }


def view_vm_briefly(vm: Vm, state: PoolState, now: float, policy: PoolPolicy) -> dict[str, Any]:
    """Give the part of a VM that a job's status shows."""
    stop = plan_stop(vm, state, now, policy)
    return {
        "name": vm.name,
        "phase": vm.phase.value,
        "since": vm.phase_since,
        "stops_at": stop.at,
        "why": stop.why,
    }


def view_place(
    state: PoolState, job_id: str, now: float, policy: PoolPolicy
) -> dict[str, Any] | None:
    """Give what a job's status says of the pool, or None if the pool does not hold the job."""
    held = state.slot_of(job_id)
    if held is not None:
        vm, slot = held
        left = _left(state, "job_s", slot.granted_at, now)
        return {
            "queue_position": None,
            "waiting_for": None,
            "vm": view_vm_briefly(vm, state, now, policy),
            "estimated_seconds_left": left,
        }
    for position, ticket in enumerate(state.queue, start=1):
        if ticket.job_id == job_id:
            wait = waiting(state.vms, now, policy)
            name = wait["vm"]["name"] if wait["vm"] else None
            return {
                "queue_position": position,
                "waiting_for": wait["waiting_for"],
                "vm": view_vm_briefly(state.vms[name], state, now, policy) if name else None,
                "estimated_seconds_left": estimate_queued(state, position, now, policy),
                "retry_at": wait["retry_at"],
            }
    return None


def _left(state: PoolState, what: str, since: float, now: float) -> float | None:
    typical = median(state.learned.get(what, []))
    return None if typical is None else round(max(0.0, typical - (now - since)), 1)
