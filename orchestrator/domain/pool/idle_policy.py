"""How many VMs stay warm, and when an idle one stops: every idle policy is behind `plan_stop`.

Three reasons keep a VM up: its idle window, a time-of-day window, and a `prewarm` call. The first
VMs in order of preference are those that stay.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from orchestrator.domain.pool.cap import drains_at
from orchestrator.domain.pool.ending import is_ending, why_ending
from orchestrator.domain.pool.policy import PoolPolicy
from orchestrator.domain.pool.state import PoolState, Vm, VmPhase

UP = (VmPhase.STARTING, VmPhase.WARMING, VmPhase.READY)


class Warmth(NamedTuple):
    """How many VMs are wanted warm.

    Attributes:
        until: When the want ends, epoch seconds.
        why: One phrase for people.
    """

    vms: int
    until: float
    why: str


class StopPlan(NamedTuple):
    """When an idle VM is drained; `at` is None while it is busy or not ready."""

    at: float | None
    why: str


NOTHING = Warmth(0, 0.0, "")


def wanted_warmth(state: PoolState, now: float, policy: PoolPolicy) -> Warmth:
    """Tell how many VMs are wanted warm now: the most that any reason asks for."""
    wants = [NOTHING]
    if state.prewarm_until > now:
        wants.append(Warmth(state.prewarm_vms, state.prewarm_until, "prewarmed"))
    for window in policy.warm_windows:
        span = window.span_around(now)
        if span is not None:
            until = datetime.fromtimestamp(span[1], UTC).astimezone(window.zone)
            wants.append(Warmth(window.vms, span[1], f"warm window until {until:%H:%M %Z}"))
    return max(wants)


def is_up(vm: Vm, now: float, policy: PoolPolicy) -> bool:
    """Tell whether a VM takes jobs, or will once it is ready."""
    return vm.phase in UP and not is_ending(vm, now, policy)


def lacks_warmth(state: PoolState, now: float, policy: PoolPolicy) -> bool:
    """Tell whether fewer VMs are up than are wanted warm."""
    up = [vm for vm in state.vms.values() if is_up(vm, now, policy)]
    return len(up) < wanted_warmth(state, now, policy).vms


def plan_stop(vm: Vm, state: PoolState, now: float, policy: PoolPolicy) -> StopPlan:
    """Tell when an idle VM will stop, and why then."""
    if vm.phase is not VmPhase.READY:
        return StopPlan(None, vm.reason)
    ending = is_ending(vm, now, policy)
    if vm.slots:
        return StopPlan(None, why_ending(vm, policy) if ending else vm.reason)
    ends_at = drains_at(vm, policy)
    plan = _plan_idle_stop(vm, state, now, policy)
    if ends_at is not None and plan.at is not None and (ending or ends_at < plan.at):
        return StopPlan(ends_at, why_ending(vm, policy))
    return plan


def _plan_idle_stop(vm: Vm, state: PoolState, now: float, policy: PoolPolicy) -> StopPlan:
    idle_until = vm.last_busy_at + policy.idle_window_s
    why = f"idle window of {policy.idle_window_s:.0f} s"
    warmth = wanted_warmth(state, now, policy)
    if _rank(vm, state, now, policy) < warmth.vms and warmth.until > idle_until:
        return StopPlan(warmth.until, warmth.why)
    return StopPlan(idle_until, why)


def _rank(vm: Vm, state: PoolState, now: float, policy: PoolPolicy) -> int:
    """Count the VMs that are up and preferred to this one."""
    rank = 0
    for candidate in policy.candidates:
        if candidate.name == vm.name:
            return rank
        other = state.vms.get(candidate.name)
        rank += other is not None and is_up(other, now, policy)
    return rank


def next_change(state: PoolState, now: float, policy: PoolPolicy) -> float | None:
    """Tell when the number of VMs wanted warm may next change, epoch seconds."""
    moments = [state.prewarm_until]
    for window in policy.warm_windows:
        span = window.span_around(now)
        moments += [span[1] if span else 0.0, window.next_begin(now) or 0.0]
    return min((moment for moment in moments if moment > now), default=None)
