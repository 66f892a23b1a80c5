"""What follows from the state after each command: deadlines, offers, stops and wakes."""

from orchestrator.domain.pool.cap import drains_at
from orchestrator.domain.pool.commands import StartFailed
from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.effects import GrantSlot
from orchestrator.domain.pool.ending import is_ending, why_ending
from orchestrator.domain.pool.idle_policy import plan_stop
from orchestrator.domain.pool.scale_up import needs_another
from orchestrator.domain.pool.slots import end_slot, withdraw
from orchestrator.domain.pool.state import Slot, Vm, VmPhase
from orchestrator.domain.pool.transitions import Step
from orchestrator.domain.pool.vm_lifecycle import (
    AWAKE,
    ON_THE_WAY_UP,
    begin_drain,
    enter,
    give_up_wake,
    gives_up_at,
    lose,
    wake,
)


def meet_candidates(pool: DecisionContext) -> None:
    """Give every configured candidate a place in the state; forget those no longer configured.

    One that is no longer configured is kept until it is off, so that it is not left running.
    """
    for candidate in pool.policy.candidates:
        if candidate.name not in pool.state.vms:
            pool.state.vms[candidate.name] = Vm(name=candidate.name, phase_since=pool.now)
    for name, vm in list(pool.state.vms.items()):
        if pool.policy.candidate(name) is None and vm.phase not in AWAKE:
            del pool.state.vms[name]


def expire_jobs(pool: DecisionContext) -> None:
    """Apply the deadlines of offers, slots and tickets."""
    policy = pool.policy
    for vm in pool.state.vms.values():
        for slot in list(vm.slots.values()):
            age = pool.now - slot.granted_at
            if not slot.claimed and not slot.releasing and age >= policy.offer_s:
                withdraw(pool, vm, slot)
                pool.requeue(slot, missed=True)
            elif is_overdue(pool, slot) and not slot.releasing:
                end_slot(pool, vm, slot)
    oldest = pool.now - policy.ticket_s
    if any(ticket.asked_at < oldest for ticket in pool.state.queue):
        pool.state.queue[:] = [t for t in pool.state.queue if t.asked_at >= oldest]


def is_overdue(pool: DecisionContext, slot: Slot) -> bool:
    """Tell whether a claimed slot has outlived the longest job."""
    limit = pool.policy.job_timeout_s + pool.policy.slot_grace_s
    return slot.claimed and pool.now - slot.granted_at >= limit


def expire_phases(pool: DecisionContext) -> None:
    """Apply the deadline of every transitional phase; none depends on a workflow being alive."""
    pool.cause = Step.DEADLINE
    policy = pool.policy
    for vm in pool.state.vms.values():
        age = pool.now - vm.phase_since
        if vm.phase in ON_THE_WAY_UP and pool.now - vm.woken_at >= policy.starting_s:
            failure = StartFailed(
                vm=vm.name,
                epoch=vm.epoch,
                code="start_timed_out" if vm.phase is VmPhase.STARTING else "agent_not_ready",
                message=f"not ready after {policy.starting_s:.0f} s",
                may_be_on=True,
            )
            give_up_wake(pool, vm, failure)
        elif vm.phase is VmPhase.DRAINING and age >= policy.draining_s:
            lose(pool, vm, "the drain was not answered")
        elif vm.phase is VmPhase.DEALLOCATING and age >= policy.deallocating_s:
            receipt = vm.receipt
            lose(pool, vm, "the deallocation did not end; asking again")
            vm.receipt = receipt
        elif (stuck_at := gives_up_at(vm, policy)) is not None and pool.now >= stuck_at:
            lose(pool, vm, "a job that has ended could not be stopped")
        elif vm.phase is VmPhase.NO_CAPACITY and pool.now >= vm.retry_at:
            enter(pool, vm, VmPhase.DEALLOCATED, vm.reason)


def offer_slots(pool: DecisionContext) -> None:
    """Offer free slots to the head of the queue, on the least loaded ready VM."""
    queue = pool.state.queue
    while queue:
        free = [
            vm
            for vm in pool.state.vms.values()
            if vm.phase is VmPhase.READY
            and len(vm.slots) < pool.policy.slots_per_vm
            and not is_ending(vm, pool.now, pool.policy)
        ]
        if not free:
            return
        vm = min(free, key=lambda vm: len(vm.slots))
        slot = pool.offer(queue.pop(0))
        vm.slots[slot.job_id] = slot
        pool.keep(GrantSlot(slot.job_id, pool.event_of(slot), vm.name, vm.epoch))


def stop_idle(pool: DecisionContext) -> None:
    """Drain every VM whose idle policy says so, the least preferred first.

    One that is no longer configured, or near its hard cap, is drained even while jobs wait.
    """
    pool.cause = Step.IDLE
    for vm in pool.state.vms.values():
        if vm.phase is not VmPhase.READY or vm.slots:
            continue
        ends_at = drains_at(vm, pool.policy)
        is_configured = pool.policy.candidate(vm.name) is not None
        if not is_configured or (ends_at is not None and pool.now >= ends_at):
            begin_drain(pool, vm, why_ending(vm, pool.policy))
    if pool.state.queue:
        return
    for vm in reversed(list(pool.state.vms.values())):
        stop = plan_stop(vm, pool.state, pool.now, pool.policy)
        if stop.at is not None and pool.now >= stop.at:
            begin_drain(pool, vm, f"{stop.why} is over")


def wake_another(pool: DecisionContext) -> None:
    """Wake the first candidate that can be, if the queue or a wish for warmth asks for it."""
    pool.cause = Step.DEMAND
    why = needs_another(pool)
    if not why:
        return
    for candidate in pool.policy.candidates:
        vm = pool.state.vms[candidate.name]
        if vm.phase is VmPhase.DEALLOCATED:
            wake(pool, vm, why)
            return
