"""Taking a job in: whatever is checked is checked here, before a GPU minute is spent.

The order of the steps makes each safe to cut off: image and request are stored before the row, the
row before the workflow. A request that is sent again, or `sweep`, goes on where an earlier one was
cut off.
"""

import asyncio
import hashlib
import json
import secrets
from typing import Any

from orchestrator.domain.errors import BusyError, KeyReusedError
from orchestrator.domain.image_source import ImageSource, NormalisedImage, Posted
from orchestrator.domain.job import JobRequest, JobRow, input_path, new_id, request_path
from orchestrator.domain.names import Workflow
from orchestrator.domain.pool import PoolPolicy
from orchestrator.domain.pool.scale_up import seconds_until_room
from orchestrator.domain.ports import (
    Clock,
    Durable,
    FileStore,
    Intake,
    JobTable,
    KeyTable,
    Reading,
)
from orchestrator.lanes import STORAGE
from orchestrator.services.pool import PoolService


class SubmissionService:
    """Checks, stores and starts jobs.

    Args:
        defaults: ``{job_timeout_s, unreachable_s, start_within_s}`` for the workflows' input.
        max_open_jobs: Above it new jobs are refused.
    """

    def __init__(
        self,
        *,
        jobs: JobTable,
        keys: KeyTable,
        files: FileStore,
        pool: PoolService,
        intake: Intake,
        policy: PoolPolicy,
        clock: Clock,
        defaults: dict[str, float],
        max_open_jobs: int,
    ) -> None:
        self._jobs = jobs
        self._keys = keys
        self._files = files
        self._pool = pool
        self._intake = intake
        self._policy = policy
        self._clock = clock
        self._defaults = defaults
        self._max_open_jobs = max_open_jobs

    async def submit(self, posted: Posted, key: str | None, client: Durable) -> JobRow:
        """Take a job in and start its workflow.

        Args:
            posted: The body of the POST.
            key: Its Idempotency-Key, or None.
            client: The Durable client.

        Returns:
            The job's row, or that of the job that an earlier request with this key has made.

        Raises:
            ApiError: The body, a field of it or the key is wrong, or too many jobs are open.
            InputError: The image is refused.
        """
        with self._intake.admit(posted) as reading:
            (source,), fields = await reading.body(posted)
            asked = JobRequest.from_json(fields)
            body_hash = hash_of("jobs", [source], asked)
            # A job that was accepted stays so: it is found even while new ones are refused.
            first_id = await self.find_id(key, body_hash)
            row = await STORAGE.run(self._jobs.read, first_id) if first_id else None
            if row is None:
                row = await self._take_in(source, asked, key, body_hash, reading)
        if not row.state.is_over:
            await self.start(row, client)
        return row

    async def _take_in(
        self,
        source: ImageSource,
        asked: JobRequest,
        key: str | None,
        body_hash: str,
        reading: Reading,
    ) -> JobRow:
        await self.check_room(1)
        image = await reading.image(source)
        job_id = await self.claim_id(key, body_hash)
        # Without a key the id was drawn just now, and nothing can stand under it.
        row = await STORAGE.run(self._jobs.read, job_id) if key else None
        if row is None:
            row = self.make_row(job_id, asked, notes=list(image.notes))
            await self.store_image(row, image, asked.to_json())
            await STORAGE.run(self._jobs.insert, row)
        return row

    async def start(self, row: JobRow, client: Durable) -> None:
        """Start a job's workflow; already running counts as started.

        Raises:
            Exception: It could not be started and does not exist.
        """
        try:
            await client.start_new(Workflow.RUN_JOB, row.job_id, row.order)
        except Exception:
            if not await client.get_status(row.job_id):
                raise

    async def check_room(self, count: int) -> None:
        """Refuse new jobs while too many are open.

        Raises:
            BusyError: With the seconds after which trying again is worth it.
        """
        state = await STORAGE.run(self._pool.read)
        too_many = state.open_jobs() + count - self._max_open_jobs
        if too_many > 0:
            raise BusyError(
                f"{state.open_jobs()} jobs are open and {self._max_open_jobs} are allowed: "
                "come back when some are over",
                retry_after_s=seconds_until_room(state, too_many, self._clock(), self._policy),
            )

    async def find_id(self, key: str | None, body_hash: str) -> str | None:
        """Give the id that an earlier request with this key was given, None if there was none.

        Raises:
            KeyReusedError: The key came with another request before.
        """
        found = await STORAGE.run(self._keys.find, key) if key is not None else None
        return None if found is None else _same_request(*found, body_hash)

    async def claim_id(self, key: str | None, body_hash: str) -> str:
        """Give the id for a request: a new one, or that of the first request with this key.

        Raises:
            KeyReusedError: The key came with another request before.
        """
        new = new_id(int(self._clock() * 1000), secrets.randbits(80))
        if key is None:
            return new
        first = await STORAGE.run(self._keys.claim, key, new, body_hash)
        return _same_request(*first, body_hash)

    def make_row(self, job_id: str, asked: JobRequest, **values: Any) -> JobRow:
        """Make the row of a new job; it is not inserted."""
        order = {
            "id": job_id,
            "options": asked.options,
            "priority": asked.priority,
            **self._defaults,
        }
        if asked.start_within_s is not None:
            order["start_within_s"] = asked.start_within_s
        return JobRow(
            job_id=job_id,
            created_at=self._clock(),
            metadata=asked.metadata,
            order=order,
            **values,
        )

    async def store_image(
        self, row: JobRow, image: NormalisedImage, asked: dict[str, Any]
    ) -> None:
        """Store a job's image, and what was asked for. Safe to repeat."""
        request = {
            "id": row.job_id,
            "created_at": row.created_at,
            **asked,
            "batch_id": row.batch_id,
        }
        data = json.dumps(request).encode()
        write = self._files.write
        await asyncio.gather(
            STORAGE.run(write, input_path(row.job_id), image.png, "image/png"),
            STORAGE.run(write, request_path(row.job_id), data, "application/json"),
        )


def hash_of(route: str, sources: list[ImageSource], asked: JobRequest) -> str:
    """Identify a request: equal images and equal fields, however the form was bounded."""
    digests = [source.digest() for source in sources]
    text = json.dumps([route, digests, asked.to_json()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _same_request(job_id: str, first_hash: str, body_hash: str) -> str:
    if first_hash != body_hash:
        raise KeyReusedError(
            "this Idempotency-Key came with another request before: take a new key"
        )
    return job_id
