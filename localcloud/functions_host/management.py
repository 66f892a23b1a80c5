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
    InstanceNotFoundError,
    NotImplementedByHostError,
    RequestRefusedError,
)
from localcloud.functions_host.moments import from_query_text
from localcloud.functions_host.store import OVER, InstanceRow, Store

logger = logging.getLogger(__name__)

PUBLIC_MOUNT = "runtime/webhooks/durabletask"
LOOPBACK_MOUNT = "durabletask"
PAGE_SIZE = 100
TOKEN_HEADER = "x-ms-continuation-token"  # noqa: S105 - a header's name

_Handler = Callable[..., Awaitable[web.Response]]


class ManagementApi:
    """One handler for both mounts: the public one asks for a key, the loopback one does not."""

    def __init__(self, engine: Engine, store: Store, *, hub_name: str, key: str) -> None:
        """Bind the API to an engine.

        Args:
            engine: Does what is asked.
            store: Is read for what is shown.
            hub_name: Task hub, for links.
            key: System key of the public mount.
        """
        self._engine = engine
        self._store = store
        self._hub_name = hub_name
        self._key = key

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
            return _to_refusal(error)
        except ValueError as error:
            return _to_refusal(RequestRefusedError(str(error)))

    def _has_key(self, request: web.Request) -> bool:
        given = request.headers.get("x-functions-key") or request.query.get("code", "")
        return secrets.compare_digest(given.encode(), self._key.encode())

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
            ("POST", "entities", 3, operation): self._signal_entity,
            ("DELETE", "entities", 3, operation): self._delete_entity,
        }
        return table.get((method, kind, count, operation))

    # Orchestrations

    async def _start(
        self, request: web.Request, name: str, instance_id: str | None = None
    ) -> web.Response:
        input_text = await _read_json_text(request)
        started = self._engine.start_instance(
            name, instance_id, input_text, request.query.get("version", "")
        )
        timeout = request.query.get("timeout")
        if timeout is not None:
            row = await self._wait_for_end(started, float(timeout))
            if row is not None:
                return _to_end(row)
        return self._accept(request, started)

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
        query = request.query
        page = status_pages.to_status(row, shows_input=_flag(query.get("showInput"), default=True))
        if _flag(query.get("showHistory")):
            page["historyEvents"] = status_pages.to_history(
                self._store.read_history(instance_id),
                shows_input=_flag(query.get("showInput"), default=True),
                shows_output=_flag(query.get("showHistoryOutput")),
            )
        if not row.is_over:
            return web.json_response(
                page,
                status=HTTPStatus.ACCEPTED,
                headers={"Location": str(request.url), "Retry-After": "5"},
            )
        wants_500 = _flag(query.get("returnInternalServerErrorOnFailure"))
        failed = row.status == "Failed" and wants_500
        return web.json_response(page, status=500 if failed else 200)

    async def _list(self, request: web.Request) -> web.Response:
        rows, token = await self._query(request)
        shows_input = _flag(request.query.get("showInput"), default=True)
        pages = [status_pages.to_status(row, shows_input=shows_input) for row in rows]
        return web.json_response(pages, headers={TOKEN_HEADER: token})

    async def _query(
        self, request: web.Request, prefix: str = "", field: str = "created", stem: str = ""
    ) -> tuple[list[InstanceRow], str]:
        query = request.query
        top = int(query.get("top") or PAGE_SIZE)
        stem = stem or f"{field}Time"
        limits = {
            f"{field}_{end}": None
            if not query.get(f"{stem}{end.capitalize()}")
            else from_query_text(query[f"{stem}{end.capitalize()}"])
            for end in ("from", "to")
        }
        rows = await asyncio.to_thread(
            self._store.list_instances,
            statuses=_split(query.get("runtimeStatus")),
            prefix=prefix or query.get("instanceIdPrefix", ""),
            after=_from_token(request.headers.get(TOKEN_HEADER, "")),
            limit=top + 1,
            **limits,
        )
        token = _to_token(rows[top - 1].instance_id) if len(rows) > top else ""
        return rows[:top], token

    async def _purge(self, request: web.Request, instance_id: str) -> web.Response:
        self._engine.purge(instance_id)
        return web.json_response({"instancesDeleted": 1})

    async def _purge_many(self, request: web.Request) -> web.Response:
        if not request.query.get("createdTimeFrom"):
            raise RequestRefusedError("Please provide value for 'createdTimeFrom' parameter.")
        count = 0
        created_to = request.query.get("createdTimeTo")
        wanted = _split(request.query.get("runtimeStatus")) or sorted(OVER)
        after = ""
        while True:
            rows = await asyncio.to_thread(
                self._store.list_instances,
                created_from=from_query_text(request.query["createdTimeFrom"]),
                created_to=from_query_text(created_to) if created_to else None,
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
        return web.json_response({"instancesDeleted": count}, status=200 if count else 404)

    async def _raise_event(
        self, request: web.Request, instance_id: str, _: str, name: str
    ) -> web.Response:
        if request.can_read_body and request.content_type != "application/json":
            raise RequestRefusedError("Only application/json request content is supported")
        input_text = await _read_json_text(request)
        self._engine.raise_event(instance_id, name, input_text or "null")
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _terminate(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        self._engine.terminate(instance_id, request.query.get("reason", ""))
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _suspend(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        self._engine.suspend(instance_id, request.query.get("reason", ""))
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _resume(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        self._engine.resume(instance_id, request.query.get("reason", ""))
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _rewind(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        self._require(instance_id)
        raise NotImplementedByHostError("rewind is not supported by this host")

    async def _restart(self, request: web.Request, instance_id: str, _: str) -> web.Response:
        row = self._store.read_instance(instance_id)
        if row is None:
            raise RequestRefusedError(
                f"An orchestrationInstance with the instanceId {instance_id} was not found."
            )
        keeps_id = not _flag(request.query.get("restartWithNewInstanceId"), default=True)
        started = self._engine.start_instance(
            row.name, instance_id if keeps_id else None, row.input, row.version
        )
        return self._accept(request, started)

    def _require(self, instance_id: str) -> InstanceRow:
        row = self._store.read_instance(instance_id)
        if row is None:
            raise InstanceNotFoundError(f"No instance with ID {instance_id} found.")
        return row

    # Entities

    async def _read_entity(self, request: web.Request, name: str, key: str) -> web.Response:
        row = self._store.read_instance(f"@{name.lower()}@{key}")
        held = json.loads(row.input or "{}") if row is not None else {}
        if not held.get("exists"):
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return web.Response(text=held.get("state") or "null", content_type="application/json")

    async def _list_entities(self, request: web.Request, name: str = "") -> web.Response:
        prefix = f"@{name.lower()}@" if name else "@"
        rows, token = await self._query(request, prefix, "updated", "lastOperationTime")
        fetches = _flag(request.query.get("fetchState"))
        pages = [status_pages.to_entity(row, fetches_state=fetches) for row in rows]
        return web.json_response(pages, headers={TOKEN_HEADER: token})

    async def _signal_entity(self, request: web.Request, name: str, key: str) -> web.Response:
        body = await request.text()
        if body and request.content_type == "application/json":
            input_text: str | None = await _read_json_text(request)
        else:
            input_text = json.dumps(body) if body else None
        self._engine.signal_entity(name, key, request.query.get("op", ""), input_text)
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _delete_entity(self, request: web.Request, name: str, key: str) -> web.Response:
        self._engine.signal_entity(name, key, "delete", None)
        return web.Response(status=HTTPStatus.ACCEPTED)


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


def _to_refusal(error: RequestRefusedError) -> web.Response:
    if isinstance(error, InstanceNotFoundError):
        return web.Response(status=error.status)
    message = "Invalid JSON content" if str(error).startswith("Invalid JSON") else "Bad request"
    body = {
        "Message": message if error.status == HTTPStatus.BAD_REQUEST else str(error),
        "ExceptionMessage": str(error),
        "ExceptionType": error.exception_type,
        "StackTrace": None,
    }
    return web.json_response(body, status=error.status)


def _to_end(row: InstanceRow) -> web.Response:
    if row.status == "Completed":
        return web.Response(text=row.output or "null", content_type="application/json")
    page: dict[str, Any] = status_pages.to_status(row, shows_input=True)
    return web.json_response(page, status=500 if row.status == "Failed" else 200)


def _flag(text: str | None, *, default: bool = False) -> bool:
    return default if text is None or text == "" else text.lower() == "true"


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _to_token(instance_id: str) -> str:
    return instance_id.encode().hex()


def _from_token(token: str) -> str:
    return bytes.fromhex(token).decode()
