import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from gpu_agent.host.machine import read_boot_clock
from gpu_agent.jobs.core import AgentCore
from gpu_agent.jobs.job import JobKey
from gpu_agent.jobs.job_store import JobStore
from gpu_agent.jobs.vm_service import AgentIdentity
from gpu_agent.wire import JobView, Submission
from gpu_agent.work.runner import Runner
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.engine import FakeEngine

LIMIT_S = 10.0


def make_submission(job_id: str = "a", fence: int = 1, epoch: int = 1, **more) -> Submission:
    return Submission(
        epoch=epoch,
        input_path=f"jobs/jobs/{job_id}/input.png",
        output_prefix=f"jobs/jobs/{job_id}/{fence}/",
        manifest_path=f"jobs/jobs/{job_id}/manifest.json",
        **more,
    )


class Bench(SimpleNamespace):
    """A core, a runner, a fake engine and a fake store, with the words that tests need."""

    core: AgentCore
    runner: Runner
    engine: FakeEngine
    store: FakeArtifactStore

    def start(self) -> None:
        self.runner.start()
        self.await_true(lambda: self.core.lifecycle.readiness().phase in ("ready", "failed"))

    def submit(
        self, job_id: str, fence: int = 1, epoch: int = 1, *, has_image: bool = True, **more
    ) -> JobView:
        asked = make_submission(job_id, fence, epoch, **more)
        if has_image:
            self.store.files[asked.input_path] = b"png"
        return self.core.jobs.submit(JobKey(job_id, fence), asked)[0]

    def await_over(self, job_id: str, fence: int = 1) -> JobView:
        end = time.monotonic() + LIMIT_S
        view = self.core.jobs.look(JobKey(job_id, fence))
        while view.state in ("queued", "running"):
            left_s = end - time.monotonic()
            assert left_s > 0, f"still {view.state}"
            view = self.core.polls.follow(JobKey(job_id, fence), after=view.seq, wait_s=left_s)
        return view

    def await_true(self, holds: Callable[[], bool]) -> None:
        pause = Event()
        for _ in range(int(LIMIT_S / 0.01)):
            if holds():
                return
            pause.wait(0.01)
        raise AssertionError("it never came true")


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Build agents without HTTP; all are ended after the test."""
    benches: list[Bench] = []

    def build(
        slots: int = 2,
        token: str = "token",
        cap: dict | None = None,
        clock=read_boot_clock,
        **more,
    ) -> Bench:
        engine, store = FakeEngine(), FakeArtifactStore()
        core = AgentCore(
            store=JobStore(tmp_path / "ledger", machine_boot="boot", wait_s=0.1),
            identity=AgentIdentity(
                vm_name="gpu-1",
                token=token,
                engine={"name": "fake", "version": "1", "description": "Makes nothing."},
                **(cap or {}),
            ),
            slots=slots,
            clock=clock,
        )
        given_up: list[str] = []
        runner = Runner(core=core, engine=engine, store=store, give_up=given_up.append, **more)
        benches.append(
            Bench(core=core, runner=runner, engine=engine, store=store, given_up=given_up)
        )
        return benches[-1]

    yield build
    for bench in benches:
        bench.core.lifecycle.end()
        bench.engine.may_finish.set()
        bench.engine.may_set_up.set()
        if any(thread.is_alive() for thread in bench.runner._threads):
            assert bench.runner.join(LIMIT_S)
        bench.core.lifecycle.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """Give a started agent with two slots."""
    bench = make_bench()
    bench.start()
    return bench
