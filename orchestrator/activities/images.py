"""Reading the images of a batch, one activity each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from orchestrator.domain.batch import Batch
from orchestrator.domain.errors import BusyError, IntakeBusyError
from orchestrator.domain.input_errors import InputError
from orchestrator.domain.job import JobRow, JobState, artifacts_of, error_of
from orchestrator.domain.ports import Clock, JobTable
from orchestrator.lanes import STORAGE
from orchestrator.services.batches import BatchService

MAX_AT_ONCE = 16
"""Of all batches together: a slow server holds an activity for 20 s, and the host runs 64 at once
(`maxConcurrentActivityFunctions`), among them those that renew leases and follow jobs."""
_GONE: dict[str, Any] = {
    "outcome": "over",
    "state": JobState.CANCELLED.value,
    "artifacts": [],
    "error": None,
}


class ImageActivities:
    """What the workflow `run_batch` does."""

    def __init__(self, *, jobs: JobTable, batches: BatchService, clock: Clock) -> None:
        self._jobs = jobs
        self._batches = batches
        self._clock = clock
        self._at_work = 0

    async def prepare_image(self, order: dict[str, Any]) -> dict[str, Any]:
        """Fetch an image of a batch, check, normalise and store it, or refuse its job.

        Safe to run twice: the job's row is changed once, from awaiting its image to having it or
        to having failed, and says so to every later run.

        Args:
            order: ``{batch_id, number, is_last}``; with `is_last`, an intake that is still busy
                is a refusal.

        Returns:
            ``{"outcome": "stored", order}`` with the input of the job's workflow,
            ``{"outcome": "refused", error}``, ``{"outcome": "busy"}`` (try again later) or
            ``{"outcome": "over", state, artifacts, error}`` (there is nothing to run).
        """
        number = int(order["number"])
        batch = await self._batches.read(order["batch_id"])
        job_id = f"{order['batch_id']}-{number}"
        row = await STORAGE.run(self._jobs.read, job_id)
        if batch is None or row is None:
            return _GONE
        if row.awaits_image and not row.state.is_over:
            try:
                row = await self._take(batch, job_id, number)
            except BusyError as error:
                if not order["is_last"]:
                    return {"outcome": "busy"}
                row = await self._refuse(job_id, error)
        await self._batches.drop_source(batch, number)
        return _GONE if row is None else _answer(row)

    async def _take(self, batch: Batch, job_id: str, number: int) -> JobRow | None:
        if self._at_work >= MAX_AT_ONCE:
            raise IntakeBusyError("Too many images wait to be read.", retry_after_s=1)
        self._at_work += 1
        try:
            notes = await self._batches.take_image(batch, number)
        except InputError as error:
            return await self._refuse(job_id, error)
        finally:
            self._at_work -= 1
        return await self._settle(
            job_id, lambda current: replace(current, awaits_image=False, notes=notes)
        )

    async def _refuse(self, job_id: str, error: InputError | BusyError) -> JobRow | None:
        why = error_of(error.code, str(error), retryable=error.retryable, stage="intake")
        return await self._settle(
            job_id,
            lambda current: replace(
                current, state=JobState.FAILED, error=why, ended_at=self._clock()
            ),
        )

    async def _settle(self, job_id: str, change: Callable[[JobRow], JobRow]) -> JobRow | None:
        """Change a row that still awaits its image, and give it as it is then."""
        return await STORAGE.run(
            self._jobs.change,
            job_id,
            lambda row: change(row) if row.awaits_image and not row.state.is_over else None,
        )


def _answer(row: JobRow) -> dict[str, Any]:
    if not row.state.is_over:
        return {"outcome": "stored", "order": row.order}
    if row.awaits_image and row.state is JobState.FAILED:
        return {"outcome": "refused", "error": row.error}
    artifacts = artifacts_of(row.result, row.job_id) if row.result else []
    return {
        "outcome": "over",
        "state": row.state.value,
        "artifacts": artifacts,
        "error": row.error,
    }
