"""Faults of the engine's processes, of the disk and of the store, seen over HTTP.

The agent is the real process with its real child processes; only the model is a fake one.
"""

import io
import json
import signal
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests
import trimesh

from localcloud.ports import choose_free_ports
from tests.fakes.gpu_model import Fault, Folder
from tests.integration.gpu_agent.conftest import AgentProcess

SLOTS = 4


class LanesAgent(AgentProcess):
    """The agent with a fake model that a test steers."""

    def __init__(self, folder, port: int) -> None:
        self.fake = Folder(folder / "fake")
        super().__init__(
            folder,
            port,
            module="tests.integration.gpu_agent.lanes_agent",
            FAKE_GPU=str(folder / "fake"),
            GPU_AGENT_SLOTS=str(SLOTS),
            GPU_ENGINE_WEIGHTS_DIR="unused",
            GPU_ENGINE_DEVICE="cpu",
            GPU_ENGINE_FINISHERS="1",
            GPU_ENGINE_LEAST_FREE_GIB="0",
            GPU_ENGINE_PICTURE_PX="128",
            # Shown by ordering, not by the clock: a crowded machine must not spoil it.
            GPU_ENGINE_CANCEL_LIMIT_S="1",
            GPU_ENGINE_DECODE_LIMIT_S="8",
        )

    def run(self, job_id: str, **options) -> dict:
        """Run one job to its end."""
        assert self.submit(job_id, options=options).status_code == 201
        return self.await_over(job_id)[-1]

    def await_event(self, event: str, count: int = 1) -> None:
        """Wait until the fake has done something so often."""
        self.await_true(lambda: self.fake.events().count(event) >= count)

    def processes(self, module: str) -> list[psutil.Process]:
        """Give the agent's children that run a module of the engine."""
        name = f"gpu_agent.engines.hunyuan3d.{module}"
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if name in " ".join(child.cmdline())]

    def files(self) -> list[str]:
        """Give the temporary files that there are."""
        return [str(path) for path in (self.data / "work").rglob("*") if path.is_file()]

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(name="started", scope="module")
def _started(tmp_path_factory):
    """Start one agent for all tests that leave it sound."""
    agent = LanesAgent(tmp_path_factory.mktemp("lanes"), choose_free_ports(1)[0])
    agent.start()
    yield agent
    agent.terminate()
    agent.session.close()


@pytest.fixture(name="lanes")
def _lanes(started: LanesAgent):
    """Give that agent without faults and without jobs."""
    started.fake.plan()
    for name in ("go", "events.log"):
        (started.fake.path / name).unlink(missing_ok=True)
    return started


class TestJob:
    def test_leaves_a_closed_model_a_manifest_and_no_file(self, lanes):
        view = lanes.run("whole", seed=5)

        manifest = view["manifest"]
        path = lanes.store / manifest["artifacts"][0]["path"]
        mesh = trimesh.load(io.BytesIO(path.read_bytes()), file_type="glb", force="mesh")
        mesh.merge_vertices(merge_norm=True, merge_tex=True)
        assert mesh.is_watertight
        assert [artifact["name"] for artifact in manifest["artifacts"]] == [
            "model.glb",
            "preview.png",
        ]
        assert manifest["seed"] == 5
        assert manifest["result"]["octree_resolution"] == 63
        assert "Tencent Hunyuan 3D 2.0 Community License" in manifest["notice"]
        assert lanes.files() == []

    def test_is_named_in_the_log_lines_of_the_process_that_owns_the_gpu(self, lanes):
        lanes.run("named", seed=5)

        lines = [line for line in lanes.lines() if line.get("job_id") == "named"]
        of_child = [line for line in lines if line["logger"].endswith("gpu_worker_child")]
        assert of_child
        assert all(line["epoch"] == 1 for line in of_child)

    def test_shares_a_batch_with_those_that_wait(self, lanes):
        lanes.fake.plan(Fault("diffuse", "slow", seed=70))
        lanes.submit("first", options={"seed": 70})
        lanes.await_event("slow in diffuse")
        for seed in (71, 72, 73):
            lanes.submit(f"b-{seed}", options={"seed": seed})
        queue = 'gpu_agent_engine_queue_length{queue="cutout"}'
        lanes.await_true(
            lambda: all(
                lanes.view(f"b-{seed}")["stage_seconds"].get("background") is not None
                for seed in (71, 72, 73)
            )
        )
        lanes.fake.let_go()
        batches = [
            lanes.await_over(f"b-{seed}")[-1]["manifest"]["result"]["batch"]
            for seed in (71, 72, 73)
        ]

        assert batches == [3, 3, 3]
        assert lanes.metric(queue) == 0
        assert lanes.metric('gpu_agent_engine_batch_jobs_bucket{le="3.0"}') >= 1
        assert lanes.metric('gpu_agent_engine_step_seconds_count{step="decode"}') >= 3


class TestLoss:
    @pytest.mark.parametrize(
        "step", ["diffuse", "decode", pytest.param("paint", marks=pytest.mark.engine)]
    )
    def test_of_the_gpu_process_costs_no_job(self, lanes, step: str):
        lost = 'gpu_agent_engine_processes_lost_total{cause="died",process="gpu"}'
        lanes.fake.plan(Fault(step, "kill", seed=30))

        view = lanes.run(f"kill-{step}", seed=30, texture=step == "paint")

        assert view["state"] == "succeeded"
        assert lanes.metric(lost) >= 1
        assert lanes.call("GET", "/ready").status_code == 200
        assert lanes.files() == []

    def test_twice_ends_the_job_with_the_cause_and_no_other(self, lanes):
        lanes.fake.plan(Fault("decode", "segfault", seed=31, times=2))
        lanes.submit("guilty", options={"seed": 31})
        lanes.submit("innocent", options={"seed": 32})

        error = lanes.await_over("guilty")[-1]["error"]

        assert (error["code"], error["retryable"], error["stage"]) == (
            "engine_failed",
            True,
            "shape",
        )
        assert "segmentation fault" in error["message"]
        assert lanes.await_over("innocent")[-1]["state"] == "succeeded"

    def test_by_a_hang_is_noticed_and_costs_no_job(self, lanes):
        stuck = 'gpu_agent_engine_processes_lost_total{cause="stuck",process="gpu"}'
        lanes.fake.plan(Fault("decode", "hang", seed=34))

        view = lanes.run("hung", seed=34)

        assert view["state"] == "succeeded"
        assert lanes.metric(stuck) >= 1
        assert [event for event in lanes.fake.events() if event.startswith("decode 34")] == [
            "decode 34 @63/8000"
        ] * 2

    def test_of_a_finisher_costs_no_job(self, lanes):
        lanes.fake.plan(Fault("decode", "slow", seed=33))
        lanes.submit("finish", options={"seed": 33})
        lanes.await_event("slow in decode")
        (finisher,) = lanes.processes("finisher")
        finisher.send_signal(signal.SIGSTOP)
        lanes.fake.let_go()
        lanes.await_true(lambda: lanes.view("finish")["stage"] == "finish")

        finisher.kill()

        assert lanes.await_over("finish")[-1]["state"] == "succeeded"


class TestCancel:
    @pytest.mark.parametrize(
        "step", ["diffuse", "decode", pytest.param("paint", marks=pytest.mark.engine)]
    )
    def test_frees_the_gpu_for_the_next_job(self, lanes, step: str):
        lanes.fake.plan(Fault(step, "slow", seed=40))
        lanes.submit(f"gone-{step}", options={"seed": 40, "texture": step == "paint"})
        lanes.await_event(f"slow in {step}")
        (owner,) = lanes.processes("gpu_worker_child")

        cancelled = lanes.call("DELETE", f"/jobs/gone-{step}/1").json()
        following = lanes.run(f"next-{step}", seed=41)

        assert cancelled["state"] == "cancelled"
        assert following["state"] == "succeeded"
        assert lanes.processes("gpu_worker_child") == [owner]
        assert not (lanes.fake.path / "go").exists()

    def test_ends_a_gpu_process_that_does_not_react(self, lanes):
        lanes.fake.plan(Fault("diffuse", "hang", seed=42))
        lanes.submit("deaf", options={"seed": 42})
        lanes.await_event("hang in diffuse")
        (owner,) = lanes.processes("gpu_worker_child")

        lanes.call("DELETE", "/jobs/deaf/1")
        following = lanes.run("after-deaf", seed=43)

        assert following["state"] == "succeeded"
        assert not owner.is_running()

    def test_ends_a_finisher_in_the_middle_of_its_task(self, lanes):
        lanes.fake.plan(Fault("decode", "slow", seed=44))
        lanes.submit("stuck", options={"seed": 44})
        lanes.await_event("slow in decode")
        (finisher,) = lanes.processes("finisher")
        finisher.send_signal(signal.SIGSTOP)
        lanes.fake.let_go()
        lanes.await_true(lambda: lanes.view("stuck")["stage"] == "finish")

        lanes.call("DELETE", "/jobs/stuck/1")
        following = lanes.run("after-stuck", seed=45)

        assert following["state"] == "succeeded"
        assert not finisher.is_running()
        assert lanes.files() == []


class TestCrowd:
    def test_is_taken_up_to_capacity_and_loses_nothing(self, lanes):
        lanes.fake.plan(Fault("diffuse", "slow", seed=50))
        lanes.submit("holds", options={"seed": 50})
        lanes.await_event("slow in diffuse")

        with ThreadPoolExecutor(25) as pool:
            answers = list(
                pool.map(
                    lambda n: submit_alone(lanes, f"crowd-{n}"),
                    range(100),
                )
            )
        lanes.fake.let_go()

        taken = [job_id for job_id, status, _ in answers if status == 201]
        refused = [retry for _, status, retry in answers if status == 429]
        assert (len(taken), len(refused)) == (SLOTS - 1, 101 - SLOTS)
        assert all(1 <= int(seconds) <= 60 for seconds in refused)
        assert {lanes.await_over(job_id)[-1]["state"] for job_id in taken} == {"succeeded"}
        lanes.await_over("holds")


class TestStore:
    def test_that_is_away_for_a_while_costs_no_model(self, lanes):
        lanes.fake.plan(Fault("decode", "slow", seed=60))
        lanes.submit("waits", options={"seed": 60})
        lanes.await_event("slow in decode")
        aside = lanes.store.with_name("aside")
        lanes.store.rename(aside)
        lanes.store.write_text("in the way")
        lanes.fake.let_go()
        lanes.await_true(
            lambda: any("the store is asked again" in line["message"] for line in lanes.lines())
        )

        lanes.store.unlink()
        aside.rename(lanes.store)

        view = lanes.await_over("waits")[-1]
        assert view["state"] == "succeeded"
        assert lanes.fake.events().count("diffuse 60") == 1


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="Linux alone has the limit.")
class TestDisk:
    def test_that_is_full_refuses_and_loses_nothing(self, lanes):
        """A limit on the size of files is what a full disk is to a process."""
        process = psutil.Process(lanes.process.pid)
        lanes.submit("before", options={"seed": 61})
        lanes.await_over("before")
        before = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))

        refused = lanes.submit("during", options={"seed": 62})
        process.rlimit(psutil.RLIMIT_FSIZE, before)
        view = lanes.run("during", seed=62)

        assert refused.status_code == 500
        assert view["state"] == "succeeded"
        assert lanes.view("before")["state"] == "succeeded"


def submit_alone(agent: LanesAgent, job_id: str) -> tuple[str, int, str | None]:
    """Submit over a connection of one's own."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.put(
            f"{agent.url}/jobs/{job_id}/1",
            headers={"Authorization": "Bearer token"},
            json={
                "epoch": 1,
                "input_path": "jobs/jobs/holds/input.png",
                "output_prefix": f"jobs/jobs/{job_id}/1/",
                "manifest_path": f"jobs/jobs/{job_id}/manifest.json",
                "options": {"seed": 51},
            },
            timeout=30,
        )
        return job_id, answer.status_code, answer.headers.get("Retry-After")


@pytest.fixture(name="own")
def _own(tmp_path):
    """Give an agent of the test's own, not yet started."""
    agent = LanesAgent(tmp_path, choose_free_ports(1)[0])
    yield agent
    agent.session.close()
    if agent.process is not None and agent.process.poll() is None:
        agent.kill()


class TestStart:
    def test_that_fails_tells_why_for_a_while_and_ends(self, own):
        own.fake.plan(Fault("load", "refuse"))
        own.start(awaited_status=503, GPU_AGENT_UNFIT_S="1.5")
        told = own.call("GET", "/ready").json()

        status = own.process.wait(30)

        assert (told["phase"], told["ready"]) == ("failed", False)
        assert "The weights are not whole." in told["detail"]
        assert status == 3
        critical = [line["message"] for line in own.lines() if line["level"] == "critical"]
        assert critical == ["The set-up failed: The weights are not whole."]

    def test_tells_each_step_and_skips_the_gpu_on_a_cpu(self, own):
        own.start()

        ready = own.call("GET", "/ready").json()

        assert ready["steps"] == {"disk": 100, "gpu": 100, "model": 100, "warm_up": 100}
        assert own.fake.events() == ["load", "diffuse 1", "decode 1 @63/8000"]


class TestHangInTheBackgroundStage:
    def test_ends_the_agent_after_the_others_and_the_next_one_works(self, own):
        own.start(STUCK_S="0.5")
        (own.fake.path / "hang").touch()
        own.submit("hung", options={"seed": 1})
        own.await_true((own.fake.path / "hangs").exists)
        (own.fake.path / "hang").unlink()
        own.fake.plan(Fault("diffuse", "slow", seed=2))
        own.submit("other", options={"seed": 2})
        own.await_event("slow in diffuse")

        own.call("DELETE", "/jobs/hung/1")
        own.await_true(lambda: "Starting over" in own.log.read_text())
        meanwhile = own.call("GET", "/ready").json()["phase"]
        own.fake.let_go()
        status = own.process.wait(30)
        own.start()

        assert (meanwhile, status) == ("ready", 4)
        critical = [line["message"] for line in own.lines() if line["level"] == "critical"]
        assert critical == [
            "The work on hung is over and does not end. Starting over when no job is held."
        ]
        assert own.view("other")["state"] == "succeeded"
        assert own.view("hung")["state"] == "cancelled"
        assert own.run("after")["state"] == "succeeded"


class TestKill:
    def test_of_the_agent_ends_its_processes_and_tells_interrupted(self, own):
        own.start()
        own.fake.plan(Fault("diffuse", "slow", seed=2))
        own.submit("a", options={"seed": 2})
        own.await_event("slow in diffuse")
        children = psutil.Process(own.process.pid).children()

        own.kill()
        psutil.wait_procs(children, timeout=30)
        own.fake.plan()
        own.start()

        assert not any(child.is_running() for child in children)
        assert own.view("a")["state"] == "interrupted"
        assert own.submit("a", fence=2, options={"seed": 2}).status_code == 201
        assert own.await_over("a", 2)[-1]["state"] == "succeeded"

    def test_politely_lets_the_job_end_first(self, own):
        own.start()
        own.fake.plan(Fault("diffuse", "slow", seed=2))
        own.submit("a", options={"seed": 2})
        own.await_event("slow in diffuse")
        # As systemd does it: to the whole group.
        for process in (own.process, *psutil.Process(own.process.pid).children()):
            process.send_signal(signal.SIGTERM)
        own.await_true(lambda: own.call("GET", "/ready").json()["phase"] == "draining")
        own.fake.let_go()

        assert own.process.wait(30) == 0
        assert (own.store / "jobs/jobs/a/manifest.json").exists()
        assert own.files() == []
