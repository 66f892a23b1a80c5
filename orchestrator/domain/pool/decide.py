"""One decision: a command is applied, then what follows from the new state is decided."""

from collections.abc import Callable
from typing import Any, NamedTuple

from orchestrator.domain.pool import consequences, observations, slots, vm_lifecycle
from orchestrator.domain.pool.billing.allocation import hand_out
from orchestrator.domain.pool.billing.meter import count
from orchestrator.domain.pool.commands import (
    Acquire,
    Cancel,
    Command,
    Confirm,
    Deallocated,
    DeallocationAccepted,
    Drained,
    DrainRefused,
    Enqueue,
    PowerAsked,
    PowerRefused,
    Prewarm,
    Release,
    ResetVm,
    StartAccepted,
    StartFailed,
    Tick,
    VmLost,
    VmReady,
    VmRunning,
)
from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.deadlines import next_look_at
from orchestrator.domain.pool.effects import LOOK, Effect, Look, StartReconciler, effect_from_json
from orchestrator.domain.pool.policy import PoolPolicy
from orchestrator.domain.pool.state import Pending, PoolState

SUPERSEDED = {"answer": "superseded"}
LOOK_SLACK_S = 1.0
"""A deadline earlier than planned by less than this is not worth waking the reconciler for."""


class Decision(NamedTuple):
    """What follows from a command.

    Attributes:
        state: To be stored if the old state is still there.
        effects: To be performed after that, each safe to run twice.
        reply: For whoever sent the command.
    """

    state: PoolState
    effects: list[Effect]
    reply: dict[str, Any]


def decide(state: PoolState, command: Command, now: float, policy: PoolPolicy) -> Decision:
    """Apply a command.

    Args:
        state: Not changed.
        command: May be a duplicate, late or out of order; then it changes nothing it should not.
        now: Epoch seconds.
        policy: The candidates and the rules' numbers.
    """
    pool = DecisionContext(state.copy(), now, policy, cause=type(command).__name__)
    for vm in pool.state.vms.values():
        count(vm, now)
    counted = pool.state.copy()
    consequences.meet_candidates(pool)
    reply = _apply(pool, command)
    consequences.expire_jobs(pool)
    consequences.expire_phases(pool)
    consequences.offer_slots(pool)
    for vm in pool.state.vms.values():
        hand_out(vm)
    consequences.stop_idle(pool)
    consequences.wake_another(pool)
    if isinstance(command, Enqueue):
        reply = slots.answer(pool, command)
    if isinstance(command, Tick) and reply != SUPERSEDED:
        _plan_look(pool, is_tick=command.generation is not None)
        until = pool.state.look_at
        reply = {"answer": "sleep", "until": until, "for_s": max(0.0, until - now)}
    else:
        _plan_look(pool, is_tick=False)
    effects = _due(pool)
    # Time that was counted and nothing else is no news: it is counted again by the next decision.
    is_news = effects or pool.state != counted
    return Decision(pool.state if is_news else state, effects, reply)


def _apply(pool: DecisionContext, command: Command) -> dict[str, Any]:
    match command:
        case Enqueue() | Acquire():
            slots.ask(pool, command)
            return vm_lifecycle.DONE
        case Tick():
            return vm_lifecycle.DONE if observations.compare(pool, command) else SUPERSEDED
        case Confirm():
            return _confirm(pool, command)
        case _:
            return _HANDLERS[type(command)](pool, command)


_HANDLERS: dict[type[Any], Callable[[DecisionContext, Any], dict[str, Any]]] = {
    Release: slots.release,
    Cancel: slots.cancel,
    PowerAsked: vm_lifecycle.power_asked,
    PowerRefused: vm_lifecycle.power_refused,
    StartAccepted: vm_lifecycle.start_accepted,
    VmRunning: vm_lifecycle.vm_running,
    VmReady: vm_lifecycle.vm_ready,
    StartFailed: vm_lifecycle.start_failed,
    VmLost: vm_lifecycle.vm_lost,
    Drained: vm_lifecycle.drained,
    DrainRefused: vm_lifecycle.drain_refused,
    DeallocationAccepted: vm_lifecycle.deallocation_accepted,
    Deallocated: vm_lifecycle.deallocated,
    Prewarm: vm_lifecycle.prewarm,
    ResetVm: vm_lifecycle.reset_vm,
}


def _confirm(pool: DecisionContext, command: Confirm) -> dict[str, Any]:
    for data in command.effects:
        effect = effect_from_json(data)
        pending = pool.state.outbox.get(effect.key)
        if pending is not None and pending.effect == effect:
            pool.drop_key(effect.key)
    return vm_lifecycle.DONE


def _plan_look(pool: DecisionContext, *, is_tick: bool) -> None:
    """Keep the reconciler alive and let it wake no later than the next deadline."""
    state, policy = pool.state, pool.policy
    wanted = next_look_at(pool)
    if not is_tick and pool.now - state.look_at > policy.reconciler_overdue_s:
        state.generation += 1
        state.look_at = pool.now
        pool.keep(StartReconciler(state.generation))
        pool.drop_key(LOOK)
    elif wanted < state.look_at - LOOK_SLACK_S:
        state.look_at = wanted
        # Kept until the tick: were it lost, nothing else would tell the reconciler for minutes.
        # A tick, too, may be a second copy whose answer nobody hears.
        pool.keep(Look(state.generation))
    elif is_tick:
        state.look_at = wanted


def _due(pool: DecisionContext) -> list[Effect]:
    """Issue what is due in the outbox, and plan when each is issued again."""
    due: list[Effect] = []
    for key, pending in pool.state.outbox.items():
        if pending.next_at <= pool.now:
            due.append(pending.effect)
            pool.state.outbox[key] = Pending(pending.effect, pool.now + pool.policy.reissue_s)
    return due
