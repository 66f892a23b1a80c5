"""What is no answer of an agent counts as none."""

import asyncio

import pytest
from aiohttp import web

from orchestrator.adapters.agent_client import HttpAgentClient
from orchestrator.domain.errors import AgentUnreachableError
from orchestrator.domain.pool import Candidate


def ask(body: str, call) -> None:
    """Serve one answer to everything and make a call against it."""

    async def go() -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=body, content_type="application/json")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        client = HttpAgentClient(token="t")
        try:
            await call(client, vm_at(runner.addresses[0][1]))
        finally:
            await client.close()
            await runner.cleanup()

    asyncio.run(go())


def vm_at(port: int) -> Candidate:
    return Candidate(
        name="gpu-1",
        resource_group="g",
        size="s",
        region="r",
        zone=None,
        price_per_hour_usd=1.0,
        agent_url=f"http://127.0.0.1:{port}",
    )


CALLS = {
    "submit": lambda client, vm: client.submit(vm, "j", 1, {}),
    "follow": lambda client, vm: client.follow(vm, "j", 1, after=0, wait_s=0.1),
    "stop": lambda client, vm: client.stop(vm, "j", 1),
    "ready": lambda client, vm: client.ready(vm),
    "lease": lambda client, vm: client.lease(vm, epoch=1, ttl_s=1.0),
    "drain": lambda client, vm: client.drain(vm, epoch=1, drain=1),
}


class TestHttpAgentClient:
    @pytest.mark.parametrize("name", CALLS)
    @pytest.mark.parametrize("body", ["{}", "[]", "no JSON", '{"ready_": true}'])
    def test_takes_a_wrong_answer_as_none(self, name: str, body: str):
        with pytest.raises(AgentUnreachableError):
            ask(body, CALLS[name])
