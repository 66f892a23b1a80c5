"""Durable's built-in status of one job, in Durable's own shape, fenced to this one instance.

The host's own URLs carry a key to everybody's instances (azure-functions-durable-extension #838);
these carry none. Statuses and codes are the extension's, so that a Durable client needs no change.
"""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import azure.functions as func

from orchestrator.domain.errors import InstanceOverError, InvalidRequestError, UnknownJobError
from orchestrator.domain.instances import LIVE, status_name
from orchestrator.domain.job import JobRow, JobState, is_job_id
from orchestrator.domain.json_values import is_text
from orchestrator.domain.ports import Durable, JobTable
from orchestrator.http.answers import Route, json_answer, origin_of
from orchestrator.http.request import read_small_json
from orchestrator.lanes import STORAGE
from orchestrator.services.settlement import SettlementService

BASE = "jobs/{id}/instance"
RETRY_AFTER_S = "5"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
MAX_REASON_LENGTH = 256
"""The SDK puts the reason into a URL, twelve characters for one at most; Kestrel takes 8 KB."""
_EVENT_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}", re.ASCII)
"""The letters that RFC 3986 leaves unescaped in a URL, but for ``~``. None begins with a dot: URL
parsers take ``.`` and ``..`` out of a path. Durable itself has no rule for the names of events."""


def urls_of(origin: str, job_id: str) -> dict[str, str]:
    """Give Durable's fields of a 202, pointing at the routes of this module."""
    base = f"{origin}/api/jobs/{job_id}/instance"
    return {
        "statusQueryGetUri": base,
        "sendEventPostUri": f"{base}/raiseEvent/{{eventName}}",
        "terminatePostUri": f"{base}/terminate?reason={{text}}",
        "purgeHistoryDeleteUri": base,
        "suspendPostUri": f"{base}/suspend?reason={{text}}",
        "resumePostUri": f"{base}/resume?reason={{text}}",
    }


class InstanceRoutes:
    """Handlers of ``/api/jobs/{id}/instance``."""

    def __init__(self, *, jobs: JobTable, settlement: SettlementService) -> None:
        self._jobs = jobs
        self._settlement = settlement

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        return (
            Route("get_instance", "GET", BASE, self.get),
            Route("purge_instance", "DELETE", BASE, self.purge),
            Route("terminate_instance", "POST", f"{BASE}/terminate", self.terminate),
            Route("suspend_instance", "POST", f"{BASE}/suspend", self.suspend),
            Route("resume_instance", "POST", f"{BASE}/resume", self.resume),
            Route("raise_event", "POST", f"{BASE}/raiseEvent/{{event}}", self.raise_event),
        )

    async def get(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Tell the instance's status: 202 while it lives, then 200 with its output."""
        row = await self._row(request)
        status = await client.get_status(
            row.job_id,
            show_history=_flag(request, "showHistory"),
            show_history_output=_flag(request, "showHistoryOutput"),
        )
        if not status:
            raise UnknownJobError(
                "the job has no instance: its history was purged, or its batch has not started it"
            )
        name = status_name(status)
        body = _body(status, name, shows_input=_flag(request, "showInput", default=True))
        if name in LIVE:
            location = f"{origin_of(request)}/api/jobs/{row.job_id}/instance"
            headers = {"Location": location, "Retry-After": RETRY_AFTER_S}
            return json_answer(body, status=HTTPStatus.ACCEPTED, headers=headers)
        asks_for_500 = _flag(request, "returnInternalServerErrorOnFailure")
        return json_answer(body, status=500 if name == "Failed" and asks_for_500 else 200)

    async def purge(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Delete the history of an instance that is over: 200; 404; 412 while it lives."""
        row = await self._row(request)
        deleted = await client.purge(row.job_id) if row.state.is_over else None
        if deleted is None:
            return json_answer(
                {"Message": "The instance is not over."}, status=HTTPStatus.PRECONDITION_FAILED
            )
        if not deleted:
            raise UnknownJobError("the job's instance is gone already")
        return json_answer({"instancesDeleted": deleted})

    async def terminate(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Cancel the job: 202; 410 if it is over."""
        row = await self._row(request)
        if not row.state.is_over:
            row = await self._settlement.cancel(row, client)
        if row.state is not JobState.CANCELLED:
            raise InstanceOverError(f"the job is over already: {row.state.value}")
        return func.HttpResponse(status_code=HTTPStatus.ACCEPTED)

    async def raise_event(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Send an event to the instance: 202; 410 if it is over."""
        row = await self._live_row(request)
        event = request.route_params.get("event", "")
        if not _EVENT_NAME.fullmatch(event):
            raise InvalidRequestError(
                "an event's name has 1 to 128 characters: letters, digits, '_', '-' and, but for "
                "the first, '.'",
                code="event_name_invalid",
            )
        data = read_small_json(request, default=None, otherwise="the event's body must be JSON")
        await client.raise_event(row.job_id, event, data)
        return func.HttpResponse(status_code=HTTPStatus.ACCEPTED)

    async def suspend(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Hold the instance: 202; 409 if it is held already; 410 if it is over."""
        return await self._pause(request, client.suspend)

    async def resume(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Let the instance go on: 202; 409 if it is not held; 410 if it is over."""
        return await self._pause(request, client.resume)

    async def _pause(
        self, request: func.HttpRequest, call: Callable[[str, str], Awaitable[None]]
    ) -> func.HttpResponse:
        row = await self._live_row(request)
        reason = request.params.get("reason", "")
        if len(reason) > MAX_REASON_LENGTH or not is_text(reason):
            raise InvalidRequestError(
                f"reason must be UTF-8 of at most {MAX_REASON_LENGTH} characters"
            )
        await call(row.job_id, reason)
        return func.HttpResponse(status_code=HTTPStatus.ACCEPTED)

    async def _live_row(self, request: func.HttpRequest) -> JobRow:
        row = await self._row(request)
        if row.state.is_over:
            raise InstanceOverError(f"the job is over already: {row.state.value}")
        return row

    async def _row(self, request: func.HttpRequest) -> JobRow:
        job_id = request.route_params.get("id", "")
        row = await STORAGE.run(self._jobs.read, job_id) if is_job_id(job_id) else None
        if row is None:
            raise UnknownJobError("there is no job under this id")
        return row


def _body(status: Any, name: str, *, shows_input: bool) -> dict[str, Any]:
    body = {
        "name": status.name,
        "instanceId": status.instance_id,
        "runtimeStatus": name,
        "input": status.input_ if shows_input else None,
        "customStatus": status.custom_status,
        "output": status.output,
        "createdTime": _moment(status.created_time),
        "lastUpdatedTime": _moment(status.last_updated_time),
    }
    events = getattr(status, "historyEvents", None)
    return body if events is None else {**body, "historyEvents": events}


def _moment(value: Any) -> str | None:
    return value.strftime(TIME_FORMAT) if value is not None else None


def _flag(request: func.HttpRequest, name: str, *, default: bool = False) -> bool:
    text = {key.lower(): value for key, value in request.params.items()}.get(name.lower())
    return default if text is None else text.lower() == "true"
