"""Taking a job in: whatever is checked is checked here, before a GPU minute is spent.

The order of the steps makes each safe to cut off: image and request are stored before the row, the
row before the workflow. A re-sent request, or `sweep`, goes on where an earlier one was cut off.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from orchestrator.domain.errors import BusyError, KeyReusedError
from orchestrator.domain.image_source import ImageSource
from orchestrator.domain.job import JobRequest, JobRow, input_path, new_id, request_path
from orchestrator.domain.names import Workflow
from orchestrator.domain.pool import PoolPolicy
from orchestrator.domain.pool.scaling import seconds_until_room
from orchestrator.domain.ports import Clock, Durable, FileStore, JobTable, KeyTable, PoolCommands
from orchestrator.lanes import STORAGE

MAX_KEY_LENGTH = 200


class Normalised(Protocol):
    """An image ready to be stored."""

    @property
    def png(self) -> bytes:
        """The upright PNG."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences on what of it was left aside."""


class Reader(Protocol):
    """Reads what strangers send, apart from the app's own process."""

    @property
    def is_failing(self) -> bool:
        """Whether no image can be read."""

    async def probe(self) -> None:
        """If so, try again, and take a few seconds for that at most."""

    def check_size(self, posted: str, content_type: str, size_bytes: int) -> None:
        """Refuse the body of a POST by its size alone."""

    async def parse(
        self, posted: str, content_type: str, body: bytes
    ) -> tuple[list[ImageSource], dict[str, Any]]:
        """Read the body of a POST: a ``job`` or a ``batch``."""

    async def normalise(self, data: bytes) -> Normalised:
        """Check and normalise an image."""


class Place(Protocol):
    """A request's place among those that wait to be read, and the bytes that it holds."""

    held_bytes: int

    def grow(self, more_bytes: int) -> None:
        """Hold more; raises `BusyError` if all requests together hold too much."""

    def shrink(self, less_bytes: int) -> None:
        """Hold less."""


class Admission(Protocol):
    """Counts what waits to be read."""

    def admit(self, size_bytes: int) -> AbstractContextManager[Place]:
        """Hold a place; raises `BusyError` if too much waits already."""


class Fetcher(Protocol):
    """Fetches an image URL under the rules for untrusted URLs."""

    async def fetch(self, url: str, *, on_bytes: Callable[[int], None]) -> bytes:
        """Give the bytes; `on_bytes` is told of each piece as it arrives."""


class Acceptance:
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
        pool: PoolCommands,
        fetcher: Fetcher,
        reader: Reader,
        admission: Admission,
        policy: PoolPolicy,
        clock: Clock,
        defaults: dict[str, float],
        max_open_jobs: int,
    ) -> None:
        self._jobs = jobs
        self._keys = keys
        self._files = files
        self._pool = pool
        self._fetcher = fetcher
        self._reader = reader
        self._admission = admission
        self._policy = policy
        self._clock = clock
        self._defaults = defaults
        self._max_open_jobs = max_open_jobs

    def place(self, posted: str, content_type: str, body: bytes) -> AbstractContextManager[Place]:
        """Hold a place among those that wait to be read, for a ``with`` block.

        Raises:
            InputError: The body is too large, whatever waits.
            BusyError: Too much waits already.
        """
        self._reader.check_size(posted, content_type, len(body))
        return self._admission.admit(len(body))

    async def read(
        self, posted: str, content_type: str, body: bytes
    ) -> tuple[list[ImageSource], JobRequest]:
        """Read the body of a POST: a ``job`` or a ``batch``.

        Raises:
            ApiError: The body, or a field of it, is wrong.
            InputError: An image is where it must not be, or too large.
        """
        sources, fields = await self._reader.parse(posted, content_type, body)
        return sources, JobRequest.from_json(fields)

    async def image(self, source: ImageSource, place: Place) -> Normalised:
        """Fetch if need be, check and normalise an image.

        Raises:
            InputError: Saying what is wrong with it.
            BusyError: There is no room for it now.
        """
        before_bytes = place.held_bytes
        try:
            data = source.data
            if data is None:
                data = await self._fetcher.fetch(source.url or "", on_bytes=place.grow)
            return await self._reader.normalise(data)
        finally:
            place.shrink(place.held_bytes - before_bytes)

    async def admit(self, count: int) -> None:
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

    def draw_id(self) -> str:
        """Draw a new id."""
        return new_id(int(self._clock() * 1000), secrets.randbits(80))

    async def find(self, key: str | None, body_hash: str) -> str | None:
        """Give the id that an earlier request with this key was given, None if there was none.

        Raises:
            KeyReusedError: The key came with another request before.
        """
        found = await STORAGE.run(self._keys.find, key) if key is not None else None
        return None if found is None else _same_request(*found, body_hash)

    async def claim(self, key: str | None, body_hash: str) -> str:
        """Give the id for a request: a new one, or that of the first request with this key.

        Raises:
            KeyReusedError: The key came with another request before.
        """
        new = self.draw_id()
        if key is None:
            return new
        first = await STORAGE.run(self._keys.claim, key, new, body_hash)
        return _same_request(*first, body_hash)

    async def store(
        self, job_id: str, image: Normalised, request: JobRequest, *, batch_id: str | None = None
    ) -> JobRow:
        """Store image and request, and give the row that is still to be inserted."""
        row = self._row(job_id, image, request, batch_id)
        asked = {"id": job_id, "created_at": row.created_at, **_asked(request)}
        await asyncio.gather(
            self._write(input_path(job_id), image.png, "image/png"),
            self._write_json(request_path(job_id), {**asked, "batch_id": batch_id}),
        )
        return row

    def _row(
        self, job_id: str, image: Normalised, request: JobRequest, batch_id: str | None
    ) -> JobRow:
        order = {
            "id": job_id,
            "options": request.options,
            "priority": request.priority,
            **self._defaults,
        }
        if request.start_within_s is not None:
            order["start_within_s"] = request.start_within_s
        return JobRow(
            job_id=job_id,
            created_at=self._clock(),
            metadata=request.metadata,
            order=order,
            batch_id=batch_id,
            notes=list(image.notes),
        )

    async def insert(self, row: JobRow) -> None:
        """Insert a row; one that is there already stays as it is."""
        await STORAGE.run(self._jobs.insert, row)

    async def start(self, row: JobRow, client: Durable) -> None:
        """Start the job's workflow; one that exists already is as good.

        Raises:
            Exception: It could not be started and does not exist.
        """
        try:
            await client.start_new(Workflow.RUN_JOB, row.job_id, row.order)
        except Exception:
            if not await client.get_status(row.job_id):
                raise

    async def read_batch(self, batch_id: str) -> dict[str, Any] | None:
        """Read a stored batch: ``{id, rows, refused}``, or None."""
        data = await STORAGE.run(self._files.read, request_path(batch_id))
        batch = json.loads(data) if data is not None else {}
        return batch if "rows" in batch else None

    async def store_batch(
        self, batch_id: str, rows: list[JobRow], refused: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Store a batch: from here on it is accepted, whatever is cut off."""
        batch = {"id": batch_id, "rows": [row.to_json() for row in rows], "refused": refused}
        await self._write_json(request_path(batch_id), batch)
        return batch

    async def start_batch(self, batch_id: str, client: Durable) -> None:
        """Insert the rows of a stored batch and start its workflow; a live one is as good.

        Raises:
            Exception: It could not be started and does not exist.
        """
        batch = await self.read_batch(batch_id)
        if batch is None:
            return
        rows = [JobRow.from_json(row) for row in batch["rows"]]
        await asyncio.gather(*(self.insert(row) for row in rows))
        jobs = [
            {"number": number_of(row.job_id), "job_id": row.job_id, "order": row.order}
            for row in rows
        ]
        order = {"id": batch_id, "items": [*jobs, *batch["refused"]]}
        try:
            await client.start_new(Workflow.RUN_BATCH, batch_id, order)
        except Exception:
            if not await client.get_status(batch_id):
                raise

    async def _write(self, path: str, data: bytes, content_type: str) -> None:
        await STORAGE.run(self._files.write, path, data, content_type)

    async def _write_json(self, path: str, body: dict[str, Any]) -> None:
        await self._write(path, json.dumps(body).encode(), "application/json")


def _same_request(job_id: str, first_hash: str, body_hash: str) -> str:
    if first_hash != body_hash:
        raise KeyReusedError(
            "this Idempotency-Key came with another request before: take a new key"
        )
    return job_id


def _asked(request: JobRequest) -> dict[str, Any]:
    return {
        "options": request.options,
        "metadata": request.metadata,
        "priority": request.priority,
        "start_within_s": request.start_within_s,
    }


def hash_of(route: str, sources: list[ImageSource], request: JobRequest) -> str:
    """Identify a request: equal images and equal fields, however the form was bounded."""
    text = json.dumps([route, [s.digest() for s in sources], _asked(request)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def number_of(job_id: str) -> int:
    """Give the number of a batch's job within its batch, from 1."""
    return int(job_id.rpartition("-")[2])
