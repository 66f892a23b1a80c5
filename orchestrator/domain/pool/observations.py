"""The reconciler's round: reconcile the recorded state with what was observed."""

from orchestrator.domain.pool.billing.allocation import settle
from orchestrator.domain.pool.billing.meter import note_on, open_interval
from orchestrator.domain.pool.commands import JobSeen, StartFailed, Tick, VmSeen
from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.effects import LOOK, StopJob
from orchestrator.domain.pool.slots import end_slot
from orchestrator.domain.pool.state import Vm, VmPhase
from orchestrator.domain.pool.vm_lifecycle import (
    AWAKE,
    close_found,
    drop_failed_start,
    end_attempts,
    enter,
    give_up_wake,
    lose,
    open_found,
    switched_off,
    wake,
)
from orchestrator.domain.start_errors import NOT_FOUND, StartProblem, classify_start_error

ON = ("starting", "running")
OFF = "deallocated"
GOING_OFF = "deallocating"
"""No longer billed."""
STOPPED = "stopped"
STOPPING = "stopping"
"""A guest shutdown, over or under way: still billed."""
RAN = ("running", STOPPING, STOPPED)
"""A start that has come so far has a host."""
BILLED = (*ON, STOPPING, STOPPED)
Attempt = tuple[str, int]
"""A job's id and the attempt's fence."""
GONE = "gone"
"""There is no VM of that name: somebody has deleted it."""


def compare(pool: DecisionContext, command: Tick) -> bool:
    """Apply one round of observations.

    Returns:
        False if a newer generation of the reconciler has taken over: nothing was changed.
    """
    if command.generation is not None:
        if command.generation < pool.state.generation:
            return False
        pool.state.generation = command.generation
        pool.state.tick_at = pool.now
        pool.drop_key("reconciler")
        pool.drop_key(LOOK)
    missing = {(job.job_id, job.fence) for job in command.missing}
    for seen in command.seen:
        vm = pool.state.vms.get(seen.vm)
        # An observation made under another epoch or phase says nothing about this one.
        if vm is not None and (vm.epoch, vm.phase_since) == (seen.epoch, seen.phase_since):
            _compare(pool, vm, seen)
            _watch_slots(pool, vm, _live_jobs(seen), missing)
    for ended in command.ended:
        _end_orphan(pool, ended)
    for job in command.missing:
        _end_unclaimed(pool, job)
    return True


def _compare(pool: DecisionContext, vm: Vm, seen: VmSeen) -> None:
    _compare_boot(vm, seen)
    if seen.off_by is not None:
        vm.off_by, vm.max_uptime_s = seen.off_by, seen.max_uptime_s
    if seen.power == GONE:
        _compare_deleted(pool, vm, seen)
    elif seen.power is not None:
        if vm.phase is VmPhase.BROKEN and vm.reason.startswith(NOT_FOUND):
            _take_back(pool, vm)
        _compare_power(pool, vm, seen, seen.power)
    if vm.phase is VmPhase.READY and (vm.epoch, vm.phase_since) == (seen.epoch, seen.phase_since):
        _compare_agent(pool, vm, seen)


def _compare_boot(vm: Vm, seen: VmSeen) -> None:
    """Take the machine's own word for whether it may have been off since the last look.

    Azure only says that it runs, as it did before. In the same boot it was on all the time;
    another one may have come after it was off, or from inside, and makes the bill an estimate.
    """
    if not seen.machine_boot:
        return
    if vm.interval.machine_boot == seen.machine_boot:
        vm.interval.seen_on_at = max(vm.interval.seen_on_at, seen.seen_at)
    elif vm.interval.machine_boot:
        vm.interval.is_estimated = True
    vm.interval.machine_boot = seen.machine_boot


def _compare_deleted(pool: DecisionContext, vm: Vm, seen: VmSeen) -> None:
    """Give up a VM that does not exist; an agent that answers is the better witness."""
    if vm.phase not in AWAKE or seen.agent == "up":
        return
    end_attempts(pool, vm)
    vm.failures = pool.policy.max_failures
    vm.reason = f"{NOT_FOUND}: the VM was deleted"
    switched_off(pool, vm)


def _take_back(pool: DecisionContext, vm: Vm) -> None:
    """Close the circuit of a VM that was missing and is there again, made anew."""
    vm.failures = 0
    enter(pool, vm, VmPhase.DEALLOCATED, "there again after it was deleted")


def _compare_power(pool: DecisionContext, vm: Vm, seen: VmSeen, power: str) -> None:
    if power in BILLED:
        note_on(pool, vm, at=seen.seen_at)
    elif power == OFF and seen.failure is not None and vm.phase is not VmPhase.STARTING:
        drop_failed_start(vm)
    if vm.phase is VmPhase.DEALLOCATING:
        _compare_deallocating(pool, vm, seen, power)
    elif vm.phase is VmPhase.STARTING:
        _compare_starting(pool, vm, seen, power)
    elif vm.phase in (VmPhase.WARMING, VmPhase.READY, VmPhase.DRAINING):
        _compare_running(pool, vm, power)
    elif vm.phase is not VmPhase.BROKEN and power in ON:
        wake(pool, vm, "started from outside")
        open_interval(vm, at=pool.now, estimated=True)
    elif power in BILLED:
        open_interval(vm, at=pool.now, estimated=True)
        lose(pool, vm, f"found {power}, which is billed")
    if power in RAN:
        vm.interval.has_run = vm.interval.began_at is not None


def _compare_deallocating(pool: DecisionContext, vm: Vm, seen: VmSeen, power: str) -> None:
    if power == OFF:
        switched_off(pool, vm)
    elif power == GOING_OFF:
        close_found(pool, vm)
    elif vm.interval.began_at is not None:
        _note_not_begun(vm, seen)
    elif pool.now - vm.phase_since >= pool.policy.look_awake_s:
        # It went off, or was about to, and is on again: it must be asked for once more.
        open_interval(vm, at=pool.now, estimated=True)
        lose(pool, vm, f"found {power} while it was being deallocated")


def _note_not_begun(vm: Vm, seen: VmSeen) -> None:
    """Note that what ARM was asked for had not begun by then: an older call is no clue to when."""
    vm.not_begun_at = max(vm.not_begun_at, seen.seen_at)


def _compare_starting(pool: DecisionContext, vm: Vm, seen: VmSeen, power: str) -> None:
    failure = seen.failure
    if power in BILLED:
        open_found(pool, vm)
    elif vm.interval.began_at is None:
        _note_not_begun(vm, seen)
    # What was observed before ARM took the start says nothing about what came of it.
    elif pool.now - vm.interval.began_at < pool.policy.look_awake_s:
        return
    elif power == OFF and failure is not None:
        problem = classify_start_error(failure)
        failed = StartFailed(
            vm=vm.name,
            epoch=vm.epoch,
            code=failure,
            is_capacity=problem is StartProblem.CAPACITY,
            is_configuration=problem is StartProblem.CONFIGURATION,
        )
        give_up_wake(pool, vm, failed)
    elif power in (OFF, GOING_OFF):
        _stopped_from_outside(pool, vm, power)


def _compare_running(pool: DecisionContext, vm: Vm, power: str) -> None:
    if power in (OFF, GOING_OFF):
        _stopped_from_outside(pool, vm, power)
    elif power == "starting":
        _started_anew(pool, vm)
    elif power == STOPPED and vm.phase is not VmPhase.DRAINING:
        lose(pool, vm, "shut down from inside, which is still billed")


def _started_anew(pool: DecisionContext, vm: Vm) -> None:
    """Part the billed interval of a VM that had been on and starts: it may have been off between.

    Once in a phase, for a start lasts for several rounds.
    """
    if vm.interval.began_at is not None and vm.interval.began_at < vm.phase_since:
        close_found(pool, vm)
        open_found(pool, vm)


def _stopped_from_outside(pool: DecisionContext, vm: Vm, power: str) -> None:
    close_found(pool, vm)
    if power == GOING_OFF:
        # It can't be started again before that has ended; the retirement waits for it.
        lose(pool, vm, "stopped from outside")
        return
    end_attempts(pool, vm)
    vm.reason = "stopped from outside"
    switched_off(pool, vm)


def _compare_agent(pool: DecisionContext, vm: Vm, seen: VmSeen) -> None:
    if seen.agent == "closed":
        lose(pool, vm, "the agent has closed its door until the next boot")
    elif seen.agent == "unreachable":
        if vm.unseen_since is None:
            vm.unseen_since = pool.now
        elif pool.now - vm.unseen_since >= pool.policy.unseen_s:
            lose(pool, vm, "the agent does not answer")
    elif seen.agent == "up":
        vm.unseen_since = None
        live = _live_jobs(seen)
        if live is not None:
            _compare_jobs(pool, vm, live)


def _live_jobs(seen: VmSeen) -> set[Attempt] | None:
    """Give what the agent holds; None if it was not asked or did not answer."""
    if seen.agent != "up" or seen.jobs is None:
        return None
    return {(str(job), int(fence)) for job, fence in seen.jobs}


def _compare_jobs(pool: DecisionContext, vm: Vm, live: set[Attempt]) -> None:
    """Stop jobs that no slot names, and free ended slots that the agent no longer holds."""
    named = {(slot.job_id, slot.fence) for slot in vm.slots.values()}
    for job_id, fence in sorted(live - named):
        pool.keep(StopJob(vm.name, job_id, fence))
    for slot in list(vm.slots.values()):
        if slot.releasing and (slot.job_id, slot.fence) not in live:
            del vm.slots[slot.job_id]
            settle(pool, vm, slot.job_id)
            vm.last_busy_at = pool.now
            pool.drop_stop(vm.name, slot.job_id, slot.fence)


def _watch_slots(
    pool: DecisionContext, vm: Vm, live: set[Attempt] | None, missing: set[Attempt]
) -> None:
    """Free claimed slots that nobody works on, at the second look that says so.

    The job's workflow is gone, or it is suspended or stuck and its agent has nothing of it: the VM
    would be billed for an empty slot until the job's longest time is over. A workflow that goes on
    after all looks for the finished model, and tries again if there is none.
    """
    first_seen, vm.adrift = vm.adrift, {}
    for slot in list(vm.slots.values()):
        attempt = (slot.job_id, slot.fence)
        if not slot.claimed or slot.releasing:
            continue
        # What was seen before this attempt had the slot was seen of another one.
        since = first_seen.get(slot.job_id, -1.0)
        was_adrift = since >= slot.granted_at
        is_adrift = attempt in missing or (live is not None and attempt not in live)
        if is_adrift and was_adrift and pool.now - since >= pool.policy.adrift_s:
            end_slot(pool, vm, slot)
        elif is_adrift or (was_adrift and live is None):
            vm.adrift[slot.job_id] = since if was_adrift else pool.now


def _end_orphan(pool: DecisionContext, ended: JobSeen) -> None:
    held = pool.state.slot_of(ended.job_id)
    if held is not None and held[1].fence == ended.fence and not held[1].releasing:
        end_slot(pool, *held)
    _end_unclaimed(pool, ended)


def _end_unclaimed(pool: DecisionContext, ended: JobSeen) -> None:
    """Drop a ticket or an offer: should its job live after all, it asks again."""
    ticket = pool.ticket_of(ended.job_id)
    if ticket is not None and ticket.fence == ended.fence:
        pool.mark_over(ended.job_id, ended.fence)
        pool.drop_ticket(ended.job_id)
    held = pool.state.slot_of(ended.job_id)
    if held is not None and held[1].fence == ended.fence and not held[1].claimed:
        end_slot(pool, *held)
