"""What must hold between a job's row, its workflow, its slot and its agent (invariants 8 and 9).

8. A claimed slot names a job that its agent holds, or is freed after two looks. A row that is not
   over has a live workflow, or is settled.
9. A cancelled job id stays cancelled, whatever fence comes later.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from localcloud.rehearsal.faults import FaultName, Faults, Hit, allowance
from localcloud.rehearsal.host import SWEEP_EVERY
from localcloud.rehearsal.region import Region
from localcloud.rehearsal.timeline import Timeline
from orchestrator.domain.instances import LIVE
from orchestrator.domain.job import JobRow, JobState
from orchestrator.domain.pool import PoolPolicy, PoolState
from orchestrator.domain.settlement import FORGOTTEN_S, LOST_S
from orchestrator.services.reconciliation import HEAD_OF_QUEUE

ROUND_S = 15.0
"""How long a round of the reconciler may take: it asks Azure, then agents, for 10 s at most."""
SWEEP_S = SWEEP_EVERY.total_seconds()
SPOILS_SWEEP = frozenset(
    {
        FaultName.AGENT_CRASH,
        FaultName.AGENT_HANG,
        FaultName.CLOCK_JUMP,
        FaultName.HOST_CRASH,
        FaultName.NETWORK_CUT,
        FaultName.SLOW_AGENT,
        FaultName.STORAGE_ERROR,
        FaultName.STORE_LOST,
        FaultName.VM_UNLISTED,
        FaultName.WRONG_ANSWER,
    }
)
"""Faults that may keep a sweep from settling a row, so that the next one has to: with the host
down or storage silent it does nothing, and it waits for an agent that must stop a job first."""

BreakRule = Callable[[str, str], None]
StatusOf = Callable[[str], str | None]
"""Gives a workflow instance's status, "" if there is none; None if nobody can tell now."""


class JobChecks:
    """Checks each written state of the pool and each written row, and what must be done by now.

    Args:
        break_rule: Called with the name of a rule that does not hold, and what is wrong.
    """

    def __init__(
        self,
        policy: PoolPolicy,
        *,
        timeline: Timeline,
        region: Region,
        faults: Faults,
        break_rule: BreakRule,
    ) -> None:
        self._policy = policy
        self._timeline = timeline
        self._region = region
        self._faults = faults
        self._break_rule = break_rule
        self._cancelled: set[str] = set()
        self._empty_since: dict[tuple[str, str, int], float] = {}
        self._alone_since: dict[str, float] = {}
        self._deep_at: dict[str, float] = {}

    def see_pool(self, state: PoolState) -> None:
        """Check a state of the pool that was just written."""
        for job_id in self._cancelled & _wanted(state):
            self._tell_revived(job_id)
        self.see_slots(state)

    def see_row(self, row: JobRow, state: PoolState) -> None:
        """Check a row that was just written."""
        if row.state is JobState.CANCELLED and row.job_id not in self._cancelled:
            self._cancelled.add(row.job_id)
            if row.job_id in _wanted(state):
                self._tell_revived(row.job_id)

    def see_slots(self, state: PoolState) -> None:
        """Check that no slot stays claimed for a job that its agent does not hold.

        A first look notes it. The look that frees it is the first that comes late enough after.
        """
        policy, now = self._policy, self._timeline.now
        before, self._empty_since = self._empty_since, {}
        base_s = 2 * (policy.look_awake_s + ROUND_S) + policy.adrift_s
        for vm in state.vms.values():
            claimed = [one for one in vm.slots.values() if one.claimed and not one.releasing]
            live = set(self._region.agents[vm.name].live) if claimed else set()
            for slot in claimed:
                if (slot.job_id, slot.fence) in live:
                    continue
                key = (vm.name, slot.job_id, slot.fence)
                since = self._empty_since[key] = before.get(key, now)
                allowed_s = allowance(self._faults.hits_made, vm.name, since, base_s)
                if now - since > allowed_s:
                    self._break_rule(
                        "empty slot",
                        f"{self._timeline.name_of(slot.job_id)} has had a slot on {vm.name} for "
                        f"{now - since:.0f} s that its agent did not work on; it may for "
                        f"{allowed_s:.0f} s",
                    )

    def see_workflows(
        self, state: PoolState, rows: Mapping[str, JobRow], status_of: StatusOf
    ) -> None:
        """Check that no row stays open without a live workflow."""
        now = self._timeline.now
        for ticket in state.queue[HEAD_OF_QUEUE:]:
            self._deep_at[ticket.job_id] = now
        for job_id, row in rows.items():
            is_live = True if row.state.is_over else _is_live(row, status_of)
            if is_live:
                self._alone_since.pop(job_id, None)
            elif is_live is False:
                self._see_alone(row, self._alone_since.setdefault(job_id, now))

    def _see_alone(self, row: JobRow, missed_at: float) -> None:
        """Check how long a row has had no live workflow, and nobody settled it.

        One that runs is settled at the second sweep after its first five minutes. One that waits
        loses what the pool keeps for it at the second look, and is started by the next sweep. The
        pool looks at the head of the queue only: further back, a ticket is dropped when nobody has
        asked for long.
        """
        policy, now = self._policy, self._timeline.now
        since, base_s = missed_at, LOST_S + 2 * SWEEP_S
        if row.state is JobState.QUEUED:
            base_s = 2 * policy.look_awake_s + policy.adrift_s + FORGOTTEN_S + SWEEP_S
            since = max(since, min(self._deep_at.get(row.job_id, since), since + policy.ticket_s))
        hits = _with_sweeps(self._faults.hits_made)
        if row.state is JobState.RUNNING:
            # Sweeps need no workflow.
            hits = [hit for hit in hits if hit.name is not FaultName.TERMINATED]
        allowed_s = allowance(hits, row.vm or "", since, base_s + 2 * ROUND_S)
        if now - since > allowed_s:
            self._break_rule(
                "no workflow",
                f"{self._timeline.name_of(row.job_id)} is {row.state}, without a live workflow "
                f"since {missed_at:.0f} s; it may for {since + allowed_s - missed_at:.0f} s",
            )

    def _tell_revived(self, job_id: str) -> None:
        self._break_rule(
            "cancelled", f"{self._timeline.name_of(job_id)} was cancelled and is in the pool again"
        )


def _wanted(state: PoolState) -> set[str]:
    """Give the jobs that wait, are offered a slot, or work in one."""
    slots = (slot for vm in state.vms.values() for slot in vm.slots.values())
    working = {slot.job_id for slot in slots if not slot.releasing}
    return working | {ticket.job_id for ticket in state.queue}


def _is_live(row: JobRow, status_of: StatusOf) -> bool | None:
    """Tell whether a row has a live workflow, its own or its batch's; None if nobody can tell."""
    status = status_of(row.job_id)
    if status == "" and row.batch_id is not None and row.state is JobState.QUEUED:
        status = status_of(row.batch_id)
    return None if status is None else status in LIVE


def _with_sweeps(hits: Iterable[Hit]) -> list[Hit]:
    """Add the sweep that a fault may have spoiled to what it excuses."""
    return [
        replace(hit, costs_s=hit.costs_s + SWEEP_S) if hit.name in SPOILS_SWEEP else hit
        for hit in hits
    ]
