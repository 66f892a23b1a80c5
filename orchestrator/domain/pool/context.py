"""What one decision works on: a copy of the state, the moment, and the operations all share."""

from bisect import insort

from orchestrator.domain.fence import ending_all, ends_all
from orchestrator.domain.names import slot_event
from orchestrator.domain.pool.effects import Effect, StopJob
from orchestrator.domain.pool.policy import PoolPolicy
from orchestrator.domain.pool.state import (
    LEARNED_LIMIT,
    OVER_LIMIT,
    Account,
    Pending,
    PoolState,
    Slot,
    Ticket,
    Vm,
    VmPhase,
)


class DecisionContext:
    """A decision under way.

    Attributes:
        state: A copy that may be changed.
        now: The moment of the decision, epoch seconds.
        cause: What is being applied: the name of a command, or a `transitions.Step`.
    """

    def __init__(self, state: PoolState, now: float, policy: PoolPolicy, *, cause: str) -> None:
        self.state = state
        self.cause = cause
        self.now = now
        self.policy = policy

    def vm_in(self, name: str, epoch: int, *phases: VmPhase) -> Vm | None:
        """Find a VM if the sender's epoch is the current one and its phase is one of `phases`."""
        vm = self.state.vms.get(name)
        return vm if vm is not None and vm.epoch == epoch and vm.phase in phases else None

    def account(self, vm: Vm) -> Account:
        """Give a VM's account, opened when needed."""
        return self.state.accounts.setdefault(vm.name, Account())

    def keep(self, effect: Effect) -> None:
        """Put an effect into the outbox, due at once; a newer one replaces it by key."""
        self.state.outbox[effect.key] = Pending(effect, self.now)

    def drop_key(self, key: str) -> None:
        """Take an effect out of the outbox: it is done, or no longer wanted."""
        self.state.outbox.pop(key, None)

    def drop_stop(self, vm: str, job_id: str, fence: int) -> None:
        """Take a `StopJob` out of the outbox."""
        self.drop_key(StopJob(vm, job_id, fence).key)

    def drop_stops(self, job_id: str, fence: int) -> None:
        """Take an attempt's `StopJob` out of the outbox, whichever VM it names."""
        for vm in self.state.vms:
            self.drop_stop(vm, job_id, fence)

    def drop_stops_on(self, vm: Vm) -> None:
        """Take every `StopJob` of a VM out of the outbox."""
        for key in [key for key in self.state.outbox if key.startswith(f"stop:{vm.name}:")]:
            self.drop_key(key)

    def is_over(self, job_id: str, fence: int) -> bool:
        """Tell whether this attempt, or a newer one, has ended, or the job was cancelled."""
        return fence <= self.state.over.get(job_id, 0) or self.is_cancelled(job_id)

    def is_cancelled(self, job_id: str) -> bool:
        """Tell whether a job was cancelled: then no fence, however new, begins it again."""
        return ends_all(self.state.over.get(job_id, 0))

    def mark_over(self, job_id: str, fence: int) -> None:
        """Remember the highest attempt of a job that has ended. What is cancelled stays so."""
        over = self.state.over
        latest = max(fence, over.get(job_id, 0))
        was_cancelled = self.is_cancelled(job_id)
        over.pop(job_id, None)
        over[job_id] = ending_all(latest) if was_cancelled else latest
        while len(over) > OVER_LIMIT:
            del over[next(iter(over))]

    def ticket_of(self, job_id: str) -> Ticket | None:
        """Find a job's ticket."""
        return next((t for t in self.state.queue if t.job_id == job_id), None)

    def add_ticket(self, ticket: Ticket) -> None:
        """Put a ticket into its place in the queue."""
        insort(self.state.queue, ticket, key=lambda t: t.order)

    def drop_ticket(self, job_id: str) -> None:
        """Take a job's ticket out of the queue."""
        self.state.queue[:] = [t for t in self.state.queue if t.job_id != job_id]

    def offer(self, ticket: Ticket) -> Slot:
        """Turn a ticket into an unclaimed slot."""
        return Slot(
            job_id=ticket.job_id,
            fence=ticket.fence,
            granted_at=self.now,
            claimed=False,
            releasing=False,
            since=ticket.since,
            round=ticket.round,
            priority=ticket.priority,
            misses=ticket.misses,
        )

    def requeue(self, slot: Slot, *, missed: bool = False) -> None:
        """Turn an unclaimed slot back into a ticket, in its old place."""
        misses = slot.misses + missed
        if misses >= self.policy.missed_offers:
            return
        self.add_ticket(
            Ticket(
                job_id=slot.job_id,
                fence=slot.fence,
                since=slot.since,
                asked_at=self.now,
                round=slot.round,
                priority=slot.priority,
                misses=misses,
            )
        )

    @staticmethod
    def event_of(slot: Slot) -> str:
        """Name the event that tells a slot's job of the offer."""
        return slot_event(slot.fence, slot.round)

    def learn(self, name: str, seconds: float) -> None:
        """Remember a duration, bounded."""
        values = self.state.learned.setdefault(name, [])
        values.append(round(seconds, 3))
        del values[:-LEARNED_LIMIT]
