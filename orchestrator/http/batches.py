"""Routes of batches: many images, one call."""

import asyncio
from http import HTTPStatus
from typing import Any

import azure.functions as func

from orchestrator.domain.batch import Batch
from orchestrator.domain.errors import UnknownJobError
from orchestrator.domain.image_source import ImageSource
from orchestrator.domain.job import JobRequest, is_job_id, view_job
from orchestrator.domain.ports import Durable, JobTable
from orchestrator.http.acceptance import Acceptance, hash_of
from orchestrator.http.answers import json_answer, origin_of
from orchestrator.http.jobs import POLL_S, key_of
from orchestrator.http.request_body import body_of, content_type_of
from orchestrator.lanes import STORAGE


class BatchRoutes:
    """Handlers of ``/api/batches``."""

    def __init__(self, *, acceptance: Acceptance, jobs: JobTable) -> None:
        self._acceptance = acceptance
        self._jobs = jobs

    async def post(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Take a batch in: 202 with a job for each image. Its workflow reads the images."""
        key, origin = key_of(request), origin_of(request)
        posted = "batch", content_type_of(request), body_of(request)
        with self._acceptance.place(*posted):
            sources, asked = await self._acceptance.read(*posted)
            body_hash = hash_of("batches", sources, asked)
            # A batch that was accepted stays so: it is found even while new ones are refused.
            first_id = await self._acceptance.find(key, body_hash)
            batch = await self._acceptance.read_batch(first_id) if first_id else None
            if batch is None:
                batch = await self._take_in(sources, asked, key, body_hash)
        batch_id = batch.batch_id
        await self._acceptance.start_batch(batch_id, client)
        location = f"{origin}/api/batches/{batch_id}"
        body = {"id": batch_id, "status_url": location, "items": batch.items()}
        headers = {"Location": location, "Retry-After": str(POLL_S)}
        return json_answer(body, status=HTTPStatus.ACCEPTED, headers=headers)

    async def _take_in(
        self, sources: list[ImageSource], asked: JobRequest, key: str | None, body_hash: str
    ) -> Batch:
        await self._acceptance.admit(len(sources))
        batch_id = await self._acceptance.claim(key, body_hash)
        batch = await self._acceptance.read_batch(batch_id)
        return batch or await self._acceptance.store_batch(batch_id, sources, asked)

    async def get(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Tell what became of each image."""
        batch_id = request.route_params.get("id", "")
        batch = await self._acceptance.read_batch(batch_id) if is_job_id(batch_id) else None
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
