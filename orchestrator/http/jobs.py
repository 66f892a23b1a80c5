"""Routes of jobs: post, status, list, cancel, artifacts."""

import asyncio
import re
from http import HTTPStatus
from typing import Any

import azure.functions as func

from orchestrator.domain.errors import (
    ArtifactExpiredError,
    InvalidRequestError,
    JobOverError,
    UnknownJobError,
)
from orchestrator.domain.instances import SUSPENDED
from orchestrator.domain.job import (
    JobRow,
    JobState,
    is_job_id,
    manifest_path,
    place_of,
    view_job,
)
from orchestrator.domain.pool import PoolPolicy
from orchestrator.domain.pool.view import view_place
from orchestrator.domain.ports import Clock, Durable, FileStore, JobTable
from orchestrator.http.answers import Route, json_answer, origin_of
from orchestrator.http.instance import urls_of
from orchestrator.http.request import key_of, posted_of
from orchestrator.lanes import STORAGE
from orchestrator.services.pool import PoolService
from orchestrator.services.settlement import SettlementService
from orchestrator.services.submission import SubmissionService

POLL_S = 2
MAX_PAGE = 100
DEFAULT_PAGE = 20
_NUMBER = re.compile(r"[0-9]{1,9}")


class JobRoutes:
    """Handlers of ``/api/jobs``.

    Args:
        sends_links: Whether artifacts are answered with a short-lived link to storage.
        link_s: How long such a link is valid, in seconds.
        exposes_durable: Whether the 202 also carries the host's own URLs.
    """

    def __init__(
        self,
        *,
        submission: SubmissionService,
        settlement: SettlementService,
        jobs: JobTable,
        files: FileStore,
        pool: PoolService,
        policy: PoolPolicy,
        clock: Clock,
        sends_links: bool,
        link_s: float,
        exposes_durable: bool,
    ) -> None:
        self._submission = submission
        self._settlement = settlement
        self._jobs = jobs
        self._files = files
        self._pool = pool
        self._policy = policy
        self._clock = clock
        self._sends_links = sends_links
        self._link_s = link_s
        self._exposes_durable = exposes_durable

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        return (
            Route("post_job", "POST", "jobs", self.post),
            Route("list_jobs", "GET", "jobs", self.list),
            Route("get_job", "GET", "jobs/{id}", self.get),
            Route("cancel_job", "DELETE", "jobs/{id}", self.delete),
            Route("get_artifact", "GET", "jobs/{id}/artifacts/{name}", self.artifact),
        )

    async def post(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Take a job in: 202 with Location, status URLs and the id."""
        key, origin = key_of(request), origin_of(request)
        row = await self._submission.submit(posted_of(request, "job"), key, client)
        return self._accepted(origin, client, row)

    def _accepted(self, origin: str, client: Durable, row: JobRow) -> func.HttpResponse:
        urls = urls_of(origin, row.job_id)
        body: dict[str, Any] = {
            "id": row.job_id,
            "state": row.state.value,
            "status_url": f"{origin}/api/jobs/{row.job_id}",
            **urls,
        }
        if self._exposes_durable:
            body["durable"] = client.create_http_management_payload(row.job_id)
        headers = {"Location": urls["statusQueryGetUri"], "Retry-After": str(POLL_S)}
        return json_answer(body, status=HTTPStatus.ACCEPTED, headers=headers)

    async def get(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Tell a job's status."""
        row = await self._row(request)
        if row.state.is_over:
            return json_answer(view_job(await self._settlement.add_cost(row), None))
        state, (row, seen) = await asyncio.gather(
            STORAGE.run(self._pool.read), self._settlement.settle(row, client)
        )
        now = self._clock()
        place = place_of(row, view_place(state, row.job_id, now, self._policy), now)
        place["suspended"] = seen.status == SUSPENDED
        retry_after = {} if row.state.is_over else {"Retry-After": str(POLL_S)}
        return json_answer(view_job(row, place), headers=retry_after)

    async def list(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """List jobs, newest first."""
        state = request.params.get("state")
        if state is not None and state not in list(JobState):
            raise InvalidRequestError(f"state must be one of {', '.join(JobState)}")
        rows, token = await STORAGE.run(
            self._jobs.list_page,
            state=state,
            limit=_limit(request.params.get("limit")),
            token=request.params.get("page"),
        )
        return json_answer({"jobs": [view_job(row, None) for row in rows], "next_page": token})

    async def delete(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Cancel a job, queued or running: 202; 404; 409 if it is over."""
        before = await self._row(request)
        row = before
        if not before.state.is_over:
            row = await self._settlement.cancel(before, client)
        if before.state.is_over or row.state is not JobState.CANCELLED:
            raise JobOverError(f"the job is over already: {row.state.value}")
        return json_answer(view_job(row, None), status=HTTPStatus.ACCEPTED)

    async def artifact(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Send an artifact, or a short-lived link to it."""
        row = await self._row(request)
        name = request.route_params.get("name", "")
        path, content_type = self._find(row, name)
        if self._sends_links:
            if not await STORAGE.run(self._files.exists, path):
                raise ArtifactExpiredError.named(name)
            link = await STORAGE.run(
                self._files.link, path, valid_s=self._link_s, name=f"{row.job_id}-{name}"
            )
            headers = {"Location": link, "Cache-Control": "no-store"}
            return func.HttpResponse(status_code=HTTPStatus.FOUND, headers=headers)
        data = await STORAGE.run(self._files.read, path)
        if data is None:
            raise ArtifactExpiredError.named(name)
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=3600"}
        return func.HttpResponse(data, mimetype=content_type, headers=headers)

    @staticmethod
    def _find(row: JobRow, name: str) -> tuple[str, str]:
        if row.result is not None:
            if name == "manifest.json":
                return manifest_path(row.job_id), "application/json"
            for artifact in row.result["artifacts"]:
                if artifact["name"] == name:
                    return artifact["path"], artifact["content_type"]
        raise UnknownJobError(f"job {row.job_id} ({row.state.value}) has no artifact {name!r}")

    async def _row(self, request: func.HttpRequest) -> JobRow:
        job_id = request.route_params.get("id", "")
        row = None
        if is_job_id(job_id):
            row = await STORAGE.run(self._jobs.read, job_id)
        if row is None:
            raise UnknownJobError("there is no job under this id")
        return row


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MAX_PAGE:
        raise InvalidRequestError(f"limit must be a whole number from 1 to {MAX_PAGE}")
    return int(text)
