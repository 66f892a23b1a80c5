"""Taking a job in: whatever is checked is checked here, before a GPU minute is spent.

The order of the steps makes each safe to cut off: image and request are stored before the row, the
row before the workflow. A re-sent request, or `sweep`, goes on where an earlier one was cut off.

A job's image is fetched and normalised before the POST is answered. A batch's images are not:
Azure ends a request after 230 s. They are stored as they came, and `run_batch` has each one read.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from orchestrator.domain.batch import Batch, BatchSource
from orchestrator.domain.errors import BusyError, KeyReusedError
from orchestrator.domain.image_source import ImageSource
from orchestrator.domain.input_errors import LostImageError
from orchestrator.domain.job import (
    JobRequest,
    JobRow,
    input_path,
    new_id,
    number_of,
    request_path,
    source_path,
)
from orchestrator.domain.names import Workflow
from orchestrator.domain.pool import PoolPolicy
from orchestrator.domain.pool.scaling import seconds_until_room
from orchestrator.domain.ports import Clock, Durable, FileStore, JobTable, KeyTable, PoolCommands
from orchestrator.lanes import STORAGE

MAX_KEY_LENGTH = 200
_WRITES_AT_ONCE = 8
"""Of one batch's images: half of the storage lane, so that other callers get on."""


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
    """A request's place among those that wait to be read."""

    def grow(self, more_bytes: int) -> None:
        """Hold more; raises `BusyError` if all requests together hold too much."""


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
        data = source.data
        if data is None:
            data = await self._fetcher.fetch(source.url or "", on_bytes=place.grow)
        return await self._reader.normalise(data)

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

    async def store(self, job_id: str, image: Normalised, request: JobRequest) -> JobRow:
        """Store image and request, and give the row that is still to be inserted."""
        row = self._row(job_id, request, notes=list(image.notes))
        await self._store_image(row, image.png, _asked(request))
        return row

    async def _store_image(self, row: JobRow, png: bytes, asked: dict[str, Any]) -> None:
        request = {"id": row.job_id, "created_at": row.created_at, **asked}
        await asyncio.gather(
            self._write(input_path(row.job_id), png, "image/png"),
            self._write_json(request_path(row.job_id), {**request, "batch_id": row.batch_id}),
        )

    def _row(self, job_id: str, request: JobRequest, **values: Any) -> JobRow:
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
            **values,
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

    async def read_batch(self, batch_id: str) -> Batch | None:
        """Read a stored batch, None if there is none."""
        data = await STORAGE.run(self._files.read, request_path(batch_id))
        batch = json.loads(data) if data is not None else {}
        return Batch.from_json(batch) if "rows" in batch else None

    async def store_batch(
        self, batch_id: str, sources: list[ImageSource], request: JobRequest
    ) -> Batch:
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
        batch = Batch(
            batch_id=batch_id,
            rows=tuple(
                self._row(
                    f"{batch_id}-{source.number}", request, batch_id=batch_id, awaits_image=True
                )
                for source in stored
            ),
            sources=tuple(stored),
            asked=_asked(request),
        )
        data = json.dumps(batch.to_json()).encode()
        path = request_path(batch_id)
        if await STORAGE.run(self._files.create, path, data, "application/json"):
            return batch
        first = await self.read_batch(batch_id) or batch
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
        if source.data is None:
            return BatchSource(number=number, name=source.name, url=source.url)
        path = source_path(f"{batch_id}-{number}", take)
        async with gate:
            await self._write(path, source.data, "application/octet-stream")
        return BatchSource(number=number, name=source.name, path=path, size_bytes=len(source.data))

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
        with self._admission.admit(source.size_bytes) as place:
            image = await self.image(await self._reopen(source), place)
        await self._store_image(row, image.png, batch.asked)
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

    async def start_batch(self, batch_id: str, client: Durable) -> None:
        """Insert the rows of a stored batch and start its workflow, unless it was started.

        A batch whose workflow is gone is started again if any of its jobs is not over.

        Raises:
            Exception: It could not be started and does not exist.
        """
        batch = await self.read_batch(batch_id)
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
