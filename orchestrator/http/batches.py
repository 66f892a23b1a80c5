"""Routes of batches: many images, one call."""

import asyncio
from http import HTTPStatus
from typing import Any

import azure.functions as func

from orchestrator.domain.errors import UnknownJobError
from orchestrator.domain.job import is_job_id, view_job
from orchestrator.domain.ports import Durable, JobTable
from orchestrator.http.answers import Route, json_answer, origin_of
from orchestrator.http.jobs import POLL_S
from orchestrator.http.request import key_of, posted_of
from orchestrator.lanes import STORAGE
from orchestrator.services.batches import BatchService


class BatchRoutes:
    """Handlers of ``/api/batches``."""

    def __init__(self, *, batches: BatchService, jobs: JobTable) -> None:
        self._batches = batches
        self._jobs = jobs

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        return (
            Route("post_batch", "POST", "batches", self.post),
            Route("get_batch", "GET", "batches/{id}", self.get),
        )

    async def post(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Take a batch in: 202 with a job for each image. Its workflow reads the images."""
        key, origin = key_of(request), origin_of(request)
        batch = await self._batches.submit(posted_of(request, "batch"), key, client)
        location = f"{origin}/api/batches/{batch.batch_id}"
        body = {"id": batch.batch_id, "status_url": location, "items": batch.items()}
        headers = {"Location": location, "Retry-After": str(POLL_S)}
        return json_answer(body, status=HTTPStatus.ACCEPTED, headers=headers)

    async def get(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Tell what became of each image."""
        batch_id = request.route_params.get("id", "")
        batch = await self._batches.read(batch_id) if is_job_id(batch_id) else None
        if batch is None:
            raise UnknownJobError("there is no batch under this id")
        items = await asyncio.gather(*(self._view(item) for item in batch.items()))
        states = [item["state"] for item in items]
        over = sum(state in ("succeeded", "failed", "cancelled") for state in states)
        body = {
            "id": batch_id,
            "state": "running" if over < len(items) else "over",
            "total": len(items),
            "succeeded": states.count("succeeded"),
            "failed": states.count("failed"),
            "cancelled": states.count("cancelled"),
            "items": items,
        }
        return json_answer(body, headers={} if over == len(items) else {"Retry-After": "2"})

    async def _view(self, item: dict[str, Any]) -> dict[str, Any]:
        if "job_id" not in item:
            return {**item, "state": "failed"}
        row = await STORAGE.run(self._jobs.read, item["job_id"])
        if row is None:
            return {**item, "state": "queued", "error": None}
        job = view_job(row, None)
        keys = ("state", "stage", "percent", "artifacts", "error", "status_url")
        return {**item, **{key: job[key] for key in keys}}
