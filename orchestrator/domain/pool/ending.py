"""VMs that take no more jobs: those near their hard cap and those no longer configured.

They end the jobs that they have. Nobody who waits counts on them, not even while they drain: such
a drain is never taken back.
"""

from orchestrator.domain.pool.cap import is_near_cap, why_near_cap
from orchestrator.domain.pool.policy import PoolPolicy
from orchestrator.domain.pool.state import Vm


def is_ending(vm: Vm, now: float, policy: PoolPolicy) -> bool:
    """Tell whether a VM takes no more jobs before it has booted anew, if ever."""
    return policy.candidate(vm.name) is None or is_near_cap(vm, now, policy)


def why_ending(vm: Vm, policy: PoolPolicy) -> str:
    """Say why a VM takes no more jobs."""
    if policy.candidate(vm.name) is None:
        return "no longer configured"
    return why_near_cap(vm)
