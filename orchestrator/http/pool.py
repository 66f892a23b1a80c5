"""Routes of the pool and of the app's own health."""

from http import HTTPStatus
from typing import Any

import azure.functions as func

from orchestrator.domain.errors import InvalidRequestError, NothingToResetError, UnknownJobError
from orchestrator.domain.json_values import shown
from orchestrator.domain.pool import PoolPolicy, Prewarm, ResetVm
from orchestrator.domain.pool.view import view_pool
from orchestrator.domain.ports import Clock, Durable, Intake
from orchestrator.http.answers import Route, json_answer, problem
from orchestrator.http.request import read_small_json
from orchestrator.lanes import RESERVE
from orchestrator.services.pool import PoolService

DEFAULT_PREWARM_S = 900
MAX_PREWARM_S = 86_400
"""A day: what is wanted for longer is a warm window in the settings."""


class PoolRoutes:
    """Handlers of ``/api/pool`` and ``/api/health``."""

    def __init__(
        self, *, pool: PoolService, policy: PoolPolicy, clock: Clock, intake: Intake
    ) -> None:
        self._intake = intake
        self._pool = pool
        self._policy = policy
        self._clock = clock

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        return (
            Route("get_pool", "GET", "pool", self.get),
            Route("prewarm_pool", "POST", "pool/prewarm", self.prewarm),
            Route("reset_vm", "POST", "pool/vms/{name}/reset", self.reset),
            Route("health", "GET", "health", self.health, is_open=True),
        )

    async def get(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Show VMs, queue and money."""
        state = await RESERVE.run(self._pool.read)
        return json_answer(view_pool(state, self._clock(), self._policy))

    async def prewarm(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Wake VMs ahead of a known peak, and keep them warm for a while: 202."""
        body = {name: value for name, value in _json_body(request).items() if value is not None}
        unknown = set(body) - {"vms", "for_s"}
        if unknown:
            raise InvalidRequestError(
                f"unknown field '{shown(min(unknown))}'. Allowed: vms, for_s."
            )
        vms, for_s = body.get("vms", 1), body.get("for_s", DEFAULT_PREWARM_S)
        vms = int(vms) if isinstance(vms, float) and vms.is_integer() else vms
        most = len(self._policy.candidates)
        if not isinstance(vms, int) or isinstance(vms, bool) or not 0 <= vms <= most:
            raise InvalidRequestError(f"vms must be a whole number from 0 to {most}")
        if isinstance(for_s, bool) or not isinstance(for_s, int | float):
            raise InvalidRequestError("for_s must be a number of seconds")
        if not 1 <= for_s <= MAX_PREWARM_S:
            raise InvalidRequestError(f"for_s must be from 1 to {MAX_PREWARM_S}")
        command = Prewarm(vms=vms, until=self._clock() + for_s)
        reply = await self._pool.apply(command, client)
        body = {"vms": reply["vms"], "until": reply["until"]}
        return json_answer(body, status=HTTPStatus.ACCEPTED)

    async def reset(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Let a broken or cooling VM be tried again: 202; 404; 409 if it is neither."""
        name = request.route_params.get("name", "")
        if self._policy.candidate(name) is None:
            raise UnknownJobError(f"there is no VM {name!r}")
        reply = await self._pool.apply(ResetVm(vm=name), client)
        if reply["answer"] == "stale":
            raise NothingToResetError(f"VM {name!r} is neither broken nor cooling down")
        state = await RESERVE.run(self._pool.read)
        return json_answer(
            view_pool(state, self._clock(), self._policy), status=HTTPStatus.ACCEPTED
        )

    async def health(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Tell whether the app, its storage and its intake are well: 200 or 503."""
        try:
            await RESERVE.run(self._pool.read)
        except Exception as error:  # noqa: BLE001 - whatever it is, storage does not answer
            return problem(
                503,
                "storage_unavailable",
                f"The app runs, its storage does not answer ({type(error).__name__}).",
                retryable=True,
            )
        await self._intake.probe()
        if self._intake.is_failing:
            return problem(
                503,
                "intake_failing",
                "The app runs; the processes that read images can't be started.",
                retryable=True,
            )
        return json_answer({"status": "ok"})


def _json_body(request: func.HttpRequest) -> dict[str, Any]:
    body = read_small_json(
        request, default={}, otherwise="the body must be JSON", code="body_unreadable"
    )
    if not isinstance(body, dict):
        raise InvalidRequestError("the JSON body must be an object", code="body_unreadable")
    return body
