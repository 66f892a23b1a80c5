"""The hard cap on a VM's uptime: a VM is given no job that the cap might cut off.

The dead-man's switch on a VM deallocates it at the cap, whatever it does. So the pool stops giving
it slots in time, drains it once it is free, and has it boot anew. A cap shorter than the longest
job and a wake together can't be kept: such a VM takes jobs for as long as a wake may last, and the
cap may cut them off. Otherwise it would be woken again and again for nothing.
"""

from typing import Any, NamedTuple

from orchestrator.domain.pool.policy import PoolPolicy
from orchestrator.domain.pool.state import Vm


class Cap(NamedTuple):
    """When a VM's switch deallocates it.

    Attributes:
        off_by: Epoch seconds; None if the agent does not know.
        max_uptime_s: Seconds from boot until then; 0 if the agent does not know.
    """

    off_by: float | None = None
    max_uptime_s: float = 0.0


def read_cap(status: dict[str, Any], asked_at: float) -> Cap:
    """Read the cap from an agent's status. Older agents omit it.

    Args:
        status: `gpu_agent.wire.AgentStatus` as JSON.
        asked_at: Just before the agent was asked, epoch seconds: the cap is never later than told.
    """
    left_s, max_uptime_s = status.get("cap_left_s"), status.get("max_uptime_s")
    if left_s is None or max_uptime_s is None:
        return Cap()
    return Cap(asked_at + float(left_s), float(max_uptime_s))


def takes_jobs_until(vm: Vm, policy: PoolPolicy) -> float | None:
    """Tell up to when a VM is given slots, epoch seconds; None if no cap is known."""
    if vm.off_by is None:
        return None
    # A VM that is given up as not ready in time has been up for less than this.
    least_s = min(policy.starting_s, vm.max_uptime_s)
    return vm.off_by - min(policy.longest_slot_s, vm.max_uptime_s - least_s)


def is_near_cap(vm: Vm, now: float, policy: PoolPolicy) -> bool:
    """Tell whether a VM takes no more jobs before it has booted anew."""
    until = takes_jobs_until(vm, policy)
    return until is not None and now >= until


def drains_at(vm: Vm, policy: PoolPolicy) -> float | None:
    """Tell when a ready VM without slots is drained for its cap, epoch seconds.

    An agent that has refused a drain holds a job that no slot names. The next look stops that job,
    so the drain is not repeated before.
    """
    until = takes_jobs_until(vm, policy)
    return None if until is None else max(until, vm.phase_since + policy.look_awake_s)


def why_near_cap(vm: Vm) -> str:
    """Say why a VM takes no more jobs."""
    return f"its {vm.max_uptime_s / 3600:.3g} h of uptime are over soon"
