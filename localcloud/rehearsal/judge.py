"""What must hold whatever goes wrong, checked at every step and at the end."""

import hashlib
import json
from bisect import bisect_left, bisect_right, insort
from collections.abc import Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from localcloud.arm.vm import PowerState
from localcloud.functions_host.store import OVER
from localcloud.rehearsal.faults import FaultName, Faults, allowance
from localcloud.rehearsal.host import BEGAN_AT, POWER_READ, SWEEP_EVERY
from localcloud.rehearsal.job_checks import ROUND_S, JobChecks, StatusOf
from localcloud.rehearsal.money import Difference, compare_ledger, find_wrong
from localcloud.rehearsal.region import Region
from localcloud.rehearsal.storage import SeenFiles, SeenLedger
from localcloud.rehearsal.timeline import Timeline
from localcloud.rehearsal.virtual_time import BEGINNING, HostClock
from orchestrator.domain.job import JobRow, JobState, manifest_path, output_prefix
from orchestrator.domain.pool import PoolPolicy, PoolState, Vm, VmPhase
from orchestrator.domain.pool.vm_lifecycle import AWAKE
from orchestrator.services.reconciliation import HEAD_OF_QUEUE, SETTLED_S

ENOUGH_TRIES = 3
DRAIN_S = 5.0
MOMENT_S = 1e-3
PARTS_S = 0.01
"""By how much the rounded parts of an interval may miss it."""
BELIEVED_OFF = (VmPhase.DEALLOCATED, VmPhase.BROKEN)
NOT_BILLED = (PowerState.DEALLOCATING, PowerState.DEALLOCATED)
RETRYABLE = frozenset(
    {
        "job_lost",
        "vm_lost",
        "job_interrupted",
        "agent_refused",
        "attempt_ended",
        "timeout",
        "store_unavailable",
    }
)
"""Errors that end a job only after so many tries."""


@dataclass(frozen=True, slots=True)
class IdleTime:
    """A time in which a ready VM had nothing to do, how long it may be, and if that is the least.

    Attributes:
        is_plain: No fault excuses any of it.
    """

    seconds: float
    allowed_s: float
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that did not hold: `at` in virtual seconds."""

    at: float
    rule: str
    what: str


class Judge:
    """Holds the pool, the rows and the VMs against the rules.

    Attributes:
        breaches: What did not hold, in order.
        ended_from_outside: Jobs that were cancelled or terminated.
        idle: Times in which a ready VM had nothing to do.
        differences: What meter and ledger make of each billed interval.
    """

    def __init__(
        self,
        policy: PoolPolicy,
        *,
        files: SeenFiles,
        timeline: Timeline,
        region: Region,
        faults: Faults,
        clock: HostClock,
        unlisted: Set[str] = frozenset(),
    ) -> None:
        self._policy = policy
        self._unlisted = unlisted
        self._files = files
        self._timeline = timeline
        self._region = region
        self._faults = faults
        self._clock = clock
        self._pool = PoolState()
        self._free_since: dict[str, float] = {}
        self._unseen_since: dict[str, float] = {}
        self._asked_off: dict[str, list[float]] = {}
        self._ended_at: dict[str, float] = {}
        self._woken_at: dict[str, float] = {}
        self._rounds: list[float] = [0.0]
        self._entered_at: dict[str, float] = {}
        self._ended_generation: int | None = None
        self._lost_with_store: set[str] = set()
        self._jobs = JobChecks(
            policy, timeline=timeline, region=region, faults=faults, break_rule=self.break_rule
        )
        self._looks_every: tuple[float, float] = (0.0, policy.look_asleep_s)
        self.idle: list[IdleTime] = []
        self.differences: list[Difference] = []
        self.rows: dict[str, JobRow] = {}
        self.breaches: list[Breach] = []
        self.ended_from_outside: set[str] = set()

    def break_rule(self, rule: str, what: str, *, at: float | None = None) -> None:
        """Note that a rule did not hold: now, or `at` some virtual second."""
        self._timeline.note("JUDGE", f"{rule}: {what}")
        self.breaches.append(Breach(self._timeline.now if at is None else at, rule, what))

    def note_end(self, instance_id: str) -> None:
        """Note that an instance is being terminated from outside."""
        self.ended_from_outside.add(instance_id)
        self._ended_at.setdefault(instance_id, self._timeline.now)
        if instance_id.startswith("pool-"):
            self._ended_generation = int(instance_id.rpartition("-")[2])

    def note_store_lost(self) -> None:
        """Note that all workflows are gone at once, the reconciler among them."""
        self._ended_generation = self._pool.generation
        self._lost_with_store |= {
            job_id for job_id, row in self.rows.items() if not row.state.is_over
        }

    @property
    def next_reconciler_s(self) -> float:
        """Seconds until the next generation looks: overdue, then a sweep, then a tick."""
        policy = self._policy
        return policy.reconciler_overdue_s + SWEEP_EVERY.total_seconds() + policy.look_awake_s

    @property
    def pool(self) -> PoolState:
        """The pool's state as it was last written."""
        return self._pool

    def see_pool(self, state: PoolState) -> None:
        """Check a state of the pool that was just written."""
        held: dict[str, str] = {ticket.job_id: "the queue" for ticket in state.queue}
        if len(held) < len(state.queue):
            self.break_rule("one place", "a job has two tickets")
        for vm in state.vms.values():
            self._see_vm(vm)
            for job_id in vm.slots:
                if job_id in held:
                    self.break_rule("one place", f"{job_id} is on {vm.name} and in {held[job_id]}")
                held[job_id] = vm.name
        self._see_stall(state)
        self._see_free(state)
        self._tell_changes(state)
        self._see_round(state)
        self._note_phases(state)
        for name in self._unseen_since.keys() - state.vms.keys():
            # It is not configured: nobody looks at it until it is again.
            del self._unseen_since[name]
        self._jobs.see_pool(state)
        self._pool = state

    def _see_round(self, state: PoolState) -> None:
        """Note a round of the reconciler, and how long it may sleep from now on."""
        now = self._timeline.now
        if state.tick_at != self._pool.tick_at:
            self._rounds.append(now)
            # The pool ignores what was seen before a VM entered the phase that it is in.
            for name, at in POWER_READ.get([]):
                if self._entered_at.get(name, 0.0) <= BEGAN_AT.get():
                    insort(self._region.reads[name], at)
            # A second copy of the ended one's last message looks once more, and that is all.
            if self._ended_generation is not None and state.generation > self._ended_generation:
                self._ended_generation = None
        is_awake = state.queue or any(vm.phase in AWAKE for vm in state.vms.values())
        look_s = self._policy.look_awake_s if is_awake else self._policy.look_asleep_s
        if look_s != self._looks_every[1]:
            self._looks_every = (now, look_s)
            if self._ended_generation is not None:
                # Ended in its sleep: it can be missed from now on, and no sooner.
                self._faults.excuse(FaultName.TERMINATED, None, self.next_reconciler_s)

    def _note_phases(self, state: PoolState) -> None:
        """Note which VMs have entered another phase, or the same one anew."""
        for name, vm in state.vms.items():
            before = self._pool.vms.get(name)
            if before is None or (before.epoch, before.phase_since) != (vm.epoch, vm.phase_since):
                self._entered_at[name] = self._timeline.now

    def _see_stall(self, state: PoolState) -> None:
        """Check that somebody is, or will be, there for those who wait."""
        phases = {vm.phase for name, vm in state.vms.items() if name not in self._unlisted}
        nobody_comes = phases <= {VmPhase.DEALLOCATED, VmPhase.BROKEN}
        if state.queue and nobody_comes and VmPhase.DEALLOCATED in phases:
            self.break_rule("no stall", f"{len(state.queue)} jobs wait and nothing is woken")

    def _see_free(self, state: PoolState) -> None:
        """Note since when a VM is woken or free, and judge a time without a slot that ends."""
        for name, vm in state.vms.items():
            before = self._pool.vms.get(name)
            was_free = before is not None and before.phase is VmPhase.READY and not before.slots
            is_free = vm.phase is VmPhase.READY and not vm.slots
            if is_free and not was_free:
                self._free_since[name] = self._timeline.now
            elif was_free and vm.slots:
                self._see_idle(name)
            if vm.phase is VmPhase.STARTING and (before is None or before.epoch != vm.epoch):
                self._woken_at[name] = self._timeline.now
                self._free_since.pop(name, None)
            elif vm.phase in BELIEVED_OFF:
                # Whoever starts it now is seen by `_see_unseen`, and the pool has yet to wake it.
                self._free_since.pop(name, None)

    def _see_idle(self, name: str) -> None:
        """Check a time in which a VM had nothing to do, now that it works again or goes off."""
        idle = self._idle_so_far(name)
        if idle is not None:
            self.idle.append(idle)
            self._break_if_long(name, idle)

    def _idle_so_far(self, name: str) -> IdleTime | None:
        """Tell how long a ready VM has had nothing to do; None if it is not ready, or has."""
        agent, policy = self._region.agents[name], self._policy
        is_on = self._region.power(name) is PowerState.RUNNING
        if not is_on or agent.idle_from is None or agent.live or name not in self._free_since:
            return None
        since = max(agent.idle_from, self._free_since[name])
        base_s = policy.idle_window_s + policy.look_awake_s + ROUND_S + DRAIN_S
        allowed_s = allowance(self._faults.hits_made, name, since, base_s)
        return IdleTime(self._timeline.now - since, allowed_s, allowed_s < base_s + MOMENT_S)

    def _break_if_long(self, name: str, idle: IdleTime) -> None:
        if idle.seconds > idle.allowed_s:
            self.break_rule(
                "idle", f"{name} was idle for {idle.seconds:.0f} s; it may {idle.allowed_s:.0f} s"
            )

    def _see_wake(self, name: str) -> None:
        """Check how long a VM that is about to go off has been on without ever being opened."""
        policy, since = self._policy, self._woken_at.get(name)
        if since is None or name in self._free_since:
            return
        if self._region.power(name) in NOT_BILLED:
            return
        base_s = policy.starting_s + policy.look_awake_s + ROUND_S + DRAIN_S
        allowed_s = allowance(self._faults.hits_made, name, since, base_s)
        on_s = self._timeline.now - since
        if on_s > allowed_s:
            self.break_rule(
                "wake", f"{name} was on for {on_s:.0f} s for nobody; it may {allowed_s:.0f} s"
            )

    def _see_unseen(self, vm: Vm) -> None:
        """Check for how long a VM has been billed that the pool believes to be off."""
        if vm.phase not in BELIEVED_OFF or self._region.power(vm.name) in NOT_BILLED:
            self._unseen_since.pop(vm.name, None)
            return
        changed_at, look_s = self._looks_every
        since = max(self._unseen_since.setdefault(vm.name, self._timeline.now), changed_at)
        # The round under way may have asked for its power just before.
        base_s = ROUND_S + look_s + ROUND_S
        allowed_s = allowance(self._faults.hits_made, vm.name, since, base_s)
        unseen_s = self._timeline.now - since
        if unseen_s > allowed_s:
            self.break_rule(
                "unseen",
                f"{vm.name} was on for {unseen_s:.0f} s, believed off; it may {allowed_s:.0f} s",
            )

    def look(self, status_of: StatusOf) -> None:
        """Check what must have been done by now."""
        self._see_rounds()
        self._jobs.see_slots(self._pool)
        self._jobs.see_workflows(self._pool, self.rows, status_of)
        for vm in self._pool.vms.values():
            self._see_unseen(vm)
            idle = None if vm.slots else self._idle_so_far(vm.name)
            if idle is not None:
                self._break_if_long(vm.name, idle)
            for slot in vm.slots.values():
                if slot.claimed and not slot.releasing:
                    self._see_orphan(slot.job_id, slot.granted_at, vm.name, status_of)
        for ticket in self._pool.queue[:HEAD_OF_QUEUE]:
            self._see_orphan(ticket.job_id, ticket.since, "", status_of)

    def _see_rounds(self) -> None:
        """Check that the reconciler has not slept for too long."""
        changed_at, look_s = self._looks_every
        since = max(self._rounds[-1], changed_at)
        allowed_s = allowance(self._faults.hits_made, "", since, look_s + ROUND_S)
        late_s = self._timeline.now - since
        if late_s > allowed_s:
            self.break_rule("rounds", f"no round for {late_s:.0f} s; it may be {allowed_s:.0f} s")

    def _see_orphan(self, job_id: str, since: float, vm: str, status_of: StatusOf) -> None:
        """Check that nothing is kept for a job that was terminated a while ago."""
        ended_at = self._ended_at.get(job_id)
        if ended_at is None:
            return
        base_s = SETTLED_S + 2 * self._policy.look_awake_s + ROUND_S
        since = max(ended_at, since - self._clock.offset_s - BEGINNING)
        allowed_s = allowance(self._faults.hits_made, vm, since, base_s)
        if self._timeline.now - since > allowed_s and status_of(job_id) in OVER:
            what = "a slot" if vm else "a ticket"
            self.break_rule(
                "orphan",
                f"{self._timeline.name_of(job_id)} was terminated at {ended_at:.0f} s and still "
                f"has {what}; it may for {allowed_s:.0f} s",
            )
            self._ended_at.pop(job_id)

    def _see_vm(self, vm: Vm) -> None:
        if len(vm.slots) > self._policy.slots_per_vm:
            self.break_rule("slots", f"{vm.name} has {len(vm.slots)} jobs")
        if vm.slots and vm.phase is not VmPhase.READY:
            self.break_rule("slots", f"{vm.name} is {vm.phase} with {len(vm.slots)} jobs")

    def _tell_changes(self, state: PoolState) -> None:
        for name, vm in state.vms.items():
            before = self._pool.vms.get(name)
            if before is None or (before.phase, before.epoch) != (vm.phase, vm.epoch):
                self._timeline.note("pool", f"{name} {vm.phase} ({vm.reason})")

    def see_row(self, before: JobRow | None, row: JobRow) -> None:
        """Check a job's row that was just written."""
        self.rows[row.job_id] = row
        self._timeline.call(row.job_id, f"job-{len(self.rows):03}")
        if before is None or before.state is not row.state:
            why = f" ({row.error['code']})" if row.error else ""
            self._timeline.note(row.job_id, f"{row.state}{why}")
        is_ended = before is not None and before.state.is_over
        # What an ended job has cost may be known only once its agent has confirmed.
        if before and is_ended and replace(row, cost=before.cost) != before:
            self.break_rule("one end", f"{row.job_id} was {before.state} and is {row.state}")
        if row.state is JobState.SUCCEEDED:
            self._see_result(row)
        self._jobs.see_row(row, self._pool)

    def _see_result(self, row: JobRow) -> None:
        result = {k: v for k, v in (row.result or {}).items() if k != "price_per_hour_usd"}
        stored = self._files.look(manifest_path(row.job_id))
        if stored is None or json.loads(stored) != result:
            self.break_rule("one result", f"{row.job_id} has a result that is not the manifest")
            return
        prefix = output_prefix(row.job_id, result["fence"])
        for artifact in result["artifacts"]:
            data = self._files.look(artifact["path"])
            if not artifact["path"].startswith(prefix) or data is None:
                self.break_rule("one result", f"{row.job_id}: {artifact['path']} is not there")
            elif hashlib.sha256(data).hexdigest() != artifact["sha256"]:
                self.break_rule("one result", f"{row.job_id}: {artifact['path']} has changed")

    def see_cap(self, name: str) -> None:
        """Check a VM that has reached its hard cap, before its switch deallocates it."""
        live = self._region.agents[name].live
        if live:
            self.break_rule("cap", f"{name} reached its hard cap and holds {live}")

    def see_deallocation(self, name: str) -> None:
        """Check a deallocation that the control plane asks for, before it acts."""
        self._see_idle(name)
        self._see_wake(name)
        self._asked_off.setdefault(name, []).append(self._timeline.now)
        vm, live = self._pool.vms.get(name), self._region.agents[name].live
        self._timeline.note(name, "deallocation asked for")
        if vm is None:
            return
        if vm.slots:
            self.break_rule("drain", f"{name} is deallocated under {sorted(vm.slots)}")
        if vm.receipt is not None and live:
            self.break_rule("drain", f"{name} is deallocated with a receipt and holds {live}")

    def see_end(self, job_ids: set[str]) -> None:
        """Check what is left when everything should be over."""
        for job_id in sorted(job_ids):
            self._see_ended(job_id, self.rows.get(job_id))
        for name in self._region.names:
            power = self._region.power(name)
            if power is not PowerState.DEALLOCATED:
                self.break_rule("all off", f"{name} is {power} at the end")
        if self._pool.queue:
            self.break_rule("all off", f"{len(self._pool.queue)} tickets are left")
        for vm in self._pool.vms.values():
            if vm.slots:
                self.break_rule("all off", f"{vm.name} still has {sorted(vm.slots)}")

    def see_money(self, ledger: SeenLedger) -> None:
        """Hold the ledger against the stand-in's own meter."""
        for name in self._region.names:
            recorded = ledger.look(name)
            self.differences += compare_ledger(
                name,
                self._region.billed(name),
                recorded,
                shown_at=self._clock.at,
                allowed_at=partial(self._may_differ, name),
                looks=self._region.reads[name],
                asked_off=self._asked_off.get(name, ()),
            )
            for record in recorded:
                seconds = record["ended_at"] - record["began_at"]
                if abs(sum(record["parts"].values()) - seconds) > PARTS_S:
                    self.break_rule("ledger", f"parts of {seconds:.3f} s do not add up: {record}")
        for one in find_wrong(self.differences):
            at = None if one.metered is None else one.metered.ended_at
            self.break_rule("ledger", one.what, at=at)

    def _may_differ(self, vm: str, at: float) -> float:
        """Tell by how many seconds the ledger may miss what happened at a moment.

        By what passes until it is discovered, as the clock shows it: that may jump meanwhile.
        """
        within_s = self._discovers_within(vm, at)
        return within_s + self._clock.jumped_s(at, at + within_s)

    def _discovers_within(self, vm: str, at: float) -> float:
        """Tell how many seconds after a moment the reconciler must have found what happened then.

        It must in the first round that comes a whole tick later, for what was seen of a VM within
        a tick of its start may be older than the start. Only rounds count in which Azure has told
        the reconciler this VM's power: what a wake or the sweep is told, that round does not know.
        """
        reads = self._region.reads[vm]
        after = bisect_left(self._rounds, at + self._policy.look_awake_s)
        for round_at in self._rounds[after:]:
            last = bisect_right(reads, round_at) - 1
            if last >= 0 and reads[last] >= max(at, round_at - ROUND_S):
                return round_at - at
        return self._timeline.now - at

    def _see_ended(self, job_id: str, row: JobRow | None) -> None:
        name = self._timeline.name_of(job_id)
        if row is None or not row.state.is_over:
            self.break_rule("no job lost", f"{name} is {row.state if row else 'unknown'}")
        elif row.state is JobState.CANCELLED and job_id not in self.ended_from_outside:
            self.break_rule("no job lost", f"{name} was cancelled by nobody")
        elif row.state is JobState.FAILED and not self._is_fair(row):
            self.break_rule("no job lost", f"{name} failed: {row.error}, fence {row.fence}")

    def _is_fair(self, row: JobRow) -> bool:
        """Tell whether a job may have failed: after enough tries, or with Durable's store."""
        error: dict[str, Any] = row.error or {}
        if error.get("code") == "workflow_lost":
            return row.job_id in self._lost_with_store
        return error.get("code") in RETRYABLE and row.fence % 100 >= ENOUGH_TRIES
