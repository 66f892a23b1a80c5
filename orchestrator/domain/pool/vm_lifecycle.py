"""Transitions of a VM. Each function changes the working copy that `decide` made."""

from dataclasses import asdict
from typing import Any

from orchestrator.domain.pool.billing.allocation import give_back, settle
from orchestrator.domain.pool.billing.meter import (
    close_interval,
    drop_interval,
    fail_start,
    note_on,
    open_interval,
)
from orchestrator.domain.pool.cap import is_near_cap, why_near_cap
from orchestrator.domain.pool.commands import (
    Deallocated,
    DeallocationAccepted,
    Drained,
    DrainRefused,
    PowerAsked,
    PowerRefused,
    Prewarm,
    ResetVm,
    StartAccepted,
    StartFailed,
    VmLost,
    VmReady,
    VmRunning,
)
from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.effects import RetireVm, WakeVm
from orchestrator.domain.pool.ending import is_ending
from orchestrator.domain.pool.idle_policy import lacks_warmth
from orchestrator.domain.pool.policy import PoolPolicy
from orchestrator.domain.pool.state import Vm, VmPhase
from orchestrator.domain.pool.transitions import check_transition

ON_THE_WAY_UP = (VmPhase.STARTING, VmPhase.WARMING)
AWAKE = (*ON_THE_WAY_UP, VmPhase.READY, VmPhase.DRAINING, VmPhase.DEALLOCATING)
Reply = dict[str, Any]

DONE: Reply = {"answer": "done"}
STALE: Reply = {"answer": "stale"}


def enter(pool: DecisionContext, vm: Vm, phase: VmPhase, reason: str) -> None:
    """Change a VM's phase, or enter it anew.

    Raises:
        TransitionError: The table of transitions does not name this one.
    """
    check_transition(vm.phase, pool.cause, phase)
    if vm.phase is not phase:
        vm.asked_at = None
        vm.not_begun_at = 0.0
    vm.phase = phase
    vm.phase_since = pool.now
    vm.reason = reason
    vm.unseen_since = None
    # Whatever was still to be done for the phase before is not wanted any more.
    if phase not in ON_THE_WAY_UP:
        pool.drop_key(f"wake:{vm.name}")
    if phase not in (VmPhase.READY, VmPhase.DRAINING):
        pool.drop_stops_on(vm)
    if phase not in (VmPhase.DRAINING, VmPhase.DEALLOCATING):
        pool.drop_key(f"retire:{vm.name}")


def wake(pool: DecisionContext, vm: Vm, reason: str) -> None:
    """Begin a new wake period.

    The epoch is at least the time in seconds, so that agents accept it even after the pool's state
    was lost or restored from an older copy.
    """
    vm.epoch = max(vm.epoch + 1, int(pool.now))
    vm.woken_at = pool.now
    candidate = pool.policy.candidate(vm.name)
    vm.home = asdict(candidate) if candidate else vm.home
    vm.drain = 0
    vm.receipt = None
    vm.off_by, vm.max_uptime_s = None, 0.0
    enter(pool, vm, VmPhase.STARTING, reason)
    pool.keep(WakeVm(vm.name, vm.epoch))
    pool.account(vm).wakes += 1


def begin_drain(pool: DecisionContext, vm: Vm, reason: str) -> None:
    """Ask the agent to close its door."""
    vm.drain += 1
    enter(pool, vm, VmPhase.DRAINING, reason)
    pool.keep(RetireVm(vm.name, vm.epoch, vm.drain, lost=False))


def lose(pool: DecisionContext, vm: Vm, reason: str) -> None:
    """Give a VM up: end its attempts and deallocate it without asking its agent."""
    end_attempts(pool, vm)
    vm.drain += 1
    enter(pool, vm, VmPhase.DEALLOCATING, reason)
    pool.keep(RetireVm(vm.name, vm.epoch, vm.drain, lost=True))


def end_attempts(pool: DecisionContext, vm: Vm) -> None:
    """End the attempts on a VM that is gone; a mere offer goes back to the queue."""
    for slot in list(vm.slots.values()):
        if slot.claimed or slot.releasing:
            pool.mark_over(slot.job_id, slot.fence)
            settle(pool, vm, slot.job_id)
        else:
            give_back(vm, slot.job_id)
            pool.requeue(slot)
        pool.drop_key(f"grant:{slot.job_id}")
    vm.slots.clear()


def switched_off(pool: DecisionContext, vm: Vm) -> None:
    """Note that a VM is deallocated."""
    close_found(pool, vm)
    if vm.failures >= pool.policy.max_failures:
        enter(pool, vm, VmPhase.BROKEN, vm.reason)
    elif vm.retry_at > pool.now:
        enter(pool, vm, VmPhase.NO_CAPACITY, vm.reason)
    else:
        enter(pool, vm, VmPhase.DEALLOCATED, vm.reason)


def power_asked(pool: DecisionContext, command: PowerAsked) -> Reply:
    """Note when ARM is first asked, before it is; or say that it must not be."""
    vm = pool.vm_in(command.vm, command.epoch, VmPhase.STARTING, VmPhase.DEALLOCATING)
    if vm is None or vm.drain != command.drain:
        return STALE
    off_at = command.found_off_at
    if off_at is not None and vm.interval.began_at is not None and vm.interval.began_at < off_at:
        _note_found_off(pool, vm, off_at, start_failed=command.start_failed)
    if vm.asked_at is None:
        vm.asked_at = command.at
    return DONE


def _note_found_off(pool: DecisionContext, vm: Vm, off_at: float, *, start_failed: bool) -> None:
    """End the billed interval of a VM that was found off just before ARM is asked once more."""
    if start_failed:
        drop_failed_start(vm)
    elif vm.phase is VmPhase.STARTING and vm.interval.began_at is not None:
        if off_at - vm.interval.began_at >= pool.policy.look_awake_s:
            # Somebody has stopped it since it was started.
            close_found(pool, vm)
            vm.asked_at = None
        else:
            # Azure may not show yet what it has begun.
            vm.interval.is_estimated = True


def power_refused(pool: DecisionContext, command: PowerRefused) -> Reply:
    """Forget the moment at which ARM was asked, unless an earlier call still has no answer."""
    vm = pool.vm_in(command.vm, command.epoch, VmPhase.STARTING, VmPhase.DEALLOCATING)
    if vm is None:
        return STALE
    if vm.asked_at == command.at:
        vm.asked_at = None
    return DONE


def _asked_at(vm: Vm) -> float | None:
    """Give when a call without an answer may have been taken at the earliest, or None."""
    return None if vm.asked_at is None else max(vm.asked_at, vm.not_begun_at)


def start_accepted(pool: DecisionContext, command: StartAccepted) -> Reply:
    """Open the billed interval at the moment ARM took the start.

    An earlier call without an answer may have been taken: then it began with that one, or so.
    """
    vm = pool.vm_in(command.vm, command.epoch, *ON_THE_WAY_UP)
    if vm is None:
        return STALE
    began_at = min(_asked_at(vm) or command.at, command.at)
    vm.asked_at = None
    if vm.interval.began_at is None:
        is_estimated = command.may_have_been_on or began_at < command.at
        open_interval(vm, at=began_at, estimated=is_estimated)
        # What was observed before this says nothing any more, though the bill may be older.
        if vm.phase is VmPhase.STARTING:
            vm.phase_since = pool.now
    return DONE


def open_found(pool: DecisionContext, vm: Vm) -> None:
    """Open the billed interval of a VM that is found on, unless it is open."""
    if vm.interval.began_at is None:
        open_interval(vm, at=_asked_at(vm) or pool.now, estimated=True)


def drop_failed_start(vm: Vm) -> None:
    """Forget the billed interval of a VM whose start has failed since: it never had a host.

    One that has run in it was billed, whatever has come of a later start.
    """
    if not vm.interval.has_run:
        drop_interval(vm)
        # That start was what the calls without an answer had asked for.
        vm.asked_at = None


def close_found(pool: DecisionContext, vm: Vm) -> None:
    """Close the billed interval of a VM that is found off, or on its way there."""
    # While it starts, it was the start that was asked for.
    asked_at = _asked_at(vm) if vm.phase is VmPhase.DEALLOCATING else None
    close_interval(pool, vm, at=asked_at or pool.now, estimated=True)


def vm_running(pool: DecisionContext, command: VmRunning) -> Reply:
    """ARM says running, the agent is still setting up."""
    vm = pool.vm_in(command.vm, command.epoch, VmPhase.STARTING)
    if vm is None:
        return STALE
    open_found(pool, vm)
    note_on(pool, vm, at=pool.now)
    vm.interval.has_run = True
    enter(pool, vm, VmPhase.WARMING, "the agent sets up")
    return DONE


def vm_ready(pool: DecisionContext, command: VmReady) -> Reply:
    """Open a VM for jobs."""
    vm = pool.vm_in(command.vm, command.epoch, *ON_THE_WAY_UP)
    if vm is None:
        return STALE
    vm.off_by, vm.max_uptime_s = command.off_by, command.max_uptime_s
    if is_near_cap(vm, pool.now, pool.policy):
        # It was on before this wake, unseen. A failure, so that no VM is woken like this for ever.
        message = why_near_cap(vm)
        failure = StartFailed(
            vm=vm.name, epoch=vm.epoch, code="uptime_over", message=message, may_be_on=True
        )
        give_up_wake(pool, vm, failure)
        return DONE
    pool.learn("wake_s", pool.now - vm.woken_at)
    vm.failures = vm.capacity_failures = 0
    vm.retry_at = 0.0
    vm.last_busy_at = pool.now
    open_found(pool, vm)
    note_on(pool, vm, at=pool.now)
    vm.interval.has_run = True
    vm.interval.machine_boot = command.machine_boot
    enter(pool, vm, VmPhase.READY, "ready")
    return DONE


def start_failed(pool: DecisionContext, command: StartFailed) -> Reply:
    """Cool a candidate down, count its failures, and clean up what it may have left on."""
    vm = pool.vm_in(command.vm, command.epoch, *ON_THE_WAY_UP)
    if vm is None:
        return STALE
    give_up_wake(pool, vm, command)
    return DONE


def give_up_wake(pool: DecisionContext, vm: Vm, failure: StartFailed) -> None:
    """End a wake without a ready agent."""
    reason = f"{failure.code}: {failure.message}" if failure.message else failure.code
    if failure.is_capacity:
        vm.capacity_failures += 1
        count = vm.capacity_failures
    elif failure.is_configuration:
        count = vm.failures = pool.policy.max_failures
    else:
        vm.failures += 1
        count = vm.failures
    cool_down = pool.policy.cool_down_s
    vm.retry_at = pool.now + cool_down[min(count, len(cool_down)) - 1] * _jitter(vm)
    fail_start(vm)
    if failure.may_be_on:
        lose(pool, vm, reason)
    else:
        vm.reason = reason
        # ARM refused, or never found a host: nothing was allocated that could be billed.
        drop_failed_start(vm)
        switched_off(pool, vm)


def _jitter(vm: Vm) -> float:
    """Spread retries over 1.0 to 1.2 of the cool-down, by name and epoch and hence repeatably."""
    return 1.0 + (sum(vm.name.encode()) * 31 + vm.epoch) % 21 / 100


def vm_lost(pool: DecisionContext, command: VmLost) -> Reply:
    """Give up a VM whose agent is gone."""
    vm = pool.vm_in(command.vm, command.epoch, *ON_THE_WAY_UP, VmPhase.READY, VmPhase.DRAINING)
    if vm is None:
        return STALE
    lose(pool, vm, command.reason)
    return DONE


def drained(pool: DecisionContext, command: Drained) -> Reply:
    """Deallocate, or reopen under a new epoch if someone waits by now."""
    vm = pool.vm_in(command.vm, command.epoch, VmPhase.DRAINING, VmPhase.DEALLOCATING)
    if vm is None or vm.drain != command.drain:
        return STALE
    if vm.phase is VmPhase.DEALLOCATING:
        return {"answer": "deallocate"}
    note_on(pool, vm, at=pool.now)
    pool.drop_key(f"retire:{vm.name}")
    is_wanted = pool.state.queue or lacks_warmth(pool.state, pool.now, pool.policy)
    if is_wanted and not is_ending(vm, pool.now, pool.policy):
        vm.epoch = max(vm.epoch + 1, int(pool.now))
        vm.drain = 0
        vm.last_busy_at = pool.now
        enter(pool, vm, VmPhase.READY, "reopened: it is wanted again")
        return {"answer": "reopened"}
    vm.receipt = command.receipt
    enter(pool, vm, VmPhase.DEALLOCATING, vm.reason)
    return {"answer": "deallocate"}


def drain_refused(pool: DecisionContext, command: DrainRefused) -> Reply:
    """Keep a VM whose agent holds a job."""
    vm = pool.vm_in(command.vm, command.epoch, VmPhase.DRAINING)
    if vm is None or vm.drain != command.drain:
        return STALE
    note_on(pool, vm, at=pool.now)
    vm.last_busy_at = pool.now
    enter(pool, vm, VmPhase.READY, "ready: the agent still held a job")
    return DONE


def deallocation_accepted(pool: DecisionContext, command: DeallocationAccepted) -> Reply:
    """Close the billed interval at the moment ARM took the deallocation.

    An earlier call without an answer may have been taken: then it ended with that one, or so.
    """
    vm = pool.vm_in(command.vm, command.epoch, VmPhase.DEALLOCATING)
    if vm is None:
        return STALE
    ended_at = min(_asked_at(vm) or command.at, command.at)
    vm.asked_at = None
    if vm.interval.began_at is not None:
        # What was observed before this says nothing any more.
        vm.phase_since = pool.now
    is_estimated = command.may_have_been_off or ended_at < command.at
    close_interval(pool, vm, at=ended_at, estimated=is_estimated)
    return DONE


def deallocated(pool: DecisionContext, command: Deallocated) -> Reply:
    """Close a wake period."""
    vm = pool.vm_in(command.vm, command.epoch, VmPhase.DEALLOCATING)
    if vm is None:
        return STALE
    switched_off(pool, vm)
    return DONE


def gives_up_at(vm: Vm, policy: PoolPolicy) -> float | None:
    """Tell when a VM is lost on which nothing is left but ended jobs; None while there is more."""
    if not vm.slots or not all(slot.releasing for slot in vm.slots.values()):
        return None
    return max(slot.ended_at for slot in vm.slots.values()) + policy.releasing_s


def prewarm(pool: DecisionContext, command: Prewarm) -> Reply:
    """Want some VMs warm for a while; a later call replaces an earlier one."""
    pool.state.prewarm_vms = min(command.vms, len(pool.policy.candidates))
    pool.state.prewarm_until = command.until
    return {"answer": "done", "vms": pool.state.prewarm_vms, "until": command.until}


def reset_vm(pool: DecisionContext, command: ResetVm) -> Reply:
    """Close the circuit of a broken VM, or end a cool-down: it may be tried again at once."""
    vm = pool.state.vms.get(command.vm)
    if vm is None or vm.phase not in (VmPhase.BROKEN, VmPhase.NO_CAPACITY):
        return STALE
    vm.failures = vm.capacity_failures = 0
    vm.retry_at = 0.0
    enter(pool, vm, VmPhase.DEALLOCATED, "reset by an operator")
    return DONE
