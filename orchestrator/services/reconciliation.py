"""Observing what is, so that the pool can hold it against what it believes."""

import asyncio
import logging
from dataclasses import replace
from typing import Any, Literal

from gpu_agent.wire import Code
from orchestrator.domain.errors import AgentError, AgentUnreachableError, ArmError
from orchestrator.domain.instances import LIVE
from orchestrator.domain.job import JobRow, JobState
from orchestrator.domain.pool import (
    Candidate,
    JobSeen,
    PoolPolicy,
    PoolState,
    Tick,
    Vm,
    VmPhase,
    VmSeen,
)
from orchestrator.domain.pool.cap import read_cap
from orchestrator.domain.pool.observations import GONE
from orchestrator.domain.ports import (
    AgentClient,
    Clock,
    Durable,
    JobTable,
    VmPower,
)
from orchestrator.domain.settlement import FORGOTTEN_S, InstanceSeen, Step, next_step
from orchestrator.domain.start_errors import NOT_FOUND
from orchestrator.lanes import RESERVE
from orchestrator.services.batches import BatchService
from orchestrator.services.pool import PoolService
from orchestrator.services.settlement import SettlementService
from orchestrator.services.submission import SubmissionService
from orchestrator.services.vms import VmService

logger = logging.getLogger(__name__)

SETTLED_S = 30.0
"""A slot younger than this is not held against its workflow: that may only just have begun."""
SWEEP_PAGE = 100
SWEEP_PAGES = 100
SWEEP_LOOKS = 500
"""Most workflows that a sweep looks at for each state; the next one goes on with the rest."""
SWEEP_FAILURES = 3
"""After so many a sweep leaves the rest alone: the store can't be read."""
HEAD_OF_QUEUE = 10


class ReconciliationService:
    """The two reapers: the reconciler's tick, and the sweep that needs no orchestration."""

    def __init__(
        self,
        *,
        pool: PoolService,
        power: VmPower,
        agents: AgentClient,
        vms: VmService,
        jobs: JobTable,
        submission: SubmissionService,
        batches: BatchService,
        settlement: SettlementService,
        policy: PoolPolicy,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._power = power
        self._agents = agents
        self._vms = vms
        self._jobs = jobs
        self._submission = submission
        self._batches = batches
        self._settlement = settlement
        self._policy = policy
        self._clock = clock

    async def tick_pool(self, order: dict[str, Any], client: Durable) -> dict[str, Any]:
        """Observe every VM, renew the leases, and let the pool compare.

        Safe to run twice: what was observed under an older belief changes nothing.

        Args:
            order: ``{generation}``.
            client: The Durable client.

        Returns:
            ``{"answer": "sleep", until, for_s}`` (epoch seconds, seconds) or
            ``{"answer": "superseded"}``.
        """
        state = await RESERVE.run(self._pool.read)
        if order["generation"] < state.generation:
            return {"answer": "superseded"}
        tick = await self._observe(state, client, generation=order["generation"])
        return await self._pool.apply(tick, client)

    async def sweep(self, client: Durable) -> None:
        """Do what the reconciler should have done, if it has not for a while; then see to rows.

        Reads ARM before the pool, so that a belief is never older than the observation. By itself
        it deallocates only with a drain receipt.
        """
        before = await RESERVE.run(self._pool.read)
        tick = await self._observe(before, client, generation=None)
        state = await RESERVE.run(self._pool.read)
        planned = max(state.tick_at, state.look_at)
        if self._clock() - planned >= self._policy.reconciler_overdue_s:
            logger.warning("the reconciler has not ticked for a while: sweeping")
            await self._pool.apply(tick, client)
            for vm in (await RESERVE.run(self._pool.read)).vms.values():
                await self._retire_directly(vm, client)
        await self._see_to_rows(client)

    async def _retire_directly(self, vm: Vm, client: Durable) -> None:
        order = {"vm": vm.name, "epoch": vm.epoch, "drain": vm.drain}
        if vm.phase is VmPhase.DRAINING:
            answer = await self._vms.drain_vm(order, client)
            if answer["outcome"] == "deallocate":
                await self._vms.deallocate_vm(order, client)
        elif vm.phase is VmPhase.DEALLOCATING and vm.receipt is not None:
            await self._vms.deallocate_vm(order, client)

    async def _see_to_rows(self, client: Durable) -> None:
        """Start what was accepted and cut off; settle what has no workflow any more."""
        state = await RESERVE.run(self._pool.read)
        waiting = {ticket.job_id for ticket in state.queue}
        offered = {s.job_id for vm in state.vms.values() for s in vm.slots.values()}
        batches: dict[str, InstanceSeen] = {}
        await self._see_to(JobState.QUEUED, waiting | offered, batches, client)
        await self._see_to(JobState.RUNNING, set(), batches, client)

    async def _see_to(
        self, state: JobState, known: set[str], batches: dict[str, InstanceSeen], client: Durable
    ) -> None:
        """Look at the rows in a state, but for those that the pool itself keeps an eye on."""
        token, looks, failures = None, 0, 0
        for _ in range(SWEEP_PAGES):
            rows, token = await RESERVE.run(
                self._jobs.list_page, state=state.value, limit=SWEEP_PAGE, token=token
            )
            for row in rows:
                is_young = self._clock() - row.created_at <= FORGOTTEN_S
                if row.job_id in known or is_young:
                    continue
                looks += 1
                try:
                    await self._see_to_row(row, batches, client)
                except Exception as error:  # noqa: BLE001 - the Durable client raises this
                    logger.warning("job %s is left for the next sweep: %s", row.job_id, error)
                    failures += 1
                if looks >= SWEEP_LOOKS or failures >= SWEEP_FAILURES:
                    return
            if token is None:
                return

    async def _see_to_row(
        self, row: JobRow, batches: dict[str, InstanceSeen], client: Durable
    ) -> None:
        seen = await self._settlement.look(row.job_id, client)
        batch_id = row.batch_id
        if batch_id is not None and seen.status is None and batch_id not in batches:
            batches[batch_id] = await self._settlement.look(batch_id, client)
        batch = batches.get(batch_id) if batch_id is not None else None
        step = next_step(row, seen, batch, self._clock())
        if step is not Step.START:
            await self._settlement.take(row, seen, step, client)
        elif batch_id is None:
            logger.warning("job %s has no workflow: starting it", row.job_id)
            await self._submission.start(row, client)
        else:
            logger.warning("batch %s has no workflow: starting it", batch_id)
            await self._batches.start(batch_id, client)
            batches[batch_id] = InstanceSeen("Pending")

    async def _observe(self, state: PoolState, client: Durable, *, generation: int | None) -> Tick:
        seen = await asyncio.gather(*(self._observe_vm(vm) for vm in state.vms.values()))
        attempts = self._attempts(state)
        ends = await asyncio.gather(*(self._end_of(job, client) for job in attempts))
        by_end = list(zip(attempts, ends, strict=True))
        return Tick(
            generation=generation,
            seen=list(seen),
            ended=[job for job, end in by_end if end == "ended"],
            missing=[job for job, end in by_end if end == "missing"],
        )

    async def _observe_vm(self, vm: Vm) -> VmSeen:
        candidate = self._policy.reach(vm.name, vm.home)
        seen = VmSeen(
            vm=vm.name, epoch=vm.epoch, phase_since=vm.phase_since, seen_at=self._clock()
        )
        if candidate is None:
            return seen
        try:
            power = await RESERVE.run(self._power.read, candidate)
            seen = replace(seen, power=power.power, failure=power.failure_code)
        except ArmError as error:
            logger.warning("power of %s could not be read: %s", vm.name, error)
            if error.code == NOT_FOUND:
                seen = replace(seen, power=GONE)
        is_asked = vm.phase is VmPhase.READY and seen.power != "deallocated"
        # A VM whose only jobs are overdue gets no lease: its own switch may end it, too.
        if not is_asked or self._has_only_overdue_slots(vm):
            return seen
        return await self._observe_agent(candidate, vm, seen)

    async def _observe_agent(self, candidate: Candidate, vm: Vm, seen: VmSeen) -> VmSeen:
        asked_at = self._clock()
        try:
            status = await self._agents.lease(
                candidate, epoch=vm.epoch, ttl_s=self._policy.lease_s
            )
        except AgentUnreachableError:
            return replace(seen, agent="unreachable")
        except AgentError as error:
            return replace(seen, agent="closed" if error.code == Code.CLOSED else "unreachable")
        live = [
            [job["job_id"], job["fence"]]
            for job in status["jobs"]
            if job["state"] in ("queued", "running")
        ]
        agent = "closed" if status["phase"] == "closed" else "up"
        boot = str(status.get("machine_boot", ""))
        cap = read_cap(status, asked_at)
        return replace(seen, agent=agent, jobs=live, machine_boot=boot, **cap._asdict())

    def _has_only_overdue_slots(self, vm: Vm) -> bool:
        limit = self._policy.job_timeout_s + self._policy.slot_grace_s
        now = self._clock()
        return bool(vm.slots) and all(now - s.granted_at >= limit for s in vm.slots.values())

    def _attempts(self, state: PoolState) -> list[JobSeen]:
        """Name the attempts to look at: those with a slot, and those at the head of the queue.

        Only the head of the queue is offered slots, and only it can wake a VM for nothing.
        """
        settled_at = self._clock() - SETTLED_S
        held = [
            JobSeen(job_id=slot.job_id, fence=slot.fence)
            for vm in state.vms.values()
            for slot in vm.slots.values()
            if not slot.releasing
            and (slot.granted_at if slot.claimed else slot.since) < settled_at
        ]
        waiting = [
            JobSeen(job_id=ticket.job_id, fence=ticket.fence)
            for ticket in state.queue[:HEAD_OF_QUEUE]
            if ticket.since < settled_at
        ]
        return [*held, *waiting]

    async def _end_of(self, job: JobSeen, client: Durable) -> Literal["ended", "missing"] | None:
        try:
            row, seen = await asyncio.gather(
                RESERVE.run(self._jobs.read, job.job_id), self._settlement.look(job.job_id, client)
            )
        except Exception as error:  # noqa: BLE001 - the Durable client raises this
            # A store that can't be read says nothing about the job, and must not stop the round.
            logger.warning("job %s could not be looked at: %s", job.job_id, error)
            return None
        if row is not None and row.state.is_over:
            return "ended"
        if seen.status is None:
            return "missing"
        return None if seen.status in LIVE else "ended"
