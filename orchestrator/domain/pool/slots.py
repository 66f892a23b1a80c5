"""Transitions of a job: asked, offered, claimed, over."""

from typing import Any

from orchestrator.domain.fence import ending_all
from orchestrator.domain.pool.billing.allocation import cost_of, give_back, settle
from orchestrator.domain.pool.commands import Cancel, Enqueue, Release
from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.effects import StopJob
from orchestrator.domain.pool.ending import is_ending, why_ending
from orchestrator.domain.pool.policy import PoolPolicy
from orchestrator.domain.pool.scale_up import estimate_queued
from orchestrator.domain.pool.state import Slot, Ticket, Vm, VmPhase
from orchestrator.domain.pool.vm_lifecycle import DONE, ON_THE_WAY_UP, STALE, Reply, lose


def ask(pool: DecisionContext, command: Enqueue) -> None:
    """Note a job's wish for a slot; `answer` gives the reply once offers are made.

    A job that the pool does not know joins the queue, whether it enqueues or claims: the state
    may have been restored, or its ticket dropped as abandoned.
    """
    if pool.is_over(command.job_id, command.fence):
        return
    held = pool.state.slot_of(command.job_id)
    if held is not None:
        vm, slot = held
        if slot.fence == command.fence:
            _claim(pool, vm, slot)
            return
        if slot.fence > command.fence or slot.claimed or slot.releasing:
            _end_older_slot(pool, vm, slot, command.fence)
            return
        withdraw(pool, vm, slot)
    ticket = pool.ticket_of(command.job_id)
    if ticket is not None and ticket.fence > command.fence:
        return
    # A second delivery may be of an earlier wait, which an event can no longer end.
    since, round_number = pool.now, command.round
    if ticket is not None and ticket.fence == command.fence:
        since, round_number = ticket.since, max(ticket.round, command.round)
    pool.drop_ticket(command.job_id)
    pool.add_ticket(
        Ticket(
            job_id=command.job_id,
            fence=command.fence,
            since=since,
            asked_at=pool.now,
            round=round_number,
            priority=command.priority,
            misses=0,
        )
    )


def _claim(pool: DecisionContext, vm: Vm, slot: Slot) -> None:
    if not slot.claimed and not slot.releasing:
        vm.slots[slot.job_id] = slot._replace(claimed=True, granted_at=pool.now)
        pool.drop_key(f"grant:{slot.job_id}")


def _end_older_slot(pool: DecisionContext, vm: Vm, slot: Slot, newer_fence: int) -> None:
    """Stop what an older run of the same job left on an agent; the newer one waits for that."""
    if slot.fence < newer_fence and not slot.releasing:
        _stop(pool, vm, slot)


def answer(pool: DecisionContext, command: Enqueue) -> Reply:
    """Reply to a job that asked: its slot, claimed by this very reply, or its place."""
    held = pool.state.slot_of(command.job_id)
    if held is not None:
        vm, slot = held
        if slot.fence == command.fence and not slot.releasing:
            _claim(pool, vm, slot)
            return {"answer": "slot", "vm": vm.name, "epoch": vm.epoch}
        if slot.fence < command.fence:
            return {"answer": "wait", "position": 1, "waiting_for": "slot", "vm": None}
    position = next(
        (
            i
            for i, t in enumerate(pool.state.queue, start=1)
            if t.job_id == command.job_id and t.fence == command.fence
        ),
        None,
    )
    if position is None:
        return {"answer": "cancelled" if pool.is_cancelled(command.job_id) else "over"}
    left_s = estimate_queued(pool.state, position, pool.now, pool.policy)
    return {
        "answer": "wait",
        "position": position,
        "estimated_seconds_left": left_s,
        **waiting(pool.state.vms, pool.now, pool.policy),
    }


def waiting(vms: dict[str, Vm], now: float, policy: PoolPolicy) -> dict[str, Any]:
    """Say what the queue waits for: ``slot``, ``vm`` or ``capacity``, and which VM that is.

    A VM that is ending comes last: it has to boot anew before it takes a job, if it ever does.
    """
    ending = [vm for vm in vms.values() if is_ending(vm, now, policy)]
    for phase in (VmPhase.READY, VmPhase.DRAINING, *ON_THE_WAY_UP):
        vm = next((vm for vm in vms.values() if vm.phase is phase and vm not in ending), None)
        if vm is not None:
            what = "slot" if phase is VmPhase.READY else "vm"
            return {"waiting_for": what, "vm": _brief(vm), "retry_at": None}
    for phase in (VmPhase.DEALLOCATING, VmPhase.DRAINING, VmPhase.READY):
        vm = next((vm for vm in vms.values() if vm.phase is phase), None)
        if vm is not None:
            why = vm.reason if vm.phase is VmPhase.DEALLOCATING else why_ending(vm, policy)
            return {"waiting_for": "vm", "vm": {**_brief(vm), "why": why}, "retry_at": None}
    cooling = [vm for vm in vms.values() if vm.phase is VmPhase.NO_CAPACITY]
    if cooling:
        vm = min(cooling, key=lambda vm: vm.retry_at)
        return {"waiting_for": "capacity", "vm": _brief(vm), "retry_at": vm.retry_at}
    vm = next(iter(vms.values()), None)
    return {"waiting_for": "vm", "vm": _brief(vm) if vm else None, "retry_at": None}


def _brief(vm: Vm) -> dict[str, Any]:
    return {"name": vm.name, "phase": vm.phase.value, "since": vm.phase_since, "why": vm.reason}


def release(pool: DecisionContext, command: Release) -> Reply:
    """End an attempt. An older attempt's release never touches a newer one."""
    pool.mark_over(command.job_id, command.fence)
    ticket = pool.ticket_of(command.job_id)
    if ticket is not None and ticket.fence <= command.fence:
        pool.drop_ticket(command.job_id)
    pool.drop_stops(command.job_id, command.fence)
    held = pool.state.slot_of(command.job_id)
    if held is None or held[1].fence > command.fence:
        settled = pool.state.settled.get(command.job_id)
        return {**STALE, "cost": cost_of(settled) if settled else None}
    vm, slot = held
    if slot.fence < command.fence:
        # Its agent may still be at it: only its own release says that it is not.
        end_slot(pool, vm, slot)
        return STALE
    del vm.slots[slot.job_id]
    vm.last_busy_at = pool.now
    pool.drop_key(f"grant:{slot.job_id}")
    if command.ran:
        pool.learn("job_s", pool.now - slot.granted_at)
    cost = settle(pool, vm, slot.job_id)
    if command.vm_unreachable and vm.phase is VmPhase.READY:
        lose(pool, vm, "the agent did not answer for a minute")
    return {**DONE, "cost": cost}


def cancel(pool: DecisionContext, command: Cancel) -> Reply:
    """End a job from outside: out of the queue at once, out of its slot when the agent agrees.

    Whatever its fence: the clock that made it may be behind the one that made the attempt's.
    """
    pool.mark_over(command.job_id, ending_all(command.fence))
    pool.drop_ticket(command.job_id)
    held = pool.state.slot_of(command.job_id)
    if held is None:
        return {"answer": "done", "releasing": False}
    end_slot(pool, *held)
    return {"answer": "done", "releasing": True}


def end_slot(pool: DecisionContext, vm: Vm, slot: Slot) -> None:
    """Stop a slot's job; an unclaimed offer never reached the agent and is freed at once."""
    pool.mark_over(slot.job_id, slot.fence)
    if not slot.claimed:
        withdraw(pool, vm, slot)
    elif not slot.releasing:
        _stop(pool, vm, slot)


def withdraw(pool: DecisionContext, vm: Vm, slot: Slot) -> None:
    """Take an offer back that nobody has claimed."""
    del vm.slots[slot.job_id]
    pool.drop_key(f"grant:{slot.job_id}")
    give_back(vm, slot.job_id)


def _stop(pool: DecisionContext, vm: Vm, slot: Slot) -> None:
    vm.slots[slot.job_id] = slot._replace(releasing=True, ended_at=pool.now)
    pool.keep(StopJob(vm.name, slot.job_id, slot.fence))
