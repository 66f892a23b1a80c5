"""The agent as it is run: a process, killed and started again."""

import hashlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from gpu_agent.errors import JobStoreError
from gpu_agent.jobs.job_store import JobStore

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0
SLOW = {"GPU_AGENT_STAGE_MIN_S": "600"}


class TestJob:
    def test_goes_from_an_image_to_a_manifest(self, agent):
        agent.start()

        assert agent.submit("a", options={"seed": 3}).status_code == 201
        views = agent.await_over("a")

        manifest = views[-1]["manifest"]
        assert views[-1]["state"] == "succeeded"
        assert json.loads((agent.store / "jobs/jobs/a/manifest.json").read_text()) == manifest
        for artifact in manifest["artifacts"]:
            data = (agent.store / artifact["path"]).read_bytes()
            assert len(data) == artifact["size_bytes"]
            assert hashlib.sha256(data).hexdigest() == artifact["sha256"]
        assert manifest["artifacts"][0]["name"] == "model.glb"
        assert [v["seq"] for v in views] == sorted({v["seq"] for v in views})
        assert [v["percent"] for v in views] == sorted(v["percent"] for v in views)

    def test_tells_that_there_is_no_image(self, agent):
        agent.start()
        agent.submit("a", input_path="jobs/jobs/nowhere/input.png")

        error = agent.await_over("a")[-1]["error"]

        assert (error["code"], error["stage"], error["retryable"]) == (
            "input_missing",
            "fetch",
            False,
        )


class TestKill:
    def test_comes_back_and_says_interrupted_and_takes_the_next_fence(self, agent):
        agent.start(GPU_AGENT_STAGE_MIN_S="0.4")
        agent.submit("a")
        agent.await_true(lambda: agent.view("a")["stage"] == "shape")
        before = agent.view("a")

        agent.kill()
        agent.start()
        found = agent.view("a")
        rejoined = agent.submit("a")
        second = agent.submit("a", fence=2)

        assert (found["state"], found["epoch"]) == ("interrupted", 1)
        assert found["seq"] > before["seq"]
        assert found["percent"] >= before["percent"]
        assert (rejoined.status_code, rejoined.json()["state"]) == (200, "interrupted")
        assert second.status_code == 201
        assert agent.await_over("a", 2)[-1]["manifest"]["fence"] == 2

    def test_leaves_every_promise_in_place(self, agent):
        agent.start(**SLOW)
        agent.submit("gone", epoch=7)
        agent.call("DELETE", "/jobs/gone/1")
        agent.call("DELETE", "/jobs/early/5")
        drained = agent.call("POST", "/drain", json={"epoch": 7, "drain": 1}).json()

        agent.kill()
        agent.start()

        assert drained["drained"] is True
        assert agent.call("POST", "/drain", json={"epoch": 7, "drain": 1}).json() == drained
        assert agent.submit("new", epoch=7).json()["code"] == "draining"
        assert agent.submit("early", fence=5, epoch=7).json()["state"] == "cancelled"
        assert agent.submit("early", fence=4, epoch=8).json()["code"] == "stale_fence"
        assert agent.submit("gone", epoch=8).json()["state"] == "cancelled"
        assert agent.submit("new", epoch=8).status_code == 201

    def test_loses_nothing_acknowledged_at_any_moment(self, agent):
        fence = 0
        agent.start()
        for kill_after in (1, 5, 20):
            acknowledged = press_cancels(agent, fence, kill_after)

            agent.start()

            jobs = agent.call("GET", "/status").json()["jobs"]
            states = {job["fence"]: job["state"] for job in jobs}
            assert len(acknowledged) >= kill_after
            assert {states.get(number) for number in acknowledged} == {"cancelled"}
            fence = max(states)


class TestClosing:
    def test_lasts_until_the_machine_boots(self, agent):
        agent.start(GPU_AGENT_MACHINE_BOOT_ID="one")
        agent.call("POST", "/drain", json={"epoch": 1, "drain": 1, "final": True})
        agent.kill()

        agent.start(GPU_AGENT_MACHINE_BOOT_ID="one", awaited_status=503)
        closed = agent.submit("a", epoch=2).json()["code"]
        agent.kill()
        agent.start(GPU_AGENT_MACHINE_BOOT_ID="two")

        assert closed == "closed"
        assert agent.submit("a", epoch=2).status_code == 201


class TestTerminate:
    def test_answers_hanging_polls_and_ends(self, agent):
        agent.start(GPU_AGENT_DRAIN_S="0", **SLOW)
        agent.submit("a")
        agent.await_true(lambda: agent.view("a")["stage"] == "fetch")
        seq = agent.view("a")["seq"]
        with ThreadPoolExecutor(1) as pool:
            poll = pool.submit(agent.call, "GET", f"/jobs/a/1?after={seq}&wait_s=25")
            agent.await_true(lambda: agent.metric("gpu_agent_long_polls") == 1)

            code = agent.terminate()

            assert poll.result(5).json()["state"] == "interrupted"
        assert code == 0

    def test_lets_a_job_go_on_and_takes_no_other(self, agent):
        agent.start(GPU_AGENT_STAGE_MIN_S="0.2")
        agent.submit("a")
        agent.await_true(lambda: agent.view("a")["stage"] is not None)
        agent.process.send_signal(signal.SIGTERM)
        agent.await_true(lambda: agent.call("GET", "/ready").json()["phase"] == "draining")
        refused = agent.submit("b").json()
        code = agent.process.wait(30)

        agent.start()

        assert refused["code"] == "not_ready"
        assert code == 0
        assert agent.view("a")["state"] == "succeeded"
        assert agent.call("GET", "/jobs/b/1").status_code == 404

    def test_is_hurried_by_a_second_signal(self, agent):
        agent.start(**SLOW)
        agent.submit("a")
        agent.await_true(lambda: agent.view("a")["stage"] == "fetch")
        agent.process.send_signal(signal.SIGTERM)
        agent.await_true(lambda: agent.call("GET", "/ready").json()["phase"] == "draining")

        code = agent.terminate()
        agent.start()

        assert code == 0
        assert agent.view("a")["state"] == "interrupted"

    def test_leaves_the_port_and_the_ledger_to_the_next(self, agent):
        agent.start()
        agent.submit("a")
        agent.await_over("a")
        agent.terminate()

        agent.start()

        assert agent.view("a")["state"] == "succeeded"


class TestSlots:
    def test_are_freed_by_cancelling(self, agent):
        agent.start(GPU_AGENT_SLOTS="1", **SLOW)
        agent.submit("a")
        full = agent.submit("b")

        cancelled = agent.call("DELETE", "/jobs/a/1")

        assert (full.status_code, full.headers["Retry-After"]) == (429, "5")
        assert cancelled.json()["state"] == "cancelled"
        assert agent.submit("b").status_code == 201
        agent.await_true(lambda: agent.view("b")["state"] == "running")


class TestDrain:
    def test_is_refused_while_a_job_is_held_and_remembers_it(self, agent):
        agent.start(**SLOW)
        agent.submit("a")
        refused = agent.call("POST", "/drain", json={"epoch": 1, "drain": 1}).json()
        agent.call("DELETE", "/jobs/a/1")

        again = agent.call("POST", "/drain", json={"epoch": 1, "drain": 1}).json()
        granted = agent.call("POST", "/drain", json={"epoch": 1, "drain": 2}).json()

        assert (refused["drained"], refused["jobs"]) == (False, ["a"])
        assert again == refused
        assert granted["drained"] is True


class TestLongPolls:
    def test_leave_live_quick(self, agent):
        agent.start(**SLOW)
        agent.submit("a")
        agent.await_true(lambda: agent.view("a")["stage"] == "fetch")
        seq = agent.view("a")["seq"]
        with ThreadPoolExecutor(40) as pool:
            polls = [
                pool.submit(
                    requests.get,
                    f"{agent.url}/jobs/a/1?after={seq}&wait_s=25",
                    headers={"Authorization": "Bearer token"},
                    timeout=40,
                )
                for _ in range(40)
            ]
            agent.await_true(lambda: agent.metric("gpu_agent_long_polls") == 40)

            answers = [agent.call("GET", "/live").status_code for _ in range(50)]

            # Had one waited for a thread, a poll would have had to end first.
            assert agent.metric("gpu_agent_long_polls") == 40
            assert set(answers) == {200}
            agent.call("DELETE", "/jobs/a/1")
            states = {poll.result(10).json()["state"] for poll in polls}
        assert states == {"cancelled"}


class TestMain:
    def test_names_all_that_is_missing_and_gives_up(self):
        ended = subprocess.run(
            [sys.executable, "-m", "gpu_agent"],
            env={},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

        assert ended.returncode == 2
        message = json.loads(ended.stderr.splitlines()[-1])["message"]
        assert "GPU_AGENT_TOKEN is not set" in message
        assert "GPU_AGENT_STORE_URL" in message

    def test_refuses_a_data_folder_that_another_agent_has(self, agent, tmp_path):
        agent.start()

        with pytest.raises(JobStoreError, match="locked"):
            JobStore(tmp_path / "data/ledger.sqlite3", machine_boot="x", wait_s=0.1)

    def test_writes_no_token_into_its_log(self, agent):
        agent.start(GPU_AGENT_TOKEN="token", GPU_AGENT_TOKEN_PREVIOUS="s3cret-before")
        agent.submit("a")
        agent.await_over("a")
        agent.call("GET", "/status", headers={"Authorization": "Bearer s3cret-wrong"})
        agent.terminate()

        lines = agent.log.read_text().splitlines()

        assert all(isinstance(json.loads(line), dict) for line in lines)
        assert not any("s3cret" in line or "Bearer" in line for line in lines)
        assert any(json.loads(line).get("job_id") == "a" for line in lines)


def press_cancels(agent, fence: int, kill_after: int) -> list[int]:
    """Cancel key after key and kill the agent meanwhile; give the fences acknowledged."""
    acknowledged: list[int] = []

    def press() -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = "Bearer token"
            for number in range(fence + 1, fence + 100_000):
                try:
                    session.delete(f"{agent.url}/jobs/k/{number}", timeout=10).raise_for_status()
                except requests.HTTPError:
                    raise
                except requests.RequestException:
                    # Cut off anywhere: before the answer, or in the middle of it.
                    return
                acknowledged.append(number)

    thread = threading.Thread(target=press)
    thread.start()
    agent.await_true(lambda: len(acknowledged) >= kill_after)
    agent.kill()
    thread.join()
    return acknowledged


class TestSystemd:
    def test_hears_of_the_beginning_the_life_and_the_end(self, agent):
        # Such an address holds at most 103 bytes, fewer than a test's own folder may have.
        with (
            tempfile.TemporaryDirectory(dir="/tmp") as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        ):
            manager.bind(f"{folder}/notify")
            manager.settimeout(LIMIT_S)

            agent.start(NOTIFY_SOCKET=f"{folder}/notify", WATCHDOG_USEC="300000")
            ready = manager.recv(4096).decode()
            alive = manager.recv(4096).decode()
            status = agent.terminate()
            while (last := manager.recv(4096).decode()).startswith("WATCHDOG"):
                pass

        assert ready == "READY=1"
        assert alive.startswith("WATCHDOG=1\nSTATUS=")
        assert '"phase":' in alive
        assert last == "STOPPING=1"
        assert status == 0


class TestStatus:
    def test_names_the_image_that_the_machine_was_made_from(self, agent):
        agent.start(GPU_AGENT_IMAGE_VERSION="1.4.2")

        assert agent.call("GET", "/status").json()["image_version"] == "1.4.2"
