"""What lies between the control plane and the rest of the world: agents, Azure, storage.

Each class stands where an adapter of the product stands and keeps the same contract, errors
included; in between, things go wrong.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from azure.core.exceptions import ServiceResponseError

from gpu_agent.errors import RequestError
from gpu_agent.jobs.core import AgentCore
from gpu_agent.jobs.job import JobKey
from gpu_agent.wire import DrainRequest, LeaseRequest, Submission
from localcloud.arm.errors import ArmError as Refusal
from localcloud.arm.vm import PowerState
from localcloud.rehearsal.agent import SimulatedAgent
from localcloud.rehearsal.faults import FaultName, Faults
from localcloud.rehearsal.host import CALLED_FOR, POWER_READ
from localcloud.rehearsal.region import Region
from localcloud.rehearsal.storage import Trouble
from localcloud.rehearsal.virtual_time import VirtualLoop
from orchestrator.domain.errors import AgentError, AgentUnreachableError, ArmError
from orchestrator.domain.names import Activity
from orchestrator.domain.pool import Candidate
from orchestrator.domain.ports import PowerState as SeenPower

CALL_S = 10.0
CONNECT_S = 3.0
POLL_SLACK_S = 10.0
LATENCY_S = (0.001, 0.02)
SLOW_S = (2.0, 20.0)
Act = Callable[[AgentCore], dict[str, Any]]


class SimulatedPower:
    """`VmPower` on a region."""

    def __init__(self, region: Region, faults: Faults, chance: Random, loop: VirtualLoop) -> None:
        self._loop = loop
        self._region = region
        self._faults = faults
        self._chance = chance

    def start(self, vm: Candidate) -> None:
        """Ask for a start."""
        self._write(vm, self._region.start)

    def deallocate(self, vm: Candidate) -> None:
        """Ask for a deallocation."""
        self._write(vm, self._region.deallocate)

    def read(self, vm: Candidate) -> SeenPower:
        """Read the power state."""
        self._throttle(vm)
        seen = self._region.look(vm.name)
        if CALLED_FOR.get() == Activity.TICK_POOL.lower():
            POWER_READ.get().append((vm.name, self._loop.time()))
        if seen.failure is None:
            return SeenPower(seen.power.value)
        return SeenPower(seen.power.value, seen.failure.code, seen.failure.message)

    def _write(self, vm: Candidate, act: Callable[[str], None]) -> None:
        self._throttle(vm)
        try:
            act(vm.name)
        except Refusal as refusal:
            raise ArmError(refusal.detail.code, refusal.detail.message) from refusal
        if self._faults.hits(FaultName.LOST_ARM_REPLY, vm.name):
            raise ArmError("Unreachable", "no answer from Azure")

    def _throttle(self, vm: Candidate) -> None:
        if self._faults.hits(FaultName.THROTTLED, vm.name):
            retry_after_s = float(self._chance.randint(5, 90))
            raise ArmError("TooManyRequests", "too many requests", retry_after_s=retry_after_s)


class StorageTrouble(Trouble):
    """Storage that does not answer, or whose answer is lost."""

    def __init__(self, faults: Faults, chance: Random) -> None:
        self._faults = faults
        self._chance = chance

    def before(self, name: str) -> None:
        """Fail before anything is done."""
        if self._faults.hits(FaultName.STORAGE_ERROR) and self._chance.random() < 0.7:
            raise ServiceResponseError(f"{name}: no answer from storage")

    def after(self, name: str) -> None:
        """Lose the answer."""
        if self._faults.hits(FaultName.STORAGE_ERROR):
            raise ServiceResponseError(f"{name}: the answer of storage was lost")


class AgentTrouble(Trouble):
    """The same for the agent's storage, as the agent's own store would tell it."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def before(self, name: str) -> None:
        """Fail before anything is done; the agent's store has tried again already."""
        hits = self._faults.hits
        if hits(FaultName.STORAGE_ERROR) and hits(FaultName.STORAGE_ERROR):
            raise OSError(f"{name}: no answer from storage")


class SimulatedNetwork:
    """`AgentClient` over a network to simulated agents."""

    def __init__(self, region: Region, faults: Faults, chance: Random, loop: VirtualLoop) -> None:
        self._region = region
        self._faults = faults
        self._chance = chance
        self._loop = loop
        self._carried: set[asyncio.Task[Any]] = set()

    async def submit(
        self, vm: Candidate, job_id: str, fence: int, submission: dict[str, Any]
    ) -> dict[str, Any]:
        """Hand a job over."""
        key, asked = JobKey(job_id, fence), Submission.from_json(_over_the_wire(submission))
        return await self._ask(vm, lambda core: core.jobs.submit(key, asked)[0].to_json())

    async def follow(
        self, vm: Candidate, job_id: str, fence: int, *, after: int, wait_s: float
    ) -> dict[str, Any]:
        """Wait for news of a job."""
        key = JobKey(job_id, fence)

        async def poll(agent: SimulatedAgent) -> dict[str, Any]:
            return (await agent.follow(key, after=after, wait_s=wait_s)).to_json()

        return await self._call(vm, poll, limit_s=wait_s + POLL_SLACK_S)

    async def stop(self, vm: Candidate, job_id: str, fence: int) -> dict[str, Any]:
        """Cancel a job."""
        return await self._ask(vm, lambda core: core.jobs.cancel(JobKey(job_id, fence)).to_json())

    async def ready(self, vm: Candidate) -> dict[str, Any]:
        """Ask whether it takes jobs."""
        return await self._ask(vm, lambda core: core.lifecycle.readiness().to_json())

    async def lease(self, vm: Candidate, *, epoch: int, ttl_s: float) -> dict[str, Any]:
        """Renew the lease."""
        request = LeaseRequest(epoch=epoch, ttl_s=ttl_s)
        return await self._ask(vm, lambda core: core.vm.renew_lease(request).to_json())

    async def drain(self, vm: Candidate, *, epoch: int, drain: int) -> dict[str, Any]:
        """Ask it to close its door."""
        request = DrainRequest(epoch=epoch, drain=drain)
        return await self._ask(vm, lambda core: core.vm.drain(request).to_json())

    async def _ask(self, vm: Candidate, act: Act) -> dict[str, Any]:
        async def answer(agent: SimulatedAgent) -> dict[str, Any]:
            if agent.core is None:
                raise ConnectionResetError("the agent ended")
            return act(agent.core)

        return await self._call(vm, answer, limit_s=CALL_S)

    async def _call(
        self,
        vm: Candidate,
        act: Callable[[SimulatedAgent], Awaitable[dict[str, Any]]],
        *,
        limit_s: float,
    ) -> dict[str, Any]:
        """Carry a request over and its answer back, or not.

        A caller that gives up, or whose process ends, takes nothing back: what left arrives.
        """
        agent = self._region.agents[vm.name]
        is_cut = self._faults.hits(FaultName.NETWORK_CUT, vm.name)
        if is_cut and self._chance.random() < 0.7:
            await asyncio.sleep(CONNECT_S)
            raise AgentUnreachableError(f"no answer from the agent on {vm.name} (cut)")
        if agent.core is None:
            is_off = self._region.power(vm.name) is not PowerState.RUNNING
            await asyncio.sleep(CONNECT_S if is_off else self._chance.uniform(*LATENCY_S))
            raise AgentUnreachableError(f"no agent on {vm.name}")
        carried = self._loop.create_task(self._carry(agent, vm.name, act))
        self._carried.add(carried)
        carried.add_done_callback(self._end)
        ends: list[asyncio.Future[Any]] = [carried, agent.gone]
        await asyncio.wait(ends, timeout=limit_s, return_when="FIRST_COMPLETED")
        if not carried.done() or is_cut or self._faults.hits(FaultName.NETWORK_CUT, vm.name):
            raise AgentUnreachableError(f"no answer from the agent on {vm.name}")
        try:
            answer = carried.result()
        except RequestError as error:
            raise AgentError(error.code, str(error), status=error.status) from error
        except ConnectionResetError as error:
            raise AgentUnreachableError(f"the agent on {vm.name} ended") from error
        return self._disturb(vm, _over_the_wire(answer))

    def _end(self, carried: "asyncio.Task[Any]") -> None:
        self._carried.discard(carried)
        if not carried.cancelled():
            # Looked at, or asyncio complains of an answer that nobody waits for any more.
            carried.exception()

    async def _carry(
        self,
        agent: SimulatedAgent,
        name: str,
        act: Callable[[SimulatedAgent], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        await asyncio.sleep(self._chance.uniform(*LATENCY_S))
        if self._faults.hits(FaultName.SLOW_AGENT, name):
            await asyncio.sleep(self._chance.uniform(*SLOW_S))
        while (hangs_s := agent.hangs_until - self._loop.time()) > 0:
            await asyncio.sleep(hangs_s)
        answer = await act(agent)
        await asyncio.sleep(self._chance.uniform(*LATENCY_S))
        return answer

    def _disturb(self, vm: Candidate, answer: dict[str, Any]) -> dict[str, Any]:
        if not self._faults.hits(FaultName.WRONG_ANSWER, vm.name):
            return answer
        match self._chance.randrange(4):
            case 0:
                raise AgentError("internal", "the agent failed", status=500)
            case 1:
                raise AgentError("http_502", "", status=502)
            case 2:
                raise AgentUnreachableError(f"the agent on {vm.name} answered without JSON")
            case _:
                raise AgentUnreachableError(f"the agent on {vm.name} answered with no JobView")


def _over_the_wire(body: dict[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(json.dumps(body))
    return decoded
