"""What Azure does not have: the meter that the tests believe, and faults to order."""

import json
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from localcloud.arm.arm_routes import reply_with_error
from localcloud.arm.errors import ArmError, bad_request
from localcloud.arm.region import Region
from localcloud.arm.rendering import render_meter
from localcloud.arm.request_log import RequestLog
from localcloud.arm.throttle import Throttle


class LocalRoutes:
    """Answers requests under ``/_local``."""

    def __init__(
        self, region: Region, throttle: Throttle, clock: Callable[[], float], log: RequestLog
    ) -> None:
        """Answer for a region.

        Args:
            region: Where the VMs are.
            throttle: Knows how many requests it refused.
            clock: Gives epoch seconds.
            log: Remembers the latest requests.
        """
        self._region = region
        self._throttle = throttle
        self._clock = clock
        self._log = log

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/_local/meter", self.read_meter)
        app.router.add_get("/_local/requests", self.list_requests)
        app.router.add_get("/_local/faults", self.list_faults)
        app.router.add_post("/_local/faults", self.add_fault)
        app.router.add_delete("/_local/faults", self.clear_faults)
        app.router.add_delete(r"/_local/faults/{id:\d+}", self.clear_faults)

    async def read_meter(self, _: web.Request) -> web.Response:
        """Tell what each VM has cost and in which power states it was."""
        now = self._clock()
        vms = {spec.name: render_meter(vm, spec, now=now) for vm, spec in self._region.list_vms()}
        return web.json_response({"now": now, "vms": vms, "throttled": self._throttle.refused})

    async def list_requests(self, _: web.Request) -> web.Response:
        """List the latest requests and how each was answered, oldest first."""
        return web.json_response({"requests": self._log.list()})

    async def list_faults(self, _: web.Request) -> web.Response:
        """List the faults that are set."""
        return web.json_response({"faults": [fault.to_json() for fault in self._region.faults]})

    async def add_fault(self, request: web.Request) -> web.Response:
        """Set a fault."""
        # A web page can't send this type to another origin without asking.
        if request.content_type != "application/json":
            return reply_with_error(bad_request("InvalidFault", "send application/json"))
        try:
            fault = self._region.add_fault(await request.json())
        except json.JSONDecodeError:
            return reply_with_error(bad_request("InvalidFault", "the body is no JSON"))
        except ArmError as error:
            return reply_with_error(error)
        return web.json_response(fault.to_json(), status=HTTPStatus.CREATED)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Clear one fault, or all."""
        fault_id = request.match_info.get("id")
        try:
            self._region.clear_faults(int(fault_id) if fault_id else None)
        except ArmError as error:
            return reply_with_error(error)
        return web.Response(status=HTTPStatus.NO_CONTENT)
