"""HTTP triggers: a request in, the function called, its answer out."""

import asyncio
import logging
from http.cookies import SimpleCookie

from aiohttp import web
from azure.functions.meta import Datum

from localcloud.functions_host import bindings
from localcloud.functions_host.errors import HostStoppingError
from localcloud.functions_host.loader import App, AppFunction
from localcloud.functions_host.routes import RouteTable
from localcloud.functions_host.worker import Worker

logger = logging.getLogger(__name__)


class HttpTriggers:
    """The HTTP functions of an app behind one prefix."""

    def __init__(self, app: App, worker: Worker, prefix: str) -> None:
        """Compile the routes.

        Raises:
            AppLoadError: A route can't be read.
        """
        self._worker = worker
        self._prefix = prefix
        self._table: RouteTable[AppFunction] = RouteTable()
        self.routes: list[tuple[str, str]] = []
        self.paths: dict[str, str] = {}
        for function in app.functions.values():
            if function.trigger_type == "httpTrigger":
                self._add(function)

    def _add(self, function: AppFunction) -> None:
        template = str(function.trigger.get("route") or function.name)
        methods = [
            str(getattr(method, "value", method)).upper()
            for method in function.trigger.get("methods") or ()
        ]
        self._table.add(template, methods, function)
        path = "/".join(part for part in (self._prefix, template.strip("/")) if part)
        self.routes.append((",".join(methods) or "*", f"/{path}"))
        self.paths[function.name] = f"/{path}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, 404 if no function has its path and method."""
        path = request.path.strip("/")
        if self._prefix:
            depth = self._prefix.count("/") + 1
            head, path = path.split("/")[:depth], "/".join(path.split("/")[depth:])
            if "/".join(head).lower() != self._prefix.lower():
                return web.Response(status=404)
        found = self._table.find(request.method, path)
        if found is None:
            return web.Response(status=404)
        function, params = found
        body = await request.read()
        if body and not request.content_length:
            # Azure's host reads a body only if its length is announced (issues 4926 and 7930).
            logger.warning("%s is not given a chunked body, as in Azure", function.name)
            body = b""
        return await self._call(function, _to_datum(request, params, body))

    async def _call(self, function: AppFunction, datum: Datum) -> web.Response:
        try:
            future = self._worker.submit(function, bindings.decode_trigger(function, datum))
            result = await asyncio.wrap_future(future)
            return to_response(result)
        except HostStoppingError:
            return web.Response(status=503)
        except Exception:
            logger.exception("the HTTP function %s failed", function.name)
            return web.Response(status=500)


def to_response(result: object) -> web.Response:
    """Turn what a function returned into an answer.

    Raises:
        TypeError: It returned None or something else that is no answer.
    """
    try:
        datum = bindings.encode_result("http", result)
    except NotImplementedError as error:
        raise TypeError(
            f"an HTTP function must return a str or an HttpResponse, not {type(result).__name__}"
        ) from error
    if datum.type == "string":
        return web.Response(text=datum.value, content_type="text/plain", charset="utf-8")
    parts = datum.value
    response = web.Response(
        status=int(parts["status_code"].value), body=bytes(parts["body"].value or b"")
    )
    for name, value in parts["headers"].items():
        response.headers[name] = value.value
    for cookie in parts["cookies"] or ():
        _add_cookies(response, cookie)
    return response


def _add_cookies(response: web.Response, cookie: SimpleCookie) -> None:
    for morsel in cookie.values():
        response.headers.add("Set-Cookie", morsel.OutputString())


def _to_datum(request: web.Request, params: dict[str, str], body: bytes) -> Datum:
    return bindings.to_http_datum(
        request.method,
        str(request.url),
        [(name, _to_text(value)) for name, value in request.headers.items()],
        request.query.items(),
        params,
        body,
    )


def _to_text(value: str) -> str:
    """Read a header's bytes as Latin-1 where they are not UTF-8; no text can hold them as is."""
    data = value.encode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
