"""Observing what is, so that the pool can hold it against what it believes."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

from gpu_agent.wire import Code
from orchestrator.activities.pool import PoolGate
from orchestrator.activities.vms import VmActivities
from orchestrator.domain.errors import AgentError, AgentUnreachableError, ArmError
from orchestrator.domain.instances import LIVE, status_name
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
from orchestrator.domain.pool.tick import GONE
from orchestrator.domain.ports import (
    AgentClient,
    Clock,
    Durable,
    JobStarter,
    JobTable,
    VmPower,
)
from orchestrator.domain.start_errors import NOT_FOUND
from orchestrator.lanes import RESERVE

logger = logging.getLogger(__name__)

SETTLED_S = 30.0
"""A slot younger than this is not held against its workflow: that may only just have begun."""
UNSTARTED_S = 60.0
"""A job accepted so long ago whose workflow does not exist was cut off between the two steps."""
SWEEP_PAGE = 100
SWEEP_PAGES = 100
HEAD_OF_QUEUE = 10


class ReconcileActivities:
    """The two reapers: the reconciler's tick, and the sweep that needs no orchestration."""

    def __init__(
        self,
        *,
        pool: PoolGate,
        power: VmPower,
        agents: AgentClient,
        vms: VmActivities,
        jobs: JobTable,
        starter: JobStarter,
        policy: PoolPolicy,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._power = power
        self._agents = agents
        self._vms = vms
        self._jobs = jobs
        self._starter = starter
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
        """Do what the reconciler should have done, if it has not for a while.

        Reads ARM before the pool, so that a belief is never older than the observation. By itself
        it deallocates only with a drain receipt.
        """
        await self._start_forgotten_jobs(client)
        before = await RESERVE.run(self._pool.read)
        tick = await self._observe(before, client, generation=None)
        state = await RESERVE.run(self._pool.read)
        planned = max(state.tick_at, state.look_at)
        if self._clock() - planned < self._policy.reconciler_overdue_s:
            return
        logger.warning("the reconciler has not ticked for a while: sweeping")
        await self._pool.apply(tick, client)
        for vm in (await RESERVE.run(self._pool.read)).vms.values():
            await self._retire_directly(vm, client)

    async def _retire_directly(self, vm: Vm, client: Durable) -> None:
        order = {"vm": vm.name, "epoch": vm.epoch, "drain": vm.drain}
        if vm.phase is VmPhase.DRAINING:
            answer = await self._vms.drain_vm(order, client)
            if answer["outcome"] == "deallocate":
                await self._vms.deallocate_vm(order, client)
        elif vm.phase is VmPhase.DEALLOCATING and vm.receipt is not None:
            await self._vms.deallocate_vm(order, client)

    async def _start_forgotten_jobs(self, client: Durable) -> None:
        """Start what was accepted but cut off before its workflow began."""
        state = await RESERVE.run(self._pool.read)
        known = {t.job_id for t in state.queue} | {
            j for vm in state.vms.values() for j in vm.slots
        }
        token = None
        for _ in range(SWEEP_PAGES):
            rows, token = await RESERVE.run(
                self._jobs.list_page, state=JobState.QUEUED.value, limit=SWEEP_PAGE, token=token
            )
            unknown = [row for row in rows if row.job_id not in known]
            await self._start_missing(unknown, client)
            if token is None:
                return

    async def _start_missing(self, rows: list[JobRow], client: Durable) -> None:
        old = [row for row in rows if self._clock() - row.created_at > UNSTARTED_S]
        for row in old:
            if row.batch_id is None and not await client.get_status(row.job_id):
                logger.warning("job %s was accepted but never started: starting it", row.job_id)
                await self._starter.start(row, client)
        for batch_id in sorted({row.batch_id for row in old if row.batch_id is not None}):
            if not await client.get_status(batch_id):
                logger.warning("batch %s was accepted but never started: starting it", batch_id)
                await self._starter.start_batch(batch_id, client)

    async def _observe(self, state: PoolState, client: Durable, *, generation: int | None) -> Tick:
        seen = await asyncio.gather(*(self._observe_vm(vm) for vm in state.vms.values()))
        return Tick(
            generation=generation, seen=list(seen), ended=await self._ended_jobs(state, client)
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

    async def _ended_jobs(self, state: PoolState, client: Durable) -> list[JobSeen]:
        """Find slots, and tickets at the head of the queue, whose workflow is over or gone."""
        settled_at = self._clock() - SETTLED_S
        held = [
            (slot.job_id, slot.fence)
            for vm in state.vms.values()
            for slot in vm.slots.values()
            if slot.claimed and not slot.releasing and slot.granted_at < settled_at
        ]
        # Only the head of the queue is offered slots, and only it can wake a VM for nothing.
        waiting = [
            (t.job_id, t.fence) for t in state.queue[:HEAD_OF_QUEUE] if t.since < settled_at
        ]
        ended = []
        for job_id, fence in [*held, *waiting]:
            status = await client.get_status(job_id)
            if not status or status_name(status) not in LIVE:
                ended.append(JobSeen(job_id=job_id, fence=fence))
        return ended
