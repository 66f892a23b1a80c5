"""The client: submit a photo, wait for its model, fetch it.

::

    from coldforge import Client

    with Client("https://myapp.azurewebsites.net", key="...") as client:
        job = client.submit("chair.jpg")
        client.wait(job.id).raise_unless_succeeded()
        client.download(job.id, "model.glb", "chair.glb")
"""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import requests

from coldforge.downloads import save_artifact
from coldforge.errors import (
    DownloadError,
    NotFoundError,
    RefusedError,
    ServerFailureError,
    UnreachableError,
)
from coldforge.images import ImageInput, ImageSource, without_absent
from coldforge.models import Artifact, BatchStatus, JobStatus
from coldforge.pacing import choose_poll_delay
from coldforge.transport import Transport, read_json_object, read_retry_after
from coldforge.watching import Patience, watch

T = TypeVar("T")

_DOWNLOAD_TRIES = 3
_MAX_KEY_LENGTH = 200
_BATCH_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Job:
    """A job that the server has taken.

    Attributes:
        id: For `Client.status`, `Client.wait` and the others.
        status_url: Where a program without this library can watch it.
        idempotency_key: With this key and the same image, `Client.submit` finds this job again.
        raw: The server's answer, Durable's own URLs included.
    """

    id: str
    status_url: str
    idempotency_key: str
    raw: Mapping[str, Any]


class Client:
    """Speaks with one Coldforge server. Use one per thread.

    Every call survives an outage of the server of `outage_limit_s`; `wait` survives a longer one.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 60.0,
        outage_limit_s: float = 30.0,
        wait_outage_limit_s: float = 600.0,
        on_outage: Callable[[float], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            base_url: Such as ``http://127.0.0.1:7071``, with or without ``/api``.
            key: A function key.
            connect_timeout_s: Limit for reaching the server.
            read_timeout_s: Limit for a silence of the server; fetching an image URL may take it
                20 s.
            outage_limit_s: How long a call is repeated while the server is away.
            wait_outage_limit_s: The same for `wait`.
            on_outage: Given the seconds that the server has been away, at each failed try.
            sleep: Waits.
            clock: Seconds that only grow.

        Raises:
            SettingError: The URL is not a web address, or the key can't be sent.
        """
        self._transport = Transport(
            base_url,
            key=key,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            outage_limit_s=outage_limit_s,
            on_outage=on_outage,
            sleep=sleep,
            clock=clock,
        )
        self._patience = Patience(wait_outage_limit_s, sleep=sleep, clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def submit(
        self,
        image: ImageInput,
        *,
        options: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        priority: str | None = None,
        start_within_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Hand in a photo.

        It is sent again when the connection breaks; its key keeps that from starting a second job.

        Args:
            image: Bytes, a URL, or the path of a PNG, JPEG, WebP, HEIC or AVIF file.
            options: For the engine, such as ``{"seed": 1}``.
            metadata: Your own, given back in every status.
            priority: ``low``, ``normal`` or ``high``.
            start_within_s: Seconds after which a job that could not start fails.
            idempotency_key: Drawn when left out. Give the same one to find the same job.

        Raises:
            OSError: The file can't be read.
            RefusedError: The image or an option is refused; the message says what to do.
            ApiError: Another answer than expected.
            UnreachableError: No answer within the limit.
        """
        source = ImageSource.of(image)
        fields = without_absent(
            {
                "options": options,
                "metadata": metadata,
                "priority": priority,
                "start_within_s": start_within_s,
            }
        )
        key = idempotency_key or str(uuid.uuid4())
        if source.url is not None:
            body = self._post("/api/jobs", key, json={**source.as_json(), **fields})
        else:
            files = [source.as_form_file()]
            body = self._post("/api/jobs", key, files=files, data=_as_form(fields))
        return _understand(
            body,
            lambda body: Job(
                id=str(body["id"]),
                status_url=str(body.get("status_url") or ""),
                idempotency_key=key,
                raw=body,
            ),
        )

    def status(
        self,
        job_id: str,
        *,
        outage_limit_s: float | None = None,
        on_outage: Callable[[float], None] | None = None,
    ) -> JobStatus:
        """Return the state of a job.

        Args:
            job_id: The job's id.
            outage_limit_s: Another limit than the client's.
            on_outage: Given the seconds that the server has been away, at each failed try.

        Raises:
            NotFoundError: There is no such job.
            ApiError: Another answer than expected.
            UnreachableError: No answer within the limit.
        """
        response = self._transport.send(
            "GET", _job_path(job_id), outage_limit_s=outage_limit_s, on_outage=on_outage
        )
        return _read_status(response)

    def wait(
        self,
        job_id: str,
        *,
        on_update: Callable[[JobStatus], None] | None = None,
        on_outage: Callable[[float], None] | None = None,
        timeout_s: float | None = None,
    ) -> JobStatus:
        """Watch a job until it is over, and return how it ended.

        If the server goes away meanwhile, it waits for it to come back.

        Args:
            job_id: The job's id.
            on_update: Given every status as it comes, the last one included.
            on_outage: Given the seconds that the server has been away, at each failed try.
            timeout_s: Limit for all of it; none by default.

        Raises:
            WaitTimeoutError: It is not over in time. It goes on.
            NotFoundError: There is no such job.
            ApiError: Another answer than expected.
            UnreachableError: No answer within `wait_outage_limit_s`.
        """
        return watch(
            self._transport,
            _job_path(job_id),
            read=_read_status,
            choose_delay=choose_poll_delay,
            patience=replace(self._patience, timeout_s=timeout_s),
            on_update=on_update,
            on_outage=on_outage,
        )

    def cancel(self, job_id: str) -> None:
        """Cancel a job, queued or running. Safe to repeat.

        Raises:
            ConflictError: It has succeeded or failed already.
            NotFoundError: There is no such job.
            ApiError: Another answer than expected.
            UnreachableError: No answer within the limit.
        """
        self._transport.send("DELETE", _job_path(job_id)).close()

    def download(
        self, job_id: str, name: str, path: str | PathLike[str], *, replaces: bool = True
    ) -> Artifact:
        """Save an artifact; `path` holds all of it, checked, or what it held before.

        Args:
            job_id: A job that has succeeded.
            name: Such as ``model.glb`` or ``preview.png``.
            path: Where to; its folder must exist.
            replaces: Whether a file that is there already is replaced.

        Raises:
            NotFoundError: The job has no such artifact, or not yet.
            DownloadError: It did not arrive whole, several times.
            OSError: The file can't be written.
            ApiError: Another answer than expected.
            UnreachableError: No answer within the limit.
        """
        status = self.status(job_id)
        artifact = status.artifacts.get(name)
        if artifact is None:
            known = ", ".join(status.artifacts) or "none"
            raise NotFoundError(
                f"Job {job_id} ({status.state}) has no artifact {name!r}; it has {known}.",
                code="artifact_not_found",
            )
        for _ in range(_DOWNLOAD_TRIES - 1):
            try:
                save_artifact(self._transport, artifact, Path(path), replaces=replaces)
            except (DownloadError, UnreachableError):
                continue
            return artifact
        save_artifact(self._transport, artifact, Path(path), replaces=replaces)
        return artifact

    def pool(self) -> dict[str, Any]:
        """Return the VMs, the queue and the money, as ``GET /api/pool`` gives them.

        Raises:
            ApiError: Another answer than expected.
            UnreachableError: No answer within the limit.
        """
        body = _read_object(self._transport.send("GET", "/api/pool"))
        return _understand(body, _check_pool)

    def jobs(self, *, state: str | None = None, limit: int | None = None) -> Iterator[JobStatus]:
        """Go over the jobs, newest first, fetched page by page.

        Args:
            state: Only those of this state.
            limit: How many at most; all by default.

        Raises:
            ApiError: Another answer than expected.
            UnreachableError: No answer within the limit.
        """
        left = limit
        page: str | None = None
        while left is None or left > 0:
            wanted = 100 if left is None else min(100, left)
            query = without_absent({"state": state, "limit": wanted, "page": page})
            body = _read_object(self._transport.send("GET", "/api/jobs", params=query))
            entries = _understand(body, _read_entries)
            yield from entries[:wanted]
            left = None if left is None else left - len(entries)
            page = body.get("next_page")
            if not page:
                return

    def submit_batch(
        self,
        images: Iterable[ImageInput],
        *,
        options: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        priority: str | None = None,
        idempotency_key: str | None = None,
    ) -> BatchStatus:
        """Hand in many photos in one call. One that is refused does not delay the others.

        The photos are fetched and checked after this returns: `batch` and `wait_batch` tell which
        were refused.

        Args:
            images: As for `submit`.
            options: For each of them.
            metadata: For each of them.
            priority: For each of them.
            idempotency_key: Drawn when left out.

        Raises:
            OSError: A file can't be read.
            RefusedError: The batch as a whole is refused.
            ApiError: Another answer than expected.
            UnreachableError: No answer within the limit.
        """
        sources = [ImageSource.of(image) for image in images]
        fields = without_absent({"options": options, "metadata": metadata, "priority": priority})
        key = idempotency_key or str(uuid.uuid4())
        if any(source.url is not None for source in sources):
            listed = [source.as_json() for source in sources]
            body = self._post("/api/batches", key, json={"images": listed, **fields})
        else:
            files = [source.as_form_file() for source in sources]
            body = self._post("/api/batches", key, files=files, data=_as_form(fields))
        return _understand(body, BatchStatus.from_json)

    def batch(self, batch_id: str) -> BatchStatus:
        """Return the state of a batch.

        Raises:
            NotFoundError: There is no such batch.
            ApiError: Another answer than expected.
            UnreachableError: No answer within the limit.
        """
        return _read_batch(self._transport.send("GET", _batch_path(batch_id)))

    def wait_batch(
        self,
        batch_id: str,
        *,
        on_update: Callable[[BatchStatus], None] | None = None,
        on_outage: Callable[[float], None] | None = None,
        timeout_s: float | None = None,
    ) -> BatchStatus:
        """Watch a batch until each of its images is over; as `wait` does for a job.

        Raises:
            WaitTimeoutError: It is not over in time. It goes on.
            NotFoundError: There is no such batch.
            ApiError: Another answer than expected.
            UnreachableError: No answer within `wait_outage_limit_s`.
        """
        return watch(
            self._transport,
            _batch_path(batch_id),
            read=_read_batch,
            choose_delay=lambda batch: batch.retry_after_s or _BATCH_POLL_S,
            patience=replace(self._patience, timeout_s=timeout_s),
            on_update=on_update,
            on_outage=on_outage,
        )

    def _post(self, path: str, key: str, **content: Any) -> dict[str, Any]:
        is_plain = key == key.strip() and all(" " <= character <= "~" for character in key)
        if not is_plain or not 0 < len(key) <= _MAX_KEY_LENGTH:
            raise RefusedError(
                f"The idempotency key must be 1 to {_MAX_KEY_LENGTH} printable ASCII characters, "
                "without a space at either end.",
                code="idempotency_key_invalid",
            )
        headers = {"Idempotency-Key": key}
        return _read_object(self._transport.send("POST", path, headers=headers, **content))


def _as_form(fields: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in fields.items()
    }


def _job_path(job_id: str) -> str:
    return f"/api/jobs/{_quote_id(job_id)}"


def _batch_path(batch_id: str) -> str:
    return f"/api/batches/{_quote_id(batch_id)}"


def _quote_id(given: str) -> str:
    # A path without it, or with dots in its place, is another one.
    if not given.strip("."):
        raise NotFoundError(f"{given!r} is not an id.", code="not_found")
    return quote(given, safe="", errors="replace")


def _read_status(response: requests.Response) -> JobStatus:
    retry_after_s = read_retry_after(response.headers)
    return _understand(
        _read_object(response), partial(JobStatus.from_json, retry_after_s=retry_after_s)
    )


def _read_batch(response: requests.Response) -> BatchStatus:
    retry_after_s = read_retry_after(response.headers)
    return _understand(
        _read_object(response), partial(BatchStatus.from_json, retry_after_s=retry_after_s)
    )


def _read_entries(body: Mapping[str, Any]) -> list[JobStatus]:
    return [JobStatus.from_json(entry) for entry in body.get("jobs") or ()]


def _check_pool(body: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(vm, dict) for vm in body.get("vms") or ()):
        raise TypeError("a VM is not an object")
    return body


def _understand(body: Any, read: Callable[[Any], T]) -> T:
    """Read an answer.

    Raises:
        ServerFailureError: It has an unknown form.
    """
    try:
        return read(body)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ServerFailureError(
            "This client does not know the form of the server's answer. Is it as new as the "
            "server?",
            code="answer_not_understood",
        ) from error


def _read_object(response: requests.Response) -> dict[str, Any]:
    with response:
        body = read_json_object(response)
    if not body:
        raise ServerFailureError(
            "The server did not answer in JSON. Does the URL lead to a Coldforge server?",
            code="not_coldforge",
            status=response.status_code,
        )
    return body
