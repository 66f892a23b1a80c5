"""Routes of batches: many images, one call."""

import asyncio
from http import HTTPStatus
from typing import Any

import azure.functions as func

from orchestrator.domain.errors import BusyError, UnknownJobError
from orchestrator.domain.image_source import ImageSource
from orchestrator.domain.input_errors import InputError
from orchestrator.domain.job import JobRequest, error_of, is_job_id, view_job
from orchestrator.domain.ports import Durable, JobTable
from orchestrator.lanes import STORAGE
from orchestrator.triggers.acceptance import Acceptance, Place, hash_of, number_of
from orchestrator.triggers.answers import json_answer, origin_of
from orchestrator.triggers.jobs import POLL_S, key_of
from orchestrator.triggers.request_body import body_of, content_type_of


class BatchRoutes:
    """Handlers of ``/api/batches``."""

    def __init__(self, *, acceptance: Acceptance, jobs: JobTable) -> None:
        self._acceptance = acceptance
        self._jobs = jobs

    async def post(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Take a batch in: 202. An image that is refused is an item with an error, no more."""
        key, origin = key_of(request), origin_of(request)
        posted = "batch", content_type_of(request), body_of(request)
        with self._acceptance.place(*posted) as place:
            sources, asked = await self._acceptance.read(*posted)
            body_hash = hash_of("batches", sources, asked)
            # A batch that was accepted stays so: it is found even while new ones are refused.
            first_id = await self._acceptance.find(key, body_hash)
            batch = await self._acceptance.read_batch(first_id) if first_id else None
            if batch is None:
                batch = await self._take_in(sources, asked, key, body_hash, place)
        batch_id = batch["id"]
        await self._acceptance.start_batch(batch_id, client)
        location = f"{origin}/api/batches/{batch_id}"
        body = {"id": batch_id, "status_url": location, "items": _items(batch)}
        headers = {"Location": location, "Retry-After": str(POLL_S)}
        return json_answer(body, status=HTTPStatus.ACCEPTED, headers=headers)

    async def _take_in(
        self,
        sources: list[ImageSource],
        asked: JobRequest,
        key: str | None,
        body_hash: str,
        place: Place,
    ) -> dict[str, Any]:
        await self._acceptance.admit(len(sources))
        batch_id = await self._acceptance.claim(key, body_hash)
        batch = await self._acceptance.read_batch(batch_id)
        return batch or await self._store(batch_id, sources, asked, place)

    async def _store(
        self, batch_id: str, sources: list[ImageSource], asked: JobRequest, place: Place
    ) -> dict[str, Any]:
        """Check and store the images one at a time: decoding is what takes memory."""
        rows, refused = [], []
        for number, source in enumerate(sources, start=1):
            try:
                image = await self._acceptance.image(source, place)
            except (InputError, BusyError) as error:
                why = error_of(error.code, str(error), retryable=error.retryable, stage="intake")
                refused.append({"number": number, "name": source.name, "error": why})
                continue
            job_id = f"{batch_id}-{number}"
            rows.append(await self._acceptance.store(job_id, image, asked, batch_id=batch_id))
        return await self._acceptance.store_batch(batch_id, rows, refused)

    async def get(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Tell what became of each image."""
        batch_id = request.route_params.get("id", "")
        batch = await self._acceptance.read_batch(batch_id) if is_job_id(batch_id) else None
        if batch is None:
            raise UnknownJobError("there is no batch under this id")
        items = await asyncio.gather(*(self._view(item) for item in _items(batch)))
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


def _items(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """List what was asked for, in the order in which it was."""
    jobs = [{"number": number_of(row["job_id"]), "job_id": row["job_id"]} for row in batch["rows"]]
    return sorted([*jobs, *batch["refused"]], key=lambda item: item["number"])
