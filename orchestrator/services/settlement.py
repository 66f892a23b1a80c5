"""Ending a job from outside its workflow: cancelled by its caller, or found ended or gone."""

import contextlib
import json
import logging
from dataclasses import replace
from typing import Any

from orchestrator.domain.errors import UnknownJobError
from orchestrator.domain.fence import fence_ending_all_before
from orchestrator.domain.instances import status_name
from orchestrator.domain.job import JobRow, JobState, error_of, manifest_path
from orchestrator.domain.pool import Cancel, PoolState
from orchestrator.domain.pool.billing.allocation import cost_of
from orchestrator.domain.ports import Clock, Durable, FileStore, JobTable
from orchestrator.domain.settlement import InstanceSeen, Step, next_step
from orchestrator.lanes import STORAGE
from orchestrator.services.pool import PoolService

logger = logging.getLogger(__name__)


class SettlementService:
    """Writes the end of jobs whose workflow does not. Everything here is safe to run twice."""

    def __init__(
        self, *, jobs: JobTable, files: FileStore, pool: PoolService, clock: Clock
    ) -> None:
        self._jobs = jobs
        self._files = files
        self._pool = pool
        self._clock = clock

    async def cancel(self, row: JobRow, client: Durable) -> JobRow:
        """End a job that is not over, and give its row.

        Its workflow first, so that it asks for nothing more; then the pool, which has the agent
        confirm before the slot is given on. Cut off in between, the reconciler does the rest.
        """
        # It may never have been started, or be gone: then there is nothing to end.
        with contextlib.suppress(UnknownJobError):
            await client.terminate(row.job_id, "cancelled by the caller")
        state = await self._end_attempts(row.job_id, client)
        return await self._write(row, JobState.CANCELLED, state)

    async def add_cost(self, row: JobRow) -> JobRow:
        """Give a row that is over its cost, if that became known only after its end.

        It was cancelled, say, and its agent confirmed later that it had stopped.
        """
        if row.cost is not None or row.started_at is None:
            return row
        cost = _cost_of(row.job_id, await STORAGE.run(self._pool.read))
        if cost is None:
            return row

        def change(current: JobRow) -> JobRow | None:
            return None if current.cost is not None else replace(current, cost=cost)

        return await STORAGE.run(self._jobs.change, row.job_id, change) or row

    async def settle(self, row: JobRow, client: Durable) -> tuple[JobRow, InstanceSeen]:
        """Write down an end that the workflow itself could not: it was terminated, or broke.

        Returns:
            The row as it is then, and the workflow instance that was seen.
        """
        seen = await self.look(row.job_id, client)
        step = next_step(row, seen, None, self._clock())
        if step in (Step.CANCEL, Step.FAIL):
            row = await self._end(row, step, client)
        return row, seen

    async def take(self, row: JobRow, seen: InstanceSeen, step: Step, client: Durable) -> None:
        """Do what was decided about a row (`domain.settlement`), but for starting its workflow."""
        match step:
            case Step.NOTE_MISSING:
                logger.warning("job %s is %s and has no workflow", row.job_id, row.state)
                await self._note(row, self._clock())
            case Step.NOTE_SEEN:
                await self._note(row, None)
            case Step.CANCEL | Step.FAIL | Step.LOSE:
                how = seen.status or "gone"
                logger.warning("job %s is %s, its workflow is %s", row.job_id, row.state, how)
                await self._end(row, step, client)

    async def look(self, instance_id: str, client: Durable) -> InstanceSeen:
        """Look at a workflow instance.

        Raises:
            Exception: Its store can't be read, which says nothing about the instance.
        """
        status = await client.get_status(instance_id)
        if not status:
            return InstanceSeen(None)
        output = getattr(status, "output", None)
        ended_as = output.get("state") if isinstance(output, dict) else None
        return InstanceSeen(status_name(status), ended_as)

    async def _end(self, row: JobRow, step: Step, client: Durable) -> JobRow:
        state = await self._end_attempts(row.job_id, client)
        if step is Step.CANCEL:
            return await self._write(row, JobState.CANCELLED, state)
        if state.slot_of(row.job_id) is not None:
            # Its agent has not confirmed that it stopped, and may be about to finish the model.
            return row
        data = await STORAGE.run(self._files.read, manifest_path(row.job_id))
        if data is not None:
            return await self._write(row, JobState.SUCCEEDED, state, result=json.loads(data))
        if step is Step.FAIL:
            error = error_of("internal", "The job's workflow failed.", stage=row.stage)
        else:
            error = error_of(
                "workflow_lost",
                "The job's workflow is gone: Durable's store was emptied or restored. Send the "
                "job again.",
                retryable=True,
                stage=row.stage,
            )
        return await self._write(row, JobState.FAILED, state, error=error)

    async def _end_attempts(self, job_id: str, client: Durable) -> PoolState:
        fence = fence_ending_all_before(self._clock())
        await self._pool.apply(Cancel(job_id=job_id, fence=fence), client)
        return await STORAGE.run(self._pool.read)

    async def _write(self, row: JobRow, state: JobState, pool: PoolState, **values: Any) -> JobRow:
        values |= {"state": state, "ended_at": self._clock(), "cost": _cost_of(row.job_id, pool)}

        def change(current: JobRow) -> JobRow | None:
            return None if current.state.is_over else replace(current, **values)

        return await STORAGE.run(self._jobs.change, row.job_id, change) or row

    async def _note(self, row: JobRow, missing_at: float | None) -> None:
        def change(current: JobRow) -> JobRow | None:
            return None if current.state.is_over else replace(current, missing_at=missing_at)

        await STORAGE.run(self._jobs.change, row.job_id, change)


def _cost_of(job_id: str, state: PoolState) -> dict[str, Any] | None:
    """Give what a job has cost; None while it holds a slot, or if it never did."""
    settled = state.settled.get(job_id)
    return None if settled is None or state.slot_of(job_id) is not None else cost_of(settled)
