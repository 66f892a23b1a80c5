"""Applying commands to the pool: read, decide, write if unchanged, perform the effects."""

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any

from orchestrator.domain.errors import AgentError, AgentUnreachableError, StoreConflictError
from orchestrator.domain.instances import LIVE, status_name
from orchestrator.domain.names import (
    LOOK_EVENT,
    Workflow,
    reconciler_instance_id,
    retire_instance_id,
    wake_instance_id,
)
from orchestrator.domain.pool import (
    Candidate,
    Command,
    Confirm,
    Decision,
    Effect,
    GrantSlot,
    Look,
    PoolPolicy,
    PoolState,
    RecordInterval,
    Release,
    RetireVm,
    StartReconciler,
    StopJob,
    WakeVm,
    decide,
)
from orchestrator.domain.pool.effects import effect_to_json
from orchestrator.domain.ports import AgentClient, Clock, Durable, LedgerTable, PoolStore
from orchestrator.lanes import RESERVE

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.5
MAX_CONFLICTS = 60
"""With ten writers at once each gets through well before this."""


class PoolService:
    """The one door through which the pool's state changes. Safe to use from many places at once.

    Args:
        workflow_input: Added to the input of every workflow that an effect starts: the numbers
            that a workflow may not read from settings itself.
    """

    def __init__(
        self,
        *,
        store: PoolStore,
        ledger: LedgerTable,
        agents: AgentClient,
        policy: PoolPolicy,
        clock: Clock,
        workflow_input: Mapping[str, Any],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._agents = agents
        self._policy = policy
        self._clock = clock
        self._workflow_input = dict(workflow_input)
        # Those of one process take turns: the version guards against other processes alone. Left
        # to conflicts, ten writers on a long queue take turns of seconds, and newcomers win.
        self._turn = asyncio.Lock()

    def read(self) -> PoolState:
        """Read the state as it is."""
        return self._store.read()[0]

    async def reach(self, vm: str) -> Candidate | None:
        """Find a VM by name: as it is configured or, no longer configured, as it was last woken.

        A job goes on where it is, also when its VM is taken out of the settings meanwhile.
        """
        if candidate := self._policy.candidate(vm):
            return candidate
        known = (await RESERVE.run(self._store.read))[0].vms.get(vm)
        return self._policy.reach(vm, known.home if known else None)

    async def apply(self, command: Command, durable: Durable) -> dict[str, Any]:
        """Apply a command and perform the effects that are due.

        Safe to run twice: commands carry fence or epoch, effects have fixed names.

        Raises:
            StoreConflictError: Others changed the state for seconds on end.
        """
        async with self._turn:
            decision = await self._decide(command)
        followups = [c for e in decision.effects if (c := await self._perform(e, durable))]
        confirmed = [e for c in followups if isinstance(c, Confirm) for e in c.effects]
        releases: list[Command] = [c for c in followups if isinstance(c, Release)]
        for followup in [Confirm(effects=confirmed), *releases] if confirmed else releases:
            try:
                await self.apply(followup, durable)
            except StoreConflictError as error:
                # The command itself is applied; an effect left unconfirmed is issued again.
                logger.warning("%s is left for later: %s", followup, error)
        return decision.reply

    async def _decide(self, command: Command) -> Decision:
        pause_s = FIRST_PAUSE_S
        for _ in range(MAX_CONFLICTS):
            state, version = await RESERVE.run(self._store.read)
            decision = decide(state, command, self._clock(), self._policy)
            if decision.state == state:
                return decision
            try:
                await RESERVE.run(self._store.write, decision.state, version)
            except StoreConflictError:
                # Random, so that writers that collided once do not collide in step.
                await asyncio.sleep(pause_s * (0.5 + random.random()))  # noqa: S311
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                return decision
        raise StoreConflictError(f"the pool's state changed {MAX_CONFLICTS} times meanwhile")

    async def _perform(self, effect: Effect, durable: Durable) -> Command | None:
        """Perform an effect; one that fails stays in the outbox and is issued again."""
        try:
            match effect:
                case GrantSlot():
                    await durable.raise_event(effect.job_id, effect.event, None)
                case Look():
                    await durable.raise_event(
                        reconciler_instance_id(effect.generation), LOOK_EVENT, None
                    )
                case WakeVm():
                    return await self._start(Workflow.WAKE_VM, effect, durable)
                case RetireVm():
                    return await self._start(Workflow.RETIRE_VM, effect, durable)
                case StartReconciler():
                    return await self._start(Workflow.RECONCILE_POOL, effect, durable)
                case StopJob():
                    return await self._stop(effect)
                case RecordInterval():
                    data = effect_to_json(effect)
                    await RESERVE.run(self._ledger.record, data)
                    return Confirm(effects=[data])
        except Exception as error:  # noqa: BLE001 - the Durable client raises plain Exception
            logger.warning("effect %s is left for later: %s", effect, error)
        return None

    async def _start(
        self, workflow: Workflow, effect: WakeVm | RetireVm | StartReconciler, durable: Durable
    ) -> Confirm:
        """Start a workflow under its fixed instance id; one that lives already is as good."""
        match effect:
            case WakeVm():
                instance_id = wake_instance_id(effect.vm, effect.epoch)
            case RetireVm():
                instance_id = retire_instance_id(effect.vm, effect.epoch, effect.drain)
            case StartReconciler():
                instance_id = reconciler_instance_id(effect.generation)
        data = effect_to_json(effect)
        try:
            await durable.start_new(workflow, instance_id, {**self._workflow_input, **data})
        except Exception:
            status = await durable.get_status(instance_id)
            if not status or status_name(status) not in LIVE:
                raise
        return Confirm(effects=[data])

    async def _stop(self, effect: StopJob) -> Release | None:
        vm = await self.reach(effect.vm)
        if vm is None:
            return None
        try:
            await self._agents.stop(vm, effect.job_id, effect.fence)
        except (AgentError, AgentUnreachableError) as error:
            logger.warning("job %s could not be stopped on %s: %s", effect.job_id, vm.name, error)
            return None
        return Release(job_id=effect.job_id, fence=effect.fence)
