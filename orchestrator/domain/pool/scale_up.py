"""When one more VM is woken for the queue, and how long a wait will be."""

import math

from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.ending import is_ending
from orchestrator.domain.pool.idle_policy import is_up, lacks_warmth, wanted_warmth
from orchestrator.domain.pool.policy import PoolPolicy
from orchestrator.domain.pool.state import PoolState, Vm, VmPhase


def needs_another(pool: DecisionContext) -> str:
    """Tell why another VM should be woken, in a phrase for people; empty if none should."""
    state, policy = pool.state, pool.policy
    up = [vm for vm in state.vms.values() if is_up(vm, pool.now, policy)]
    if lacks_warmth(state, pool.now, policy):
        return wanted_warmth(state, pool.now, policy).why
    if not state.queue or any(_answers_soon(pool, vm) for vm in state.vms.values()):
        return ""
    if not up:
        return f"{len(state.queue)} waiting"
    # Worth it once the last in the queue would wait longer than the new VM takes to come up.
    wait_s = expected_wait_s(state, len(up), policy.slots_per_vm, policy.default_job_s)
    wake_s = typical(state, "wake_s", policy.default_wake_s)
    if wait_s > wake_s:
        return f"{len(state.queue)} waiting, {wait_s:.0f} s expected"
    return ""


def _answers_soon(pool: DecisionContext, vm: Vm) -> bool:
    """Tell whether a drain is under way whose VM may be reopened for the same ticket."""
    is_recent = pool.now - vm.phase_since < pool.policy.drain_answer_s
    is_reopened = not is_ending(vm, pool.now, pool.policy)
    return vm.phase is VmPhase.DRAINING and is_recent and is_reopened


def expected_wait_s(state: PoolState, vms: int, slots_per_vm: int, default_job_s: float) -> float:
    """Estimate how long the last of the queue waits for its slot, in seconds."""
    return len(state.queue) * typical(state, "job_s", default_job_s) / (vms * slots_per_vm)


def seconds_until_room(state: PoolState, jobs: int, now: float, policy: PoolPolicy) -> int:
    """Estimate when so many of the open jobs will be over, in whole seconds, at least 1."""
    up = sum(is_up(vm, now, policy) for vm in state.vms.values())
    each_s = typical(state, "job_s", policy.default_job_s) / (max(up, 1) * policy.slots_per_vm)
    return max(1, math.ceil(_seconds_until_up(state, now, policy) + jobs * each_s))


def _seconds_until_up(state: PoolState, now: float, policy: PoolPolicy) -> float:
    """Estimate when the first VM takes jobs: what is left of a cold start, or a cool-down too."""
    vms = state.vms.values()
    ready = [vm for vm in vms if vm.phase in (VmPhase.READY, VmPhase.DRAINING)]
    if any(not is_ending(vm, now, policy) for vm in ready):
        return 0.0
    wake_s = typical(state, "wake_s", policy.default_wake_s)
    rising = [vm.woken_at for vm in vms if vm.phase in (VmPhase.STARTING, VmPhase.WARMING)]
    if rising:
        return max(0.0, wake_s - (now - min(rising)))
    if ready or any(vm.phase in (VmPhase.DEALLOCATED, VmPhase.DEALLOCATING) for vm in vms):
        return wake_s
    cooling = [vm.retry_at for vm in vms if vm.phase is VmPhase.NO_CAPACITY]
    return wake_s + max(0.0, min(cooling, default=now) - now)


def estimate_queued(
    state: PoolState, position: int, now: float, policy: PoolPolicy
) -> float | None:
    """Estimate when a waiting job will be over, in seconds; None before anything was seen.

    The cold start that is still to come, then one typical job for every round of slots ahead.
    """
    job_s = median(state.learned.get("job_s", []))
    until_up_s = _seconds_until_up(state, now, policy)
    if job_s is None or (until_up_s > 0 and not state.learned.get("wake_s")):
        return None
    up = sum(is_up(vm, now, policy) for vm in state.vms.values())
    rounds = (position - 1) // (max(up, 1) * policy.slots_per_vm) + 1
    return round(until_up_s + rounds * job_s, 1)


def typical(state: PoolState, name: str, default: float) -> float:
    """Give the median of this deployment's own recent durations, or the default before any."""
    value = median(state.learned.get(name, []))
    return default if value is None else value


def median(values: list[float]) -> float | None:
    """Give the upper median, or None of nothing."""
    return sorted(values)[len(values) // 2] if values else None
