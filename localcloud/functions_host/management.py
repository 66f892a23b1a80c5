"""The Durable management API: what the SDK's client and every status URL speak."""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from aiohttp import web

from localcloud.functions_host import status_pages
from localcloud.functions_host.engine import Engine
from localcloud.functions_host.errors import (
    Codes,
    InstanceNotFoundError,
    InternalError,
    NotFailedError,
    NotImplementedByHostError,
    RequestRefusedError,
    UnknownFunctionError,
)
from localcloud.functions_host.queries import Query
from localcloud.functions_host.store import OVER, InstanceRow, Store

logger = logging.getLogger(__name__)

PUBLIC_MOUNT = "runtime/webhooks/durabletask"
LOOPBACK_MOUNT = "durabletask"
PAGE_SIZE = 100
TOKEN_HEADER = "x-ms-continuation-token"  # noqa: S105 - a header's name

EMPTY_KEY = "$"
"""Stands for the empty key of an entity."""
_MESSAGES = {
    HTTPStatus.BAD_REQUEST: "One or more of the arguments submitted is incorrect",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong while processing your request",
}

_Handler = Callable[..., Awaitable[web.Response]]


class ManagementApi:
    """One handler for both mounts: the public one asks for a key, the loopback one does not."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        *,
        hub_name: str,
        key: str,
        codes: Codes = Codes.NEWEST,
    ) -> None:
        """Bind the API to an engine.

        Args:
            engine: Does what is asked.
            store: Is read for what is shown.
            hub_name: Task hub, for links.
            key: System key of the public mount.
            codes: Whose status codes to answer with.
        """
        self._engine = engine
        self._store = store
        self._hub_name = hub_name
        self._key = key
        self._codes = codes

    async def handle(self, request: web.Request, mount: str) -> web.Response:
        """Answer a request.

        Args:
            request: Any request whose path begins with the mount.
            mount: `PUBLIC_MOUNT` or `LOOPBACK_MOUNT`.
        """
        if mount == PUBLIC_MOUNT and not self._has_key(request):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        path = request.path.strip("/")[len(mount) :].strip("/")
        steps = path.split("/") if path else []
        handler = self._find_handler(request.method, [step.lower() for step in steps])
        if handler is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        try:
            return await handler(request, *steps[1:])
        except RequestRefusedError as error:
            return self._to_refusal(error)
        except ValueError as error:
            return self._to_refusal(RequestRefusedError(str(error)))
        except Exception as error:
            logger.exception("%s %s failed", request.method, request.path)
            return self._to_refusal(InternalError(f"{type(error).__name__}: {error}"))

    def _has_key(self, request: web.Request) -> bool:
        given = request.headers.get("x-functions-key") or request.query.get("code", "")
        return secrets.compare_digest(given.encode(errors="surrogateescape"), self._key.encode())

    def _find_handler(self, method: str, steps: list[str]) -> _Handler | None:
        kind, count = (steps[0] if steps else ""), len(steps)
        operation = steps[2] if count > 2 else ""
        table: dict[tuple[str, str, int, str], _Handler] = {
            ("POST", "orchestrators", 2, ""): self._start,
            ("POST", "orchestrators", 3, operation): self._start,
            ("GET", "instances", 1, ""): self._list,
            ("DELETE", "instances", 1, ""): self._purge_many,
            ("GET", "instances", 2, ""): self._show,
            ("DELETE", "instances", 2, ""): self._purge,
            ("POST", "instances", 4, "raiseevent"): self._raise_event,
            ("POST", "instances", 3, "terminate"): self._terminate,
            ("POST", "instances", 3, "suspend"): self._suspend,
            ("POST", "instances", 3, "resume"): self._resume,
            ("POST", "instances", 3, "rewind"): self._rewind,
            ("POST", "instances", 3, "restart"): self._restart,
            ("GET", "entities", 1, ""): self._list_entities,
            ("GET", "entities", 2, ""): self._list_entities,
            ("GET", "entities", 3, operation): self._read_entity,
            ("POST", "entities", 2, ""): self._signal_entity,
            ("POST", "entities", 3, operation): self._signal_entity,
            ("DELETE", "entities", 2, ""): self._delete_entity,
            ("DELETE", "entities", 3, operation): self._delete_entity,
        }
        return table.get((method, kind, count, operation))

    # Orchestrations

    async def _start(
        self, request: web.Request, name: str, instance_id: str | None = None
    ) -> web.Response:
        input_text = await _read_json_text(request)
        version = Query(request.query.items()).text("version")
        started = self._engine.start_instance(name, instance_id, input_text, version)
        return await self._answer_start(request, started)

    async def _answer_start(self, request: web.Request, instance_id: str) -> web.Response:
        """Answer at once, or with the end if the caller has said how long it would wait for it."""
        query = Query(request.query.items())
        timeout_s, pause_s = query.seconds("timeout"), query.seconds("pollingInterval")
        if timeout_s is None or pause_s is None:
            return self._accept(request, instance_id)
        if pause_s > timeout_s:
            raise RequestRefusedError(
                f"Total timeout {timeout_s} should be bigger than retry timeout {pause_s}"
            )
        row = await self._wait_for_end(instance_id, timeout_s)
        return self._accept(request, instance_id) if row is None else _to_end(row)

    async def _wait_for_end(self, instance_id: str, timeout_s: float) -> InstanceRow | None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[InstanceRow] = loop.create_future()

        def settle(row: InstanceRow) -> None:
            if not ended.done():
                ended.set_result(row)

        def note(row: InstanceRow) -> None:
            loop.call_soon_threadsafe(settle, row)

        self._engine.watch(instance_id, note)
        try:
            return await asyncio.wait_for(ended, timeout_s)
        except TimeoutError:
            return None
        finally:
            self._engine.unwatch(instance_id, note)

    def _accept(self, request: web.Request, instance_id: str) -> web.Response:
        links = self._links(request, instance_id)
        return web.json_response(
            links,
            status=HTTPStatus.ACCEPTED,
            headers={"Location": links["statusQueryGetUri"], "Retry-After": "10"},
        )

    def _links(self, request: web.Request, instance_id: str) -> dict[str, str]:
        origin = f"{request.scheme}://{request.host}/{PUBLIC_MOUNT}"
        base = f"{origin}/instances/{quote(instance_id, safe='')}"
        common = (
            f"taskHub={quote(self._hub_name)}&connection=AzureWebJobsStorage"
            f"&code={quote(self._key)}"
        )
        return {
            "id": instance_id,
            "statusQueryGetUri": f"{base}?{common}",
            "sendEventPostUri": f"{base}/raiseEvent/{{eventName}}?{common}",
            "terminatePostUri": f"{base}/terminate?reason={{text}}&{common}",
            "purgeHistoryDeleteUri": f"{base}?{common}",
            "restartPostUri": f"{base}/restart?{common}",
            "suspendPostUri": f"{base}/suspend?reason={{text}}&{common}",
            "resumePostUri": f"{base}/resume?reason={{text}}&{common}",
        }

    async def _show(self, request: web.Request, instance_id: str) -> web.Response:
        row = self._require(instance_id)
        query = Query(request.query.items())
        shows_input = query.flag("showInput", default=True)
        page = status_pages.to_status(row, shows_input=shows_input)
        if query.flag("showHistory") and row.status != "Pending":
            page["historyEvents"] = status_pages.to_history(
                self._store.read_history(instance_id),
                shows_input=shows_input,
                shows_output=query.flag("showHistoryOutput"),
            )
        if not row.is_over:
            return web.json_response(
                page,
                status=HTTPStatus.ACCEPTED,
                headers={"Location": str(request.url), "Retry-After": "5"},
            )
        failed = row.status == "Failed" and query.flag("returnInternalServerErrorOnFailure")
        return web.json_response(page, status=500 if failed else 200)

    async def _list(self, request: web.Request) -> web.Response:
        query = Query(request.query.items())
        rows, token = await self._find(
            request,
            prefix=query.text("instanceIdPrefix"),
            created_from=query.moment("createdTimeFrom"),
            created_to=query.moment("createdTimeTo"),
            statuses=query.statuses("runtimeStatus"),
        )
        shows_input = query.flag("showInput", default=True)
        pages = [status_pages.to_status(row, shows_input=shows_input) for row in rows]
        return web.json_response(pages, headers={TOKEN_HEADER: token})

    async def _find(self, request: web.Request, **filters: Any) -> tuple[list[InstanceRow], str]:
        """Read one page, and the token of the next one."""
        top = Query(request.query.items()).count("top", default=PAGE_SIZE)
        after = _from_token(request.headers.get(TOKEN_HEADER, ""))
        rows = await asyncio.to_thread(
            self._store.list_instances, after=after, limit=top + 1, **filters
        )
        token = _to_token(rows[top - 1].instance_id) if len(rows) > top else ""
        return rows[:top], token

    async def _purge(self, _: web.Request, instance_id: str) -> web.Response:
        self._engine.purge(instance_id, is_forced=self._codes is Codes.OF_2024)
        return web.json_response({"instancesDeleted": 1})

    async def _purge_many(self, request: web.Request) -> web.Response:
        query = Query(request.query.items())
        created_from = query.moment("createdTimeFrom")
        if created_from is None:
            return web.json_response(
                "Please provide value for 'createdTimeFrom' parameter.",
                status=HTTPStatus.BAD_REQUEST,
            )
        count = 0
        wanted = query.statuses("runtimeStatus") or sorted(OVER)
        after = ""
        while True:
            rows = await asyncio.to_thread(
                self._store.list_instances,
                created_from=created_from,
                created_to=query.moment("createdTimeTo"),
                statuses=[status for status in wanted if status in OVER] or ["-"],
                after=after,
            )
            if not rows:
                break
            for row in rows:
                try:
                    self._engine.purge(row.instance_id)
                    count += 1
                except RequestRefusedError:
                    # It was started anew or purged in the meantime.
                    continue
            after = rows[-1].instance_id
        if not count:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return web.json_response({"instancesDeleted": count})

    async def _raise_event(
        self, request: web.Request, instance_id: str, _: str, name: str
    ) -> web.Response:
        self._engine.require_live(instance_id)
        if request.content_type != "application/json":
            raise RequestRefusedError("Only application/json request content is supported")
        input_text = await _read_json_text(request)
        if input_text is None:
            raise RequestRefusedError("Invalid JSON content: there is none")
        self._engine.raise_event(instance_id, name, input_text)
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _terminate(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        self._engine.terminate(instance_id, Query(request.query.items()).text("reason"))
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _suspend(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        self._engine.suspend(instance_id, Query(request.query.items()).text("reason"))
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _resume(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        self._engine.resume(instance_id, Query(request.query.items()).text("reason"))
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _rewind(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        row = self._store.read_instance(instance_id)
        if row is None:
            return web.json_response(
                f'No orchestration with instance ID "{instance_id}" found.',
                status=HTTPStatus.NOT_FOUND,
            )
        if row.is_over and row.status != "Failed" and self._codes is Codes.OF_2024:
            return web.Response(status=HTTPStatus.GONE)
        if row.status != "Failed":
            raise NotFailedError(
                f"This orchestration has status {row.status}, but only orchestrations in the "
                '"Failed" state can be rewound.'
            )
        raise NotImplementedByHostError(
            "Rewind is not supported by the underlying storage provider."
        )

    async def _restart(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        row = self._store.read_instance(instance_id)
        if row is None:
            raise RequestRefusedError(
                f"An orchestrationInstance with the instanceId {instance_id} was not found."
            )
        query = Query(request.query.items())
        keeps_id = not query.flag("restartWithNewInstanceId", default=True)
        started = self._engine.start_instance(
            row.name, instance_id if keeps_id else None, row.input, row.version
        )
        return await self._answer_start(request, started)

    def _require(self, instance_id: str) -> InstanceRow:
        row = self._store.read_instance(instance_id)
        if row is None:
            raise InstanceNotFoundError(f"No instance with ID {instance_id} found.")
        return row

    # Entities

    async def _read_entity(self, request: web.Request, name: str, key: str) -> web.Response:
        if not self._engine.has_entity(name):
            raise UnknownFunctionError(
                f"The function '{name}' doesn't exist, is disabled, or is not an entity function."
            )
        key = "" if key == EMPTY_KEY else key
        row = self._store.read_instance(f"@{name.lower()}@{key}")
        held = json.loads(row.input or "{}") if row is not None else {}
        if not held.get("exists"):
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return web.Response(text=held.get("state") or "null", content_type="application/json")

    async def _list_entities(self, request: web.Request, name: str = "") -> web.Response:
        query = Query(request.query.items())
        rows, token = await self._find(
            request,
            prefix=f"@{name.lower()}@" if name else "@",
            updated_from=query.moment("lastOperationTimeFrom"),
            updated_to=query.moment("lastOperationTimeTo"),
        )
        fetches = query.flag("fetchState")
        pages = [status_pages.to_entity(row, fetches_state=fetches) for row in rows]
        return web.json_response(pages, headers={TOKEN_HEADER: token})

    async def _signal_entity(self, request: web.Request, name: str, key: str = "") -> web.Response:
        body = await request.text()
        if body and request.content_type == "application/json":
            input_text: str | None = await _read_json_text(request)
        else:
            input_text = json.dumps(body) if body else None
        operation = Query(request.query.items()).text("op")
        self._engine.signal_entity(name, key, operation, input_text)
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _delete_entity(self, _: web.Request, name: str, key: str = "") -> web.Response:
        self._engine.signal_entity(name, key, "delete", None)
        return web.Response(status=HTTPStatus.ACCEPTED)

    # Refusals

    def _to_refusal(self, error: RequestRefusedError) -> web.Response:
        is_old = self._codes is Codes.OF_2024
        status = (is_old and error.status_of_2024) or error.status
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return web.Response(status=status)
        if status == HTTPStatus.PRECONDITION_FAILED:
            return web.json_response(str(error), status=status)
        if status == HTTPStatus.CONFLICT:
            return web.json_response({"Message": str(error)}, status=status)
        # The SDK reads ExceptionMessage of every 400.
        body = {
            "Message": _MESSAGES.get(status, str(error)),
            "ExceptionMessage": str(error),
            "ExceptionType": error.exception_type,
            "StackTrace": None,
        }
        if str(error).startswith("Invalid JSON content"):
            body["Message"] = "Invalid JSON content"
        return web.json_response(body, status=status)


async def _read_json_text(request: web.Request) -> str | None:
    """Read a body that must be JSON, kept as it came; None for an empty one."""
    text = await request.text()
    if not text.strip():
        return None
    try:
        json.loads(text)
    except ValueError as error:
        raise RequestRefusedError(f"Invalid JSON content: {error}") from error
    return text.strip()


def _to_end(row: InstanceRow) -> web.Response:
    if row.status == "Completed":
        return web.json_response(status_pages.parse_or_keep(row.output))
    return web.json_response(status_pages.to_status(row, shows_input=True))


def _to_token(instance_id: str) -> str:
    return instance_id.encode().hex()


def _from_token(token: str) -> str:
    return bytes.fromhex(token).decode()
