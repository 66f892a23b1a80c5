"""When the pool next has something to decide."""

from collections.abc import Iterator

from orchestrator.domain.pool.cap import takes_jobs_until
from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.effects import LOOK
from orchestrator.domain.pool.idle_policy import next_change, plan_stop
from orchestrator.domain.pool.state import Vm, VmPhase
from orchestrator.domain.pool.vm_lifecycle import AWAKE, ON_THE_WAY_UP, gives_up_at

SHORTEST_LOOK_S = 1.0
"""Sleep between rounds even when a deadline has passed that this round could do nothing about."""


def next_look_at(pool: DecisionContext) -> float:
    """Tell when the reconciler has to look again, epoch seconds."""
    is_awake = any(vm.phase in AWAKE for vm in pool.state.vms.values()) or pool.state.queue
    longest = pool.policy.look_awake_s if is_awake else pool.policy.look_asleep_s
    earliest = min(_deadlines(pool), default=pool.now + longest)
    return max(pool.now + SHORTEST_LOOK_S, min(earliest, pool.now + longest))


def _deadlines(pool: DecisionContext) -> Iterator[float]:
    policy = pool.policy
    for vm in pool.state.vms.values():
        yield from _phase_deadlines(pool, vm)
        for slot in vm.slots.values():
            if not slot.claimed:
                yield slot.granted_at + policy.offer_s
            elif not slot.releasing:
                yield slot.granted_at + policy.job_timeout_s + policy.slot_grace_s
    change = next_change(pool.state, pool.now, policy)
    if change is not None:
        yield change
    for key, pending in pool.state.outbox.items():
        # The very round that a look asks for is no reason for another.
        if key != LOOK:
            yield max(pending.next_at, pool.now + policy.reissue_s)


def _phase_deadlines(pool: DecisionContext, vm: Vm) -> Iterator[float]:
    policy = pool.policy
    stop = plan_stop(vm, pool.state, pool.now, policy)
    if stop.at is not None:
        yield stop.at
    ends_at = takes_jobs_until(vm, policy)
    if vm.phase is VmPhase.READY and ends_at is not None and ends_at > pool.now:
        yield ends_at
    if vm.phase in ON_THE_WAY_UP:
        yield vm.woken_at + policy.starting_s
    elif vm.phase is VmPhase.DRAINING:
        yield vm.phase_since + policy.draining_s
    elif vm.phase is VmPhase.DEALLOCATING:
        yield vm.phase_since + policy.deallocating_s
    elif vm.phase is VmPhase.NO_CAPACITY:
        yield vm.retry_at
    stuck_at = gives_up_at(vm, policy)
    if stuck_at is not None:
        yield stuck_at
    if vm.unseen_since is not None:
        yield vm.unseen_since + policy.unseen_s
