"""Effects on VMs.

Each reads the pool's state right before it acts, and then does nothing unless epoch and phase
still fit: a second run minutes later is harmless.
"""

import logging
from typing import Any, NamedTuple

from orchestrator.domain.errors import AgentError, AgentUnreachableError, ArmError
from orchestrator.domain.pool import (
    Candidate,
    Deallocated,
    DeallocationAccepted,
    Drained,
    DrainRefused,
    PoolPolicy,
    PowerAsked,
    PowerRefused,
    StartAccepted,
    StartFailed,
    Vm,
    VmLost,
    VmPhase,
    VmReady,
    VmRunning,
)
from orchestrator.domain.pool.cap import Cap, read_cap
from orchestrator.domain.ports import AgentClient, Clock, Durable, VmPower
from orchestrator.domain.start_errors import (
    StartProblem,
    classify_start_error,
    may_have_acted,
)
from orchestrator.lanes import RESERVE
from orchestrator.services.pool import PoolService

logger = logging.getLogger(__name__)

STALE = {"outcome": "stale"}
ON = ("starting", "running", "stopping", "stopped")
"""Power states that are billed."""
OFF = ("deallocating", "deallocated")
FRESH_S = 15.0
"""So long after its drain a VM is taken to be still on; later Azure is asked."""


class _Found(NamedTuple):
    """What Azure said of a VM just before it is asked for something.

    Attributes:
        power: Its power state; None if that could not be read.
        off_at: When it was found off, epoch seconds.
        start_failed: Whether it is off because its last start failed.
    """

    power: str | None
    off_at: float | None = None
    start_failed: bool = False


class VmService:
    """What the workflows `wake_vm` and `retire_vm` do."""

    def __init__(
        self,
        *,
        pool: PoolService,
        power: VmPower,
        agents: AgentClient,
        policy: PoolPolicy,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._power = power
        self._agents = agents
        self._policy = policy
        self._clock = clock

    async def start_vm(self, wake: dict[str, Any], client: Durable) -> dict[str, Any]:
        """Ask ARM to start a VM.

        Safe to run twice: starting a VM that starts or runs changes nothing, and a later epoch or
        phase stops it.

        Returns:
            ``{"outcome": "accepted" | "stale" | "failed"}``, or ``{"outcome": "later", code,
            retry_after_s}`` when the same call may succeed in a while.
        """
        fenced = await self._fenced(wake, VmPhase.STARTING)
        if fenced is None:
            return STALE
        candidate, vm = fenced
        found = await self._look(candidate)
        at = await self._announce(vm, found, client)
        if at is None:
            return STALE
        try:
            await RESERVE.run(self._power.start, candidate)
        except ArmError as error:
            await self._note_refusal(vm, at, error, client)
            if classify_start_error(error.code, error.message) is StartProblem.BUSY:
                return {
                    "outcome": "later",
                    "code": error.code,
                    "retry_after_s": error.retry_after_s,
                }
            # An earlier call, or somebody else, may have put it on before this one was refused.
            may_be_on = found.power in ON
            await self._give_up(vm, error.code, error.message, client, may_be_on=may_be_on)
            return {"outcome": "failed", "code": error.code}
        may_have_been_on = found.power is None or found.power in ON
        accepted = StartAccepted(
            vm=vm.name, epoch=vm.epoch, at=at, may_have_been_on=may_have_been_on
        )
        await self._pool.apply(accepted, client)
        return {"outcome": "accepted"}

    async def check_wake(self, wake: dict[str, Any], client: Durable) -> dict[str, Any]:
        """Look how far a wake is, and tell the pool.

        Returns:
            ``{"outcome": "starting" | "warming" | "ready" | "stale" | "failed"}``.
        """
        found = await self._fenced(wake, VmPhase.STARTING, VmPhase.WARMING)
        if found is None:
            return STALE
        candidate, vm = found
        if vm.phase is VmPhase.STARTING:
            outcome = await self._check_power(candidate, vm, client)
            if outcome != "running":
                return {"outcome": outcome}
            await self._pool.apply(VmRunning(vm=vm.name, epoch=vm.epoch), client)
        return {"outcome": await self._check_agent(candidate, vm, client)}

    async def _check_power(self, candidate: Candidate, vm: Vm, client: Durable) -> str:
        try:
            seen = await RESERVE.run(self._power.read, candidate)
        except ArmError as error:
            logger.warning("power of %s could not be read: %s", vm.name, error)
            return "starting"
        if seen.power == "running":
            return "running"
        if seen.failure_code and seen.power != "starting":
            await self._give_up(
                vm, seen.failure_code, seen.failure_message, client, may_be_on=False
            )
            return "failed"
        return "starting"

    async def _check_agent(self, candidate: Candidate, vm: Vm, client: Durable) -> str:
        try:
            boot, cap = "", Cap()
            asked_at = self._clock()
            readiness = await self._agents.ready(candidate)
            is_drained = readiness.get("phase") == "draining"
            if readiness.get("ready") or is_drained:
                # The agent adopts the epoch, and with it opens a door closed by an earlier drain.
                status = await self._agents.lease(
                    candidate, epoch=vm.epoch, ttl_s=self._policy.lease_s
                )
                boot = str(status.get("machine_boot", ""))
                cap = read_cap(status, asked_at)
            if readiness.get("phase") == "failed":
                # It says so for a moment and ends: no use in paying for the VM until the deadline.
                detail = str(readiness.get("detail") or "the agent's set-up failed")
                await self._give_up(vm, "agent_unfit", detail, client, may_be_on=True)
                return "failed"
            if not readiness.get("ready"):
                return "warming"
        except (AgentError, AgentUnreachableError) as error:
            logger.info("agent on %s is not ready: %s", vm.name, error)
            return "warming"
        ready = VmReady(vm=vm.name, epoch=vm.epoch, machine_boot=boot, **cap._asdict())
        await self._pool.apply(ready, client)
        return "ready"

    async def _give_up(
        self, vm: Vm, code: str, message: str, client: Durable, *, may_be_on: bool
    ) -> None:
        problem = classify_start_error(code, message)
        await self._pool.apply(
            StartFailed(
                vm=vm.name,
                epoch=vm.epoch,
                code=code,
                message=message[:300],
                is_capacity=problem is StartProblem.CAPACITY,
                is_configuration=problem is StartProblem.CONFIGURATION,
                may_be_on=may_be_on,
            ),
            client,
        )

    async def drain_vm(self, retire: dict[str, Any], client: Durable) -> dict[str, Any]:
        """Ask the agent to close its door, and tell the pool the answer.

        Safe to run twice: the agent gives the same answer to the same drain number.

        Returns:
            ``{"outcome": "deallocate" | "reopened" | "refused" | "unreachable" | "stale"}``.
        """
        found = await self._fenced(retire, VmPhase.DRAINING, VmPhase.DEALLOCATING)
        if found is None or found[1].drain != retire["drain"]:
            return STALE
        candidate, vm = found
        try:
            answer = await self._agents.drain(candidate, epoch=vm.epoch, drain=vm.drain)
        except AgentUnreachableError:
            return {"outcome": "unreachable"}
        except AgentError as error:
            lost = VmLost(vm=vm.name, epoch=vm.epoch, reason=f"drain was refused: {error.code}")
            await self._pool.apply(lost, client)
            return {"outcome": "refused"}
        if not answer["drained"]:
            refused = DrainRefused(vm=vm.name, epoch=vm.epoch, drain=vm.drain)
            await self._pool.apply(refused, client)
            return {"outcome": "refused"}
        drained = Drained(
            vm=vm.name, epoch=vm.epoch, drain=vm.drain, receipt=str(answer["receipt"])
        )
        reply = await self._pool.apply(drained, client)
        return {"outcome": reply["answer"]}

    async def deallocate_vm(self, retire: dict[str, Any], client: Durable) -> dict[str, Any]:
        """Ask ARM to deallocate a VM.

        Safe to run twice: deallocating twice changes nothing, and a later epoch or phase stops it.

        Returns:
            ``{"outcome": "accepted" | "stale"}`` or ``{"outcome": "later", code, retry_after_s}``.
        """
        fenced = await self._fenced(retire, VmPhase.DEALLOCATING)
        if fenced is None or fenced[1].drain != retire["drain"]:
            return STALE
        candidate, vm = fenced
        # One that was drained a moment ago is on.
        is_fresh = vm.receipt is not None and self._clock() - vm.phase_since < FRESH_S
        found = _Found("running") if is_fresh else await self._look(candidate)
        at = await self._announce(vm, found, client)
        if at is None:
            return STALE
        try:
            await RESERVE.run(self._power.deallocate, candidate)
        except ArmError as error:
            await self._note_refusal(vm, at, error, client)
            logger.warning("deallocation of %s was refused: %s", vm.name, error)
            return {"outcome": "later", "code": error.code, "retry_after_s": error.retry_after_s}
        may_have_been_off = found.power is None or found.power in OFF
        accepted = DeallocationAccepted(
            vm=vm.name, epoch=vm.epoch, at=at, may_have_been_off=may_have_been_off
        )
        await self._pool.apply(accepted, client)
        return {"outcome": "accepted"}

    async def check_deallocated(self, retire: dict[str, Any], client: Durable) -> dict[str, Any]:
        """Look whether a deallocation has ended, and tell the pool.

        Returns:
            ``{"outcome": "deallocated" | "deallocating" | "stale"}``, or ``failed`` when ARM says
            that the operation failed and the VM is still on.
        """
        found = await self._fenced(retire, VmPhase.DEALLOCATING)
        if found is None:
            return STALE
        candidate, vm = found
        try:
            seen = await RESERVE.run(self._power.read, candidate)
        except ArmError as error:
            logger.warning("power of %s could not be read: %s", vm.name, error)
            return {"outcome": "deallocating"}
        if seen.power == "deallocated":
            await self._pool.apply(Deallocated(vm=vm.name, epoch=vm.epoch), client)
            return {"outcome": "deallocated"}
        still_on = seen.power in ("running", "stopped")
        return {"outcome": "failed" if still_on and seen.failure_code else "deallocating"}

    async def _look(self, candidate: Candidate) -> _Found:
        """Look at a VM before ARM is asked for something."""
        at = self._clock()
        try:
            seen = await RESERVE.run(self._power.read, candidate)
        except ArmError:
            return _Found(None)
        if seen.power != "deallocated":
            return _Found(seen.power)
        return _Found(seen.power, off_at=at, start_failed=seen.failure_code is not None)

    async def _announce(self, vm: Vm, found: _Found, client: Durable) -> float | None:
        """Note in the pool that ARM is asked now, for the answer may be lost.

        Returns:
            The moment in epoch seconds, or None if the pool does not want it any more.
        """
        at = self._clock()
        asked = PowerAsked(
            vm=vm.name,
            epoch=vm.epoch,
            drain=vm.drain,
            at=at,
            found_off_at=found.off_at,
            start_failed=found.start_failed,
        )
        reply = await self._pool.apply(asked, client)
        return at if reply["answer"] == "done" else None

    async def _note_refusal(self, vm: Vm, at: float, error: ArmError, client: Durable) -> None:
        if not may_have_acted(error.code):
            await self._pool.apply(PowerRefused(vm=vm.name, epoch=vm.epoch, at=at), client)

    async def _fenced(
        self, order: dict[str, Any], *phases: VmPhase
    ) -> tuple[Candidate, Vm] | None:
        """Find the VM if the pool still believes what the order was given under."""
        state = await RESERVE.run(self._pool.read)
        vm = state.vms.get(order["vm"])
        candidate = self._policy.reach(order["vm"], vm.home) if vm else None
        if vm is None or candidate is None:
            return None
        return (candidate, vm) if vm.epoch == order["epoch"] and vm.phase in phases else None
