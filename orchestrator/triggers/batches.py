"""Routes of batches: many images, one call."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

import azure.functions as func

from orchestrator.domain.errors import UnknownJobError
from orchestrator.domain.input_errors import InputError
from orchestrator.domain.job import JobRequest, error_of, is_job_id, request_path, view_job
from orchestrator.domain.names import Workflow
from orchestrator.domain.ports import Durable, FileStore, JobTable
from orchestrator.triggers.acceptance import Acceptance, hash_of
from orchestrator.triggers.answers import json_answer, origin_of
from orchestrator.triggers.jobs import POLL_S, key_of
from orchestrator.triggers.request_body import ImageSource, read_batch


class BatchRoutes:
    """Handlers of ``/api/batches``."""

    def __init__(self, *, acceptance: Acceptance, jobs: JobTable, files: FileStore) -> None:
        self._acceptance = acceptance
        self._jobs = jobs
        self._files = files

    async def post(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Take a batch in: 202. An image that is refused is an item with an error, no more."""
        sources, asked = read_batch(request)
        await self._acceptance.admit(len(sources))
        batch_id = await self._acceptance.claim(key_of(request), hash_of(sources, asked))
        data = await asyncio.to_thread(self._files.read, request_path(batch_id))
        if data is None:
            items = [
                await self._item(batch_id, number, source, asked)
                for number, source in enumerate(sources, start=1)
            ]
            batch: dict[str, Any] = {"id": batch_id, "items": items}
            await asyncio.to_thread(
                self._files.write,
                request_path(batch_id),
                json.dumps(batch).encode(),
                "application/json",
            )
        else:
            batch = json.loads(data)
        try:
            await client.start_new(Workflow.RUN_BATCH, batch_id, batch)
        except Exception:
            if not await client.get_status(batch_id):
                raise
        location = f"{origin_of(request)}/api/batches/{batch_id}"
        body = {
            "id": batch_id,
            "status_url": location,
            "items": [_shown(i) for i in batch["items"]],
        }
        headers = {"Location": location, "Retry-After": str(POLL_S)}
        return json_answer(body, status=HTTPStatus.ACCEPTED, headers=headers)

    async def _item(
        self, batch_id: str, number: int, source: ImageSource, asked: JobRequest
    ) -> dict[str, Any]:
        """Check and store one image, one at a time: decoding is what takes memory."""
        try:
            png = await self._acceptance.image(source)
        except InputError as error:
            refusal = error_of(error.code, str(error), retryable=error.retryable, stage="intake")
            return {"number": number, "name": source.name, "error": refusal}
        job_id = f"{batch_id}-{number}"
        row = await self._acceptance.store(job_id, png, asked, batch_id=batch_id)
        return {"number": number, "name": source.name, "job_id": job_id, "order": row.order}

    async def get(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Tell what became of each image."""
        batch_id = request.route_params.get("id", "")
        data = None
        if is_job_id(batch_id):
            data = await asyncio.to_thread(self._files.read, request_path(batch_id))
        batch = json.loads(data) if data is not None else {}
        if "items" not in batch:
            raise UnknownJobError("there is no batch under this id")
        items = await asyncio.gather(*(self._view(item) for item in batch["items"]))
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
        shown = _shown(item)
        if "job_id" not in item:
            return {**shown, "state": "failed"}
        row = await asyncio.to_thread(self._jobs.read, item["job_id"])
        if row is None:
            return {**shown, "state": "queued"}
        job = view_job(row, None)
        keys = ("state", "stage", "percent", "artifacts", "error", "status_url")
        return {**shown, **{key: job[key] for key in keys}}


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "order"}
