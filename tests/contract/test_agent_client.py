"""What every `AgentClient` keeps: the fake, and the real one against the real agent over HTTP."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from gpu_agent.host.machine import read_boot_clock
from gpu_agent.http.app import create_app
from gpu_agent.http.metrics import Metrics
from gpu_agent.jobs.core import AgentCore
from gpu_agent.jobs.job import JobKey
from gpu_agent.jobs.job_store import JobStore
from gpu_agent.jobs.run import SetUp
from gpu_agent.jobs.vm_service import AgentIdentity
from gpu_agent.wire import AgentStatus, JobView, Readiness, Stage, Submission
from localcloud.ports import choose_free_ports
from orchestrator.adapters.agent_client import HttpAgentClient
from orchestrator.domain.errors import AgentError, AgentUnreachableError
from orchestrator.domain.pool import Candidate
from orchestrator.domain.ports import AgentClient
from tests.fakes.agent_client import FakeAgentClient
from tests.unit.orchestrator.parts import make_candidate

TOKEN = "token"
SLOTS = 2
CAP_S = 43200.0
READY = SetUp(phase="ready", percent=100, detail="Ready.")


class Agent:
    """An agent of either kind, and its client.

    All calls of a test are made on one event loop, as the function app makes them.
    """

    def __init__(self, client: AgentClient, vm: Candidate, loop: asyncio.Runner) -> None:
        self.client = client
        self.vm = vm
        self._loop = loop

    def call(self, verb: str, *arguments: Any, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._loop.run(
            getattr(self.client, verb)(self.vm, *arguments, **more)
        )
        return answer

    def submit(self, job_id: str = "a", fence: int = 1, epoch: int = 1) -> JobView:
        submission = Submission(
            epoch=epoch,
            input_path=f"jobs/{job_id}/input.png",
            output_prefix=f"jobs/{job_id}/{fence}/",
            manifest_path=f"jobs/{job_id}/manifest.json",
        )
        return JobView.from_json(self.call("submit", job_id, fence, submission.to_json()))

    def refusal(self, verb: str, *arguments: Any, **more: Any) -> AgentError:
        with pytest.raises(AgentError) as caught:
            self.call(verb, *arguments, **more)
        return caught.value

    def refused_submit(self, *arguments: Any) -> AgentError:
        with pytest.raises(AgentError) as caught:
            self.submit(*arguments)
        return caught.value

    advance: Callable[[str, int, Stage], None]
    succeed: Callable[[str, int, dict[str, Any]], None]
    set_up_again: Callable[[], None]


@pytest.fixture(params=["fake", "http"])
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Agent]:
    """Give a ready agent of each kind with two slots."""
    with asyncio.Runner() as loop:
        if request.param == "fake":
            yield fake_agent(loop)
        else:
            yield from real_agent(loop, tmp_path)


def fake_agent(loop: asyncio.Runner) -> Agent:
    client = FakeAgentClient()
    behind = client.agent()
    behind.slots = SLOTS
    behind.cap = {"cap_left_s": CAP_S, "max_uptime_s": CAP_S}
    agent = Agent(client, make_candidate("gpu-1"), loop)
    agent.advance = behind.advance
    agent.succeed = behind.succeed
    agent.set_up_again = lambda: setattr(behind, "phase", "warming_up")
    return agent


def real_agent(loop: asyncio.Runner, folder: Path) -> Iterator[Agent]:
    """Serve the agent's own app without its workers: the test says how far a job is."""
    core = AgentCore(
        store=JobStore(folder / "ledger", machine_boot="boot", wait_s=0.1),
        identity=AgentIdentity(
            vm_name="gpu-1",
            token=TOKEN,
            engine={"name": "none", "version": "1", "description": "Makes nothing."},
            machine_boot="boot-1",
            max_uptime_s=CAP_S,
            booted_at=read_boot_clock(),
        ),
        slots=SLOTS,
    )
    core.lifecycle.report_set_up(READY)
    app = create_app(core=core, metrics=Metrics(), tokens=[TOKEN])
    server = make_server("127.0.0.1", 0, app, threaded=True)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    client = HttpAgentClient(token=TOKEN)
    vm = replace(make_candidate("gpu-1"), agent_url=f"http://127.0.0.1:{server.port}")
    agent = Agent(client, vm, loop)

    def advance(job_id: str, fence: int, stage: Stage) -> None:
        begin(job_id, fence)
        core.jobs.advance(JobKey(job_id, fence), stage, 0.0)

    def succeed(job_id: str, fence: int, manifest: dict[str, Any]) -> None:
        begin(job_id, fence)
        core.jobs.succeed(JobKey(job_id, fence), manifest)

    def begin(job_id: str, fence: int) -> None:
        if core.jobs.look(JobKey(job_id, fence)).state == "queued":
            assert core.runs.take() is not None

    agent.advance, agent.succeed = advance, succeed
    agent.set_up_again = lambda: core.lifecycle.report_set_up(
        SetUp(phase="warming_up", percent=50, detail="It warms up.")
    )
    try:
        yield agent
    finally:
        loop.run(client.close())
        core.lifecycle.end()
        server.shutdown()
        serving.join(10.0)
        server.server_close()
        core.lifecycle.close()


class TestSubmit:
    def test_takes_a_job_and_joins_it_the_second_time(self, agent: Agent):
        first, again = agent.submit(), agent.submit()

        assert first == again
        assert (first.job_id, first.fence, first.state) == ("a", 1, "queued")

    def test_a_newer_fence_cancels_the_older_run(self, agent: Agent):
        agent.submit("a", 1)
        agent.submit("a", 2)

        view = JobView.from_json(agent.call("follow", "a", 1, after=0, wait_s=0.0))
        assert view.state == "cancelled"

    def test_refuses_an_older_fence(self, agent: Agent):
        agent.submit("a", 2)

        refusal = agent.refused_submit("a", 1)

        assert (refusal.code, refusal.status) == ("stale_fence", 409)

    def test_refuses_an_older_epoch(self, agent: Agent):
        agent.call("lease", epoch=5, ttl_s=60.0)

        assert agent.refused_submit("a", 1, 4).code == "stale_epoch"

    def test_refuses_more_than_its_slots(self, agent: Agent):
        agent.submit("a")
        agent.submit("b")

        refusal = agent.refused_submit("c")

        assert (refusal.code, refusal.status) == ("full", 429)

    def test_refuses_while_it_sets_up(self, agent: Agent):
        agent.set_up_again()

        assert agent.refused_submit("a").code == "not_ready"

    def test_a_newer_epoch_cancels_what_is_older(self, agent: Agent):
        agent.submit("a", 1, 1)

        agent.submit("b", 1, 2)

        view = JobView.from_json(agent.call("follow", "a", 1, after=0, wait_s=0.0))
        assert view.state == "cancelled"


class TestFollow:
    def test_gives_what_has_changed(self, agent: Agent):
        seen = agent.submit()
        agent.advance("a", 1, Stage.SHAPE)

        view = JobView.from_json(agent.call("follow", "a", 1, after=seen.seq, wait_s=5.0))

        assert (view.state, view.stage) == ("running", "shape")
        assert view.seq > seen.seq

    def test_gives_the_manifest_of_one_that_succeeded(self, agent: Agent):
        agent.submit()
        agent.succeed("a", 1, {"artifacts": []})

        view = JobView.from_json(agent.call("follow", "a", 1, after=0, wait_s=5.0))

        assert (view.state, view.manifest, view.percent) == ("succeeded", {"artifacts": []}, 100)

    def test_knows_no_other(self, agent: Agent):
        refusal = agent.refusal("follow", "a", 1, after=0, wait_s=0.0)

        assert (refusal.code, refusal.status) == ("unknown_job", 404)


class TestStop:
    def test_cancels_and_says_so_again(self, agent: Agent):
        agent.submit()

        views = [JobView.from_json(agent.call("stop", "a", 1)) for _ in range(2)]

        assert [view.state for view in views] == ["cancelled", "cancelled"]

    def test_leaves_a_tombstone_that_a_late_submission_cannot_pass(self, agent: Agent):
        agent.call("stop", "a", 1)

        assert agent.submit("a", 1).state == "cancelled"


class TestReady:
    def test_says_so(self, agent: Agent):
        assert Readiness.from_json(agent.call("ready")).ready

    def test_answers_also_while_it_is_not(self, agent: Agent):
        agent.set_up_again()

        readiness = Readiness.from_json(agent.call("ready"))

        assert (readiness.ready, readiness.phase) == (False, "warming_up")


class TestLease:
    def test_tells_what_the_agent_holds(self, agent: Agent):
        agent.submit("a", 1, 3)

        answer = agent.call("lease", epoch=3, ttl_s=60.0)

        held = [(job["job_id"], job["fence"], job["state"]) for job in answer["jobs"]]
        assert held == [("a", 1, "queued")]
        assert (answer["epoch"], answer["phase"]) == (3, "ready")
        assert answer["machine_boot"] == "boot-1"

    def test_tells_when_the_vm_is_switched_off(self, agent: Agent):
        answer = agent.call("lease", epoch=3, ttl_s=60.0)

        assert 0 < answer["cap_left_s"] <= answer["max_uptime_s"] == CAP_S

    def test_refuses_an_older_epoch(self, agent: Agent):
        agent.call("lease", epoch=5, ttl_s=60.0)

        assert agent.refusal("lease", epoch=4, ttl_s=60.0).code == "stale_epoch"


class TestDrain:
    def test_closes_the_door_and_gives_a_receipt(self, agent: Agent):
        answer = agent.call("drain", epoch=1, drain=1)

        assert answer["drained"] is True
        assert answer["receipt"]
        assert agent.refused_submit("a", 1, 1).code == "draining"

    def test_gives_the_same_answer_to_the_same_number(self, agent: Agent):
        first, again = agent.call("drain", epoch=1, drain=1), agent.call("drain", epoch=1, drain=1)

        assert first == again

    def test_is_refused_while_a_job_is_held(self, agent: Agent):
        agent.submit("a", 1, 1)

        answer = agent.call("drain", epoch=1, drain=1)

        assert (answer["drained"], answer["receipt"], answer["jobs"]) == (False, None, ["a"])

    def test_a_newer_epoch_opens_the_door_again(self, agent: Agent):
        agent.call("drain", epoch=1, drain=1)

        agent.call("lease", epoch=2, ttl_s=60.0)

        assert agent.submit("a", 1, 2).state == "queued"


class TestHttpAgentClient:
    def call(self, vm: Candidate, token: str = TOKEN) -> dict[str, Any]:
        async def go() -> dict[str, Any]:
            client = HttpAgentClient(token=token)
            try:
                return await client.lease(vm, epoch=1, ttl_s=60.0)
            finally:
                await client.close()

        return asyncio.run(go())

    def test_tells_that_nobody_answers(self):
        (port,) = choose_free_ports(1)
        vm = replace(make_candidate("gpu-1"), agent_url=f"http://127.0.0.1:{port}")

        with pytest.raises(AgentUnreachableError):
            self.call(vm)

    def test_tells_that_its_token_is_refused(self, tmp_path: Path):
        with asyncio.Runner() as loop:
            agents = real_agent(loop, tmp_path)
            agent = next(agents)
            stranger = HttpAgentClient(token="another")

            with pytest.raises(AgentError) as caught:
                loop.run(stranger.lease(agent.vm, epoch=1, ttl_s=60.0))

            loop.run(stranger.close())
            agents.close()
        assert (caught.value.code, caught.value.status) == ("unauthorized", 401)

    def test_speaks_the_wires_own_shapes(self, tmp_path: Path):
        with asyncio.Runner() as loop:
            agents = real_agent(loop, tmp_path)
            agent = next(agents)

            status = AgentStatus.from_json(agent.call("lease", epoch=1, ttl_s=60.0))

            agents.close()
        assert status.lease_left_s is not None
        # In seconds: less than was asked for, and by less than a busy machine takes for an answer.
        assert 30.0 < status.lease_left_s <= 60.0
