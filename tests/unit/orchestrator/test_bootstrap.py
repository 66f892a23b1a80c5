"""What joins the functions to the parts behind them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest

from orchestrator import bootstrap
from orchestrator.adapters.durable_client import DurableClient
from orchestrator.domain.names import Activity
from orchestrator.http.answers import Route

ROOT = Path(__file__).parents[3]
BINDINGS = json.dumps({"taskHubName": "hub", "creationUrls": {}, "managementUrls": {}})


class TestFunctions:
    @pytest.mark.parametrize("kind", ["route", "activity", "timer"])
    def test_get_the_client_that_escapes(self, kind: str):
        clients: list[Any] = []

        async def handle(_: Any, client: Any) -> Any:
            clients.append(client)
            return func.HttpResponse()

        async def sweep(client: Any) -> None:
            clients.append(client)

        app = df.DFApp()
        if kind == "route":
            bootstrap._add_route(app, Route("a", "GET", "a", handle))
        elif kind == "activity":
            bootstrap._add_pool_activity(app, Activity.TICK_POOL, handle)
        else:
            bootstrap._add_timer(app, "a", "0 * * * * *", sweep)
        (function,) = app.get_functions()
        request = func.HttpRequest("GET", "https://x.invalid/a", body=b"")
        first = {"route": {"req": request}, "activity": {"order": {}}, "timer": {"timer": None}}

        asyncio.run(function.get_user_function()(client=BINDINGS, **first[kind]))

        assert [type(client) for client in clients] == [DurableClient]


class TestApp:
    def test_has_no_decoder_in_its_process(self):
        """What could read a stranger's picture is not even imported."""
        program = (
            "import sys, orchestrator.bootstrap\n"
            "print([name for name in ('PIL', 'pi_heif') if name in sys.modules])"
        )

        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
        )

        assert ended.stdout.strip() == "[]"
