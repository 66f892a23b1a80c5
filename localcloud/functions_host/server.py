"""The host as a whole: puts the parts together, serves HTTP, ends cleanly."""

import json
import logging
import secrets
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiohttp import web
from azure.functions.meta import Datum

from localcloud.clock import Clock
from localcloud.functions_host import bindings
from localcloud.functions_host.activities import ActivityRunner
from localcloud.functions_host.blob_source import connect_blobs
from localcloud.functions_host.blob_triggers import POLL_INTERVAL, BlobTriggers
from localcloud.functions_host.delays import Delays
from localcloud.functions_host.engine import Engine, EngineOptions
from localcloud.functions_host.errors import Codes
from localcloud.functions_host.host_settings import HostSettings
from localcloud.functions_host.http_triggers import HttpTriggers
from localcloud.functions_host.loader import SUPPORTED_TRIGGERS, App, AppFunction
from localcloud.functions_host.management import LOOPBACK_MOUNT, PUBLIC_MOUNT, ManagementApi
from localcloud.functions_host.store import Store
from localcloud.functions_host.timers import TimerTriggers, report
from localcloud.functions_host.worker import Worker

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 100 * 1024 * 1024
SHUTDOWN_GRACE_S = 1.0


class FunctionsHost:
    """One app, served on one port."""

    def __init__(
        self,
        app: App,
        app_dir: Path,
        store: Store,
        clock: Clock,
        settings: HostSettings,
        *,
        environ: Mapping[str, str],
        is_strict: bool = False,
        delivers_twice: bool = False,
        blob_poll_interval: timedelta = POLL_INTERVAL,
        codes: Codes = Codes.NEWEST,
        lateness: Delays | None = None,
    ) -> None:
        """Put the parts together; nothing runs yet.

        Args:
            app: The functions.
            app_dir: Their folder.
            store: Where everything is kept; closed by `stop`.
            clock: Source of all times.
            settings: What host.json says.
            environ: App settings.
            is_strict: Turn silent anomalies into failures.
            delivers_twice: Deliver activities and results twice.
            blob_poll_interval: Between two looks of a blob trigger.
            codes: Whose status codes the management API answers with.
            lateness: How late messages and activities are delivered; None for at once.

        Raises:
            AppLoadError: A route, schedule or blob path can't be read.
        """
        threads = environ.get("PYTHON_THREADPOOL_THREAD_COUNT")
        self._settings = settings
        self._app = app
        self._store = store
        self._key = store.read_or_write_fact("durabletask_key", secrets.token_urlsafe(32))
        self._worker = Worker(
            app, app_dir, threads=int(threads) if threads else None, is_strict=is_strict
        )
        self._engine = Engine(
            store,
            self._worker,
            clock,
            EngineOptions(
                max_entity_batch=settings.max_entity_batch,
                is_strict=is_strict,
                http_poll_interval=settings.http_poll_interval,
                delivers_twice=delivers_twice,
                lateness=lateness,
                replaces_live=settings.replaces_live_instances,
                default_version=settings.default_version,
            ),
        )
        self._activities = ActivityRunner(
            self._worker,
            self._engine,
            self._engine.alarm,
            clock,
            limit=settings.max_concurrent_activities,
            timeout=settings.function_timeout,
            delivers_twice=delivers_twice,
        )
        self._http = HttpTriggers(app, self._worker, settings.route_prefix)
        self._timers = TimerTriggers(self._worker, store, self._engine.alarm, clock, environ)
        self._blobs = BlobTriggers(
            self._worker,
            store,
            self._engine.alarm,
            clock,
            environ=environ,
            connect=connect_blobs,
            settings=settings,
            poll_interval=blob_poll_interval,
        )
        self._management = ManagementApi(
            self._engine, store, hub_name=settings.hub_name, key=self._key, codes=codes
        )
        self._runners: list[web.AppRunner] = []

    async def start(self, host: str, port: int) -> str:
        """Serve, and take up what was left undone.

        Args:
            host: Address to listen on.
            port: Port; 0 for a free one.

        Returns:
            The URL of the host, without a slash at the end.

        Raises:
            OSError: The port is taken.
        """
        self._warn_of_unsupported()
        web_app = web.Application(client_max_size=MAX_BODY_BYTES)
        web_app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            web_app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_GRACE_S,
            # A function gets a compressed body as it was sent.
            auto_decompress=False,
        )
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, host, port).start()
        port = runner.addresses[0][1]
        if not _is_reached_by_loopback(host):
            await web.TCPSite(runner, "127.0.0.1", port).start()
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        self._worker.start(
            bindings.to_client_text(
                public_url=url,
                rpc_url=f"http://127.0.0.1:{port}/{LOOPBACK_MOUNT}/",
                hub_name=self._settings.hub_name,
                key=self._key,
            )
        )
        self._engine.start(self._activities)
        self._timers.start()
        self._blobs.start()
        return url

    async def stop(self) -> None:
        """Free the port and end, within a few seconds whatever the functions do."""
        self._engine.stop()
        self._blobs.stop()
        self._worker.stop()
        for runner in self._runners:
            await runner.cleanup()
        self._store.close()

    @property
    def routes(self) -> list[tuple[str, str]]:
        """Methods and path of every HTTP function."""
        return self._http.routes

    def _warn_of_unsupported(self) -> None:
        for function in self._app.disabled.values():
            logger.warning("the function %s is disabled", function.name)
        for function in self._app.functions.values():
            if function.trigger_type not in SUPPORTED_TRIGGERS:
                logger.warning(
                    "the function %s has a %s, which this host never fires",
                    function.name,
                    function.trigger_type,
                )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            _ = request.url
        except ValueError:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text="the Host header is malformed")
        try:
            return await self._route(request)
        except web.RequestPayloadError as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=f"malformed body: {error}")

    async def _route(self, request: web.Request) -> web.StreamResponse:
        path = request.path.strip("/").lower()
        if path == PUBLIC_MOUNT or path.startswith(PUBLIC_MOUNT + "/"):
            return await self._management.handle(request, PUBLIC_MOUNT)
        if path == LOOPBACK_MOUNT or path.startswith(LOOPBACK_MOUNT + "/"):
            if not _is_loopback(request.remote):
                return web.Response(status=HTTPStatus.NOT_FOUND)
            return await self._management.handle(request, LOOPBACK_MOUNT)
        if path.startswith("admin/"):
            return await self._handle_admin(request, path.split("/"))
        return await self._http.handle(request)

    async def _handle_admin(self, request: web.Request, steps: list[str]) -> web.Response:
        if not _is_loopback(request.remote):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        if steps[1:] == ["host", "ping"]:
            return web.Response()
        if steps[1:] == ["host", "status"] and request.method == "GET":
            return web.json_response(
                {"id": self._settings.hub_name, "state": "Running", "version": "4.0.0-local"}
            )
        every = {**self._app.functions, **self._app.disabled}
        if steps[1:] == ["functions"] and request.method == "GET":
            return _to_json([self._describe(request, one) for one in every.values()])
        function = every.get(steps[2]) if steps[1:2] == ["functions"] and len(steps) == 3 else None
        if function is not None and request.method == "GET":
            return _to_json(self._describe(request, function))
        if function is not None and request.method == "POST":
            return await self._run_once(function, request)
        return web.Response(status=HTTPStatus.NOT_FOUND)

    def _describe(self, request: web.Request, function: AppFunction) -> dict[str, Any]:
        origin = f"{request.scheme}://{request.host}"
        route = self._http.paths.get(function.name)
        shown = [{**one, "direction": str(one["direction"]).lower()} for one in function.bindings]
        return {
            "name": function.name,
            "href": f"{origin}/admin/functions/{function.name}",
            "invoke_url_template": None if route is None else f"{origin}{route}",
            "language": "python",
            "config": {"name": function.name, "bindings": shown},
            "isDisabled": function.name.lower() in self._app.disabled,
        }

    async def _run_once(self, function: AppFunction, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.text() or "{}")
            given: Any = body.get("input", "")
        except (ValueError, LookupError, AttributeError):
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        if function.trigger_type == "timerTrigger":
            datum = Datum(json.dumps({"IsPastDue": False}), "json")
        elif function.trigger_type == "activityTrigger":
            datum = Datum(given if isinstance(given, str) else json.dumps(given), "string")
        else:
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        future = self._worker.submit(function, bindings.decode_trigger(function, datum))
        if function.trigger_type == "timerTrigger":
            future.add_done_callback(partial(report, function))
        return web.Response(status=HTTPStatus.ACCEPTED)


def _to_json(document: object) -> web.Response:
    # Methods and levels of the SDK's bindings are members of enumerations.
    return web.json_response(text=json.dumps(document, default=str))


def _is_reached_by_loopback(host: str) -> bool:
    return host in ("127.0.0.1", "0.0.0.0", "localhost", "")  # noqa: S104


def _is_loopback(remote: str | None) -> bool:
    try:
        return remote is not None and ip_address(remote).is_loopback
    except ValueError:
        return False
