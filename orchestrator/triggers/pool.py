"""Routes of the pool and of the app's own health."""

import asyncio

import azure.functions as func

from orchestrator.domain.pool import PoolPolicy
from orchestrator.domain.pool.view import view_pool
from orchestrator.domain.ports import Clock, Durable, PoolCommands
from orchestrator.triggers.answers import json_answer, problem


class PoolRoutes:
    """Handlers of ``/api/pool`` and ``/api/health``."""

    def __init__(self, *, pool: PoolCommands, policy: PoolPolicy, clock: Clock) -> None:
        self._pool = pool
        self._policy = policy
        self._clock = clock

    async def get(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Show VMs, queue and money."""
        state = await asyncio.to_thread(self._pool.read)
        return json_answer(view_pool(state, self._clock(), self._policy))

    async def health(self, request: func.HttpRequest, client: Durable) -> func.HttpResponse:
        """Tell whether the app and its storage answer: 200 or 503."""
        try:
            await asyncio.to_thread(self._pool.read)
        except Exception as error:  # noqa: BLE001 - whatever it is, storage does not answer
            return problem(
                503,
                "storage_unavailable",
                f"The app runs, its storage does not answer ({type(error).__name__}).",
                retryable=True,
            )
        return json_answer({"status": "ok"})
