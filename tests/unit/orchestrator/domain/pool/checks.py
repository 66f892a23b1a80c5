"""What must hold of every decision, whatever the pool was told."""

from collections.abc import Iterator

import orjson

from orchestrator.domain.fence import ends_all
from orchestrator.domain.pool import (
    Cancel,
    Command,
    Confirm,
    Decision,
    Drained,
    GrantSlot,
    PoolPolicy,
    PoolState,
    Release,
    RetireVm,
    Slot,
    StopJob,
    Tick,
    Ticket,
    VmLost,
    VmPhase,
    WakeVm,
    decide,
)
from orchestrator.domain.pool.state import LEARNED_LIMIT, OVER_LIMIT, SETTLED_LIMIT

UP = (VmPhase.STARTING, VmPhase.WARMING, VmPhase.READY)
DOWN = (VmPhase.DRAINING, VmPhase.DEALLOCATING)
ROUNDING_S = 0.01
OFF = (VmPhase.DEALLOCATED, VmPhase.NO_CAPACITY, VmPhase.BROKEN)


def check_step(
    before: PoolState, command: Command, decision: Decision, now: float, policy: PoolPolicy
) -> None:
    """Hold one decision against the invariants. Their numbers are those of the design."""
    after = decision.state
    check_places(after)
    check_slots(before, decision, policy)
    check_caps(before, command, after, now, policy)
    check_busy_vms(before, command, after, now, policy)
    check_no_stall(after, now, policy)
    check_order(before, after)
    check_nobody_vanished(before, command, after, now, policy)
    check_ledger(after)
    check_bounds(after)
    is_reconciler = isinstance(command, Tick) and command.generation is not None
    if is_reconciler and decision.reply["answer"] == "sleep":
        assert now < decision.reply["until"] <= now + policy.look_asleep_s
    assert PoolState.from_json(orjson.loads(orjson.dumps(after.to_json()))) == after


def check_staleness(
    before: PoolState, command: Command, decision: Decision, now: float, policy: PoolPolicy
) -> None:
    """5: an old epoch changes nothing, nor does an old observation."""
    vm = before.vms.get(getattr(command, "vm", ""))
    epoch = getattr(command, "epoch", None)
    is_stale = vm is not None and epoch is not None and epoch != vm.epoch
    if (
        isinstance(command, Tick)
        and command.generation is None
        and not (command.ended or command.missing)
    ):
        is_stale = all(
            (seen.epoch, seen.phase_since)
            != (before.vms[seen.vm].epoch, before.vms[seen.vm].phase_since)
            for seen in command.seen
        )
    if is_stale:
        nothing = decide(before, Confirm(), now, policy)
        assert (decision.state, decision.effects) == nothing[:2], "a stale command did something"


def places(state: PoolState) -> Iterator[Ticket | Slot]:
    """Give every ticket and every slot."""
    yield from state.queue
    for vm in state.vms.values():
        yield from vm.slots.values()


def check_places(state: PoolState) -> None:
    """1: a job is in exactly one of queue, one slot, finished."""
    jobs = [place.job_id for place in places(state)]
    assert len(jobs) == len(set(jobs)), "a job is in two places"
    for place in places(state):
        is_ending = isinstance(place, Slot) and place.releasing
        over = state.over.get(place.job_id, 0)
        assert is_ending or place.fence > over, "an end came undone"
        assert is_ending or not ends_all(over), "9: a cancelled job came back"
    for vm in state.vms.values():
        assert all(slot.job_id == job_id for job_id, slot in vm.slots.items())
    assert state.queue == sorted(state.queue, key=lambda ticket: ticket.order)


def check_slots(before: PoolState, decision: Decision, policy: PoolPolicy) -> None:
    """2: a slot is granted only on a ready VM of that epoch, never above `slots_per_vm`."""
    after = decision.state
    for name, vm in after.vms.items():
        assert not vm.slots or vm.phase is VmPhase.READY, f"slots on a VM that is {vm.phase}"
        old = before.vms[name].slots if name in before.vms else {}
        if set(vm.slots) - set(old):
            assert len(vm.slots) <= policy.slots_per_vm
    for effect in decision.effects:
        if isinstance(effect, GrantSlot):
            vm = after.vms[effect.vm]
            assert (effect.job_id in vm.slots, vm.epoch) == (True, effect.epoch)
        elif isinstance(effect, StopJob):
            assert after.vms[effect.vm].phase in (VmPhase.READY, VmPhase.DRAINING)
        elif isinstance(effect, WakeVm):
            vm = after.vms[effect.vm]
            assert vm.epoch == effect.epoch
            assert vm.phase in (VmPhase.STARTING, VmPhase.WARMING)
        elif isinstance(effect, RetireVm):
            vm = after.vms[effect.vm]
            assert (vm.epoch, vm.drain) == (effect.epoch, effect.drain)
            assert vm.phase in DOWN


def check_caps(
    before: PoolState, command: Command, after: PoolState, now: float, policy: PoolPolicy
) -> None:
    """No slot is given that may outlast its VM's cap, and no VM reopened to give none.

    A cap too short for a wake and the longest job can't be kept: it is ignored during a wake.
    """
    for name, vm in after.vms.items():
        if vm.off_by is None or vm.phase is not VmPhase.READY:
            continue
        outlasts = now + policy.offer_s + policy.job_timeout_s + policy.slot_grace_s > vm.off_by
        is_waking = now < vm.off_by - vm.max_uptime_s + policy.starting_s
        old = before.vms[name].slots if name in before.vms else {}
        if outlasts and not is_waking:
            assert not set(vm.slots) - set(old), "the cap may cut a job off"
            assert (
                not isinstance(command, Drained)
                or command.vm != name
                or (before.vms[name].phase is VmPhase.READY)
            ), "reopened for nothing"


def check_busy_vms(
    before: PoolState, command: Command, after: PoolState, now: float, policy: PoolPolicy
) -> None:
    """3: a VM with an occupied slot is never drained, and deallocated only when it is lost."""
    for name, vm in before.vms.items():
        busy = [s for s in vm.slots.values() if s.claimed and not s.releasing]
        if not busy or name not in after.vms:
            continue
        left = after.vms[name]
        if left.phase is VmPhase.READY and left.epoch == vm.epoch:
            continue
        was_seen = isinstance(command, Tick) and any(seen.vm == name for seen in command.seen)
        was_told = isinstance(command, VmLost) and command.vm == name
        gave_up = isinstance(command, Release) and command.vm_unreachable
        limit_s = policy.job_timeout_s + policy.slot_grace_s
        all_overdue = all(now - s.granted_at >= limit_s for s in busy)
        released = isinstance(command, Release | Cancel) and [s.job_id for s in busy] == [
            command.job_id
        ]
        assert was_seen or was_told or gave_up or all_overdue or released, "a busy VM was taken"


def check_no_stall(state: PoolState, now: float, policy: PoolPolicy) -> None:
    """4: while jobs wait, something is up, on its way, or cooling until a stated time."""
    vms = [state.vms[c.name] for c in policy.candidates]
    if state.queue and any(vm.phase is not VmPhase.BROKEN for vm in vms):
        assert any(
            vm.phase in (*UP, *DOWN) or (vm.phase is VmPhase.NO_CAPACITY and vm.retry_at > now)
            for vm in vms
        ), "jobs wait for nothing"


def check_order(before: PoolState, after: PoolState) -> None:
    """7: first come first served within a priority."""
    had = {(s.job_id, s.fence) for vm in before.vms.values() for s in vm.slots.values()}
    for vm in after.vms.values():
        for slot in vm.slots.values():
            if (slot.job_id, slot.fence) in had or not after.queue:
                continue
            assert (-slot.priority, slot.since, slot.job_id) < after.queue[0].order, "overtaken"


def check_nobody_vanished(
    before: PoolState, command: Command, after: PoolState, now: float, policy: PoolPolicy
) -> None:
    """A job leaves the pool only by an end of its own, a loss, or for nobody asking for it."""
    present = {place.job_id for place in places(after)}
    for place in places(before):
        if place.job_id in present or place.fence <= after.over.get(place.job_id, -1):
            continue
        if isinstance(place, Ticket):
            assert now - place.asked_at > policy.ticket_s, "a ticket was lost"
        else:
            missed = now - place.granted_at >= policy.offer_s
            is_last = place.misses + 1 >= policy.missed_offers
            # Of a newer run of the job, which waits for this one to stop.
            is_older = place.releasing and place.fence > after.over.get(place.job_id, -1)
            assert is_older or (not place.claimed and missed and is_last), "a slot was lost"


def check_ledger(state: PoolState) -> None:
    """6: the parts of every interval, open or closed, add up to it."""
    for vm in state.vms.values():
        counted_s = sum(sum(parts.values()) for parts in vm.interval.parts.values())
        is_open = vm.interval.began_at is not None
        open_s = vm.interval.counted_to - vm.interval.began_at if is_open else 0.0
        assert abs(counted_s - open_s) < ROUNDING_S, "seconds were lost"
    for account in state.accounts.values():
        counted_s = sum(sum(parts.values()) for parts in account.months.values())
        assert abs(counted_s - account.billed_s) < ROUNDING_S, "seconds were lost"
        assert 0 <= account.estimated_s <= account.billed_s + ROUNDING_S


def check_bounds(state: PoolState) -> None:
    """Nothing grows without bound."""
    slots = sum(len(vm.slots) for vm in state.vms.values())
    stops = sum(key.startswith("stop:") for key in state.outbox)
    grants = sum(key.startswith("grant:") for key in state.outbox)
    assert grants <= slots
    intervals = sum(key.startswith("interval:") for key in state.outbox)
    assert len(state.outbox) <= 2 * len(state.vms) + stops + grants + intervals + 2
    assert len(state.over) <= OVER_LIMIT
    assert len(state.settled) <= SETTLED_LIMIT
    for vm in state.vms.values():
        assert set(vm.interval.shares) <= set(vm.slots), "shares of jobs that are gone"
    assert all(len(values) <= LEARNED_LIMIT for values in state.learned.values())
