"""What must hold whatever goes wrong, checked at every step and at the end."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from localcloud.arm.vm import PowerState
from localcloud.rehearsal.region import Region
from localcloud.rehearsal.storage import MemoryFileStore
from localcloud.rehearsal.timeline import Timeline
from orchestrator.domain.job import JobRow, JobState, manifest_path, output_prefix
from orchestrator.domain.pool import PoolPolicy, PoolState, Vm, VmPhase

ENOUGH_TRIES = 3
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
    """

    def __init__(
        self, policy: PoolPolicy, files: MemoryFileStore, timeline: Timeline, region: Region
    ) -> None:
        self._policy = policy
        self._files = files
        self._timeline = timeline
        self._region = region
        self._pool = PoolState()
        self.rows: dict[str, JobRow] = {}
        self.breaches: list[Breach] = []
        self.ended_from_outside: set[str] = set()

    def break_rule(self, rule: str, what: str) -> None:
        """Note that a rule did not hold."""
        self._timeline.note("JUDGE", f"{rule}: {what}")
        self.breaches.append(Breach(self._timeline.now, rule, what))

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
        self._tell_changes(state)
        self._pool = state

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
        if before is not None and before.state.is_over:
            self.break_rule("one end", f"{row.job_id} was {before.state} and is {row.state}")
        if row.state is JobState.SUCCEEDED:
            self._see_result(row)

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

    def see_deallocation(self, name: str) -> None:
        """Check a deallocation that the control plane asks for, before it acts."""
        vm, live = self._pool.vms[name], self._region.agents[name].live
        self._timeline.note(name, "deallocation asked for")
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

    def _see_ended(self, job_id: str, row: JobRow | None) -> None:
        name = self._timeline.name_of(job_id)
        if row is None or not row.state.is_over:
            self.break_rule("no job lost", f"{name} is {row.state if row else 'unknown'}")
        elif row.state is JobState.CANCELLED and job_id not in self.ended_from_outside:
            self.break_rule("no job lost", f"{name} was cancelled by nobody")
        elif row.state is JobState.FAILED and not _is_fair(row):
            self.break_rule("no job lost", f"{name} failed: {row.error}, fence {row.fence}")


def _is_fair(row: JobRow) -> bool:
    error: dict[str, Any] = row.error or {}
    return error.get("code") in RETRYABLE and row.fence % 100 >= ENOUGH_TRIES
