"""The HTTP routes over fakes, asked with `azure.functions.HttpRequest` objects and no server."""

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import azure.functions as func

from orchestrator.activities.images import ImageActivities
from orchestrator.adapters.durable_client import DurableClient
from orchestrator.domain.input_errors import EmptyImageError, ForbiddenImageUrlError
from orchestrator.domain.job import JobRow
from orchestrator.http.answers import Handler, answer
from orchestrator.http.batches import BatchRoutes
from orchestrator.http.instance import InstanceRoutes
from orchestrator.http.jobs import JobRoutes
from orchestrator.http.pool import PoolRoutes
from orchestrator.intake.admission import Admission
from orchestrator.intake.body import PARSERS, check_size
from orchestrator.intake.door import GuardedIntake
from orchestrator.intake.image_rules import ImageLimits
from orchestrator.services.batches import BatchService
from orchestrator.services.submission import SubmissionService
from tests.fakes.key_table import FakeKeyTable
from tests.unit.orchestrator.parts import Parts

ORIGIN = "https://coldforge.invalid"
PNG = b"\x89PNG a photo"
BOUNDARY = "frontier"


class FakeFetcher:
    """Gives the bytes of known URLs.

    Attributes:
        fetched: Every URL that was asked for, in order.
        meanwhile: Called before a fetch ends.
    """

    def __init__(self) -> None:
        self.images = {"https://images.invalid/cup.jpg": PNG}
        self.fetched: list[str] = []
        self.meanwhile: Callable[[], Any] = lambda: None

    async def fetch(self, url: str, *, on_bytes: Callable[[int], None]) -> bytes:
        self.fetched.append(url)
        self.meanwhile()
        if url not in self.images:
            raise ForbiddenImageUrlError("not there")
        on_bytes(len(self.images[url]))
        return self.images[url]


class FakeReader:
    """Reads bodies on the spot, and takes any byte for an image."""

    def __init__(self) -> None:
        self.is_failing = False
        self.is_mended = False
        self.limits = ImageLimits()
        self.notes: list[str] = []

    async def probe(self) -> None:
        self.is_failing = self.is_failing and not self.is_mended

    def check_size(self, posted: str, content_type: str, size_bytes: int) -> None:
        check_size(posted, content_type, size_bytes, self.limits)

    async def parse(self, posted: str, content_type: str, body: bytes) -> Any:
        return PARSERS[posted](content_type, body)

    async def normalise(self, data: bytes) -> Any:
        if not data:
            raise EmptyImageError("no byte was sent")
        return SimpleNamespace(png=b"normalised " + data, notes=self.notes)


class Desk:
    """Routes of the API and everything behind them."""

    def __init__(self, **settings: Any) -> None:
        self.parts = Parts()
        parts = self.parts
        self.keys = FakeKeyTable()
        self.fetcher = FakeFetcher()
        self.reader = FakeReader()
        common = {"clock": lambda: parts.now, "pool": parts.gate}
        self.intake = GuardedIntake(
            decoders=self.reader,
            fetcher=self.fetcher,
            admission=settings.pop("admission", Admission()),
        )
        submission = SubmissionService(
            jobs=parts.jobs,
            keys=self.keys,
            files=parts.files,
            policy=parts.policy,
            intake=self.intake,
            defaults={"job_timeout_s": 600.0, "unreachable_s": 60.0, "start_within_s": 3600.0},
            max_open_jobs=settings.pop("max_open_jobs", 100),
            **common,
        )
        batches = BatchService(
            submission=submission, jobs=parts.jobs, files=parts.files, intake=self.intake
        )
        self.jobs = JobRoutes(
            settlement=parts.settlement,
            submission=submission,
            jobs=parts.jobs,
            files=parts.files,
            policy=parts.policy,
            sends_links=settings.pop("sends_links", True),
            link_s=600.0,
            exposes_durable=False,
            **common,
        )
        self.instance = InstanceRoutes(jobs=parts.jobs, settlement=parts.settlement)
        self.submission = submission
        self.batch_service = batches
        self.batches = BatchRoutes(batches=batches, jobs=parts.jobs)
        self.images = ImageActivities(jobs=parts.jobs, batches=batches, clock=lambda: parts.now)
        self.pool = PoolRoutes(policy=parts.policy, intake=self.intake, **common)

    def ask(
        self,
        handler: Handler,
        path: str = "",
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        origin: str = ORIGIN,
        **route: str,
    ) -> "Heard":
        request = func.HttpRequest(
            method=method,
            url=f"{origin}/api/{path}",
            headers=headers or {},
            params=params or {},
            route_params=route,
            body=body,
        )
        return Heard(asyncio.run(answer(handler, request, DurableClient(self.parts.durable))))

    def post_json(self, body: Any, *, key: str | None = None) -> "Heard":
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask(self.jobs.post, "jobs", method="POST", body=data, headers=headers)

    def post_form(self, *files: bytes, key: str | None = None, **fields: str) -> "Heard":
        return self.ask(self.jobs.post, "jobs", method="POST", **form(*files, key=key, **fields))

    def post_batch(self, *files: bytes, key: str | None = None, **fields: str) -> "Heard":
        return self.ask(
            self.batches.post, "batches", method="POST", **form(*files, key=key, **fields)
        )

    def post_urls(self, *urls: str, key: str | None = None) -> "Heard":
        """Post a batch of URLs."""
        body = json.dumps({"images": [{"image_url": url} for url in urls]}).encode()
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.ask(self.batches.post, "batches", method="POST", body=body, headers=headers)

    def prepare(self, batch_id: str, number: int, *, is_last: bool = False) -> Any:
        """Run the activity that reads an image of a batch."""
        order = {"batch_id": batch_id, "number": number, "is_last": is_last}
        return asyncio.run(self.images.prepare_image(order))

    def get(self, job_id: str) -> "Heard":
        return self.ask(self.jobs.get, f"jobs/{job_id}", id=job_id)

    def row(self, job_id: str) -> JobRow:
        row = self.parts.jobs.read(job_id)
        assert row is not None
        return row


class Heard:
    """An answer, as a caller reads it."""

    def __init__(self, response: func.HttpResponse) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.media_type = response.mimetype
        self.data = response.get_body()

    @property
    def body(self) -> Any:
        return json.loads(self.data)


def form(*files: bytes, key: str | None = None, **fields: str) -> dict[str, Any]:
    """Build the body and headers of a multipart form."""
    parts = [
        f'Content-Disposition: form-data; name="image"; filename="{n}.png"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + data
        for n, data in enumerate(files, start=1)
    ]
    parts += [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in fields.items()
    ]
    edge = f"--{BOUNDARY}".encode()
    body = b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts) + edge + b"--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return {"body": body, "headers": headers}
