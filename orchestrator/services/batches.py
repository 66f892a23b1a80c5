"""Taking a batch in, and reading its images.

A single job's image is read before its POST is answered. A batch's images are not: Azure ends a
request after 230 s. They are stored as they came, and `run_batch` has each one read.
"""

import asyncio
import json
import secrets

from orchestrator.domain.batch import Batch, BatchSource
from orchestrator.domain.image_source import ImageSource, Posted
from orchestrator.domain.input_errors import LostImageError
from orchestrator.domain.job import JobRequest, JobRow, number_of, request_path, source_path
from orchestrator.domain.names import Workflow
from orchestrator.domain.ports import Durable, FileStore, Intake, JobTable
from orchestrator.lanes import STORAGE
from orchestrator.services.submission import SubmissionService, hash_of

_WRITES_AT_ONCE = 8
"""Of one batch's images: half of the storage lane, so that other callers get on."""


class BatchService:
    """Checks, stores and starts batches."""

    def __init__(
        self, *, submission: SubmissionService, jobs: JobTable, files: FileStore, intake: Intake
    ) -> None:
        self._submission = submission
        self._jobs = jobs
        self._files = files
        self._intake = intake

    async def submit(self, posted: Posted, key: str | None, client: Durable) -> Batch:
        """Take a batch in and start its workflow, as `SubmissionService.submit` does a job."""
        with self._intake.admit(posted) as reading:
            sources, fields = await reading.body(posted)
            asked = JobRequest.from_json(fields)
            body_hash = hash_of("batches", sources, asked)
            # A batch that was accepted stays so: it is found even while new ones are refused.
            first_id = await self._submission.find_id(key, body_hash)
            batch = await self.read(first_id) if first_id else None
            if batch is None:
                await self._submission.check_room(len(sources))
                batch_id = await self._submission.claim_id(key, body_hash)
                batch = await self.read(batch_id) or await self._store(batch_id, sources, asked)
        await self.start(batch.batch_id, client)
        return batch

    async def read(self, batch_id: str) -> Batch | None:
        """Read a stored batch, None if there is none."""
        data = await STORAGE.run(self._files.read, request_path(batch_id))
        batch = json.loads(data) if data is not None else {}
        return Batch.from_json(batch) if "rows" in batch else None

    async def _store(self, batch_id: str, sources: list[ImageSource], asked: JobRequest) -> Batch:
        """Store a batch with its images as they came: from here on it is accepted.

        Returns:
            The batch; that of another request with the same key, if that one was faster.
        """
        take = secrets.token_hex(8)
        gate = asyncio.Semaphore(_WRITES_AT_ONCE)
        stored = await asyncio.gather(
            *(
                self._store_source(batch_id, number, source, take, gate)
                for number, source in enumerate(sources, start=1)
            )
        )
        rows = tuple(
            self._submission.make_row(
                f"{batch_id}-{source.number}", asked, batch_id=batch_id, awaits_image=True
            )
            for source in stored
        )
        batch = Batch(batch_id=batch_id, rows=rows, sources=tuple(stored), asked=asked.to_json())
        data = json.dumps(batch.to_json()).encode()
        path = request_path(batch_id)
        if await STORAGE.run(self._files.create, path, data, "application/json"):
            return batch
        first = await self.read(batch_id) or batch
        # "Not created" may also be the second answer to a write whose first answer was lost.
        needed = {source.path for source in first.sources}
        for source in stored:
            if source.path is not None and source.path not in needed:
                await STORAGE.run(self._files.delete, source.path)
        return first

    async def _store_source(
        self,
        batch_id: str,
        number: int,
        source: ImageSource,
        take: str,
        gate: asyncio.Semaphore,
    ) -> BatchSource:
        data = source.data
        if data is None:
            return BatchSource(number=number, name=source.name, url=source.url)
        path = source_path(f"{batch_id}-{number}", take)
        async with gate:
            await STORAGE.run(self._files.write, path, data, "application/octet-stream")
        return BatchSource(number=number, name=source.name, path=path, size_bytes=len(data))

    async def start(self, batch_id: str, client: Durable) -> None:
        """Insert the rows of a stored batch and start its workflow, unless it was started.

        A batch whose workflow is gone is started again if any of its jobs is not over.

        Raises:
            Exception: It could not be started and does not exist.
        """
        batch = await self.read(batch_id)
        if batch is None:
            return
        rows = await asyncio.gather(*(self._insert_or_read(row) for row in batch.rows))
        # Durable would start an instance that has ended anew.
        if all(row.state.is_over for row in rows) or await client.get_status(batch_id):
            return
        # Neither URLs nor names: `prepare_image` reads them from the batch.
        items = [
            item if "error" in item else {"number": item["number"], "job_id": item["job_id"]}
            for item in batch.items()
        ]
        try:
            await client.start_new(Workflow.RUN_BATCH, batch_id, {"id": batch_id, "items": items})
        except Exception:
            if not await client.get_status(batch_id):
                raise

    async def _insert_or_read(self, row: JobRow) -> JobRow:
        if await STORAGE.run(self._jobs.insert, row):
            return row
        return await STORAGE.run(self._jobs.read, row.job_id) or row

    async def take_image(self, batch: Batch, number: int) -> list[str]:
        """Fetch an image of a batch if need be, check, normalise and store it. Safe to repeat.

        Returns:
            Sentences on what of it was left aside.

        Raises:
            InputError: It is refused.
            BusyError: There is no room for it now.
        """
        source = batch.source(number) or BatchSource(number=number)
        row = next(row for row in batch.rows if number_of(row.job_id) == number)
        with self._intake.admit_image(source.size_bytes) as reading:
            image = await reading.image(await self._reopen(source))
        await self._submission.store_image(row, image, batch.asked)
        return list(image.notes)

    async def _reopen(self, source: BatchSource) -> ImageSource:
        if source.url is not None:
            return ImageSource(url=source.url, name=source.name)
        data = await STORAGE.run(self._files.read, source.path) if source.path else None
        if data is None:
            raise LostImageError("The image was removed before it was read. Send it again.")
        return ImageSource(data=data, name=source.name)

    async def drop_source(self, batch: Batch, number: int) -> None:
        """Delete an image of a batch as it was sent. Safe to repeat."""
        source = batch.source(number)
        if source is not None and source.path is not None:
            await STORAGE.run(self._files.delete, source.path)
