"""The dead-man's switch: whatever else is dead, no VM is left on, and no job is taken from one."""

import json
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from tests.e2e.conftest import make_vm

pytestmark = pytest.mark.stack

VM = "gpu-0"
SLACK_S = 30.0
"""What a machine with other work may take for a few looks, a drain and a request."""

CLOCK_SLACK_S = 0.2
"""Between the boot clock, by which leases run, and the clock of the meter."""

LEASE_S = 8.0
NEVER_OVER_S = 600.0


@pytest.fixture(name="start_switched")
def _start_switched(start_cloud):
    """Start a local cloud whose VM has a switch that looks often."""

    def start_switched(*, stage_s=0.0, switch=None, **settings):
        quick = {"GPU_SWITCH_POLL_S": "0.3", "GPU_SWITCH_ANSWER_S": "1"}
        vm = make_vm(VM, stage_s=stage_s, switch_environ={**quick, **(switch or {})})
        return start_cloud(vms=[vm], **settings)

    return start_switched


@contextmanager
def asking_the_agent(cloud):
    """Give a session that the agent lets in, and its URL."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {cloud.stack.agent_token}"
        yield session, f"{cloud.stack.urls.agents[VM]}/v1"


def lease(cloud, ttl_s: float) -> None:
    """Give the agent a lease, as its control plane would have done last."""
    with asking_the_agent(cloud) as (session, url):
        epoch = session.get(f"{url}/status", timeout=10).json()["epoch"]
        answer = session.put(f"{url}/lease", json={"epoch": epoch, "ttl_s": ttl_s}, timeout=10)
    assert answer.status_code == 200, answer.text


def lease_left_s(cloud) -> float:
    with asking_the_agent(cloud) as (session, url):
        return session.get(f"{url}/status", timeout=10).json()["lease_left_s"]


def said(cloud) -> list[dict]:
    """Read the log of the VM's switch."""
    log: Path = cloud.stack.switch_log[VM]
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def has_said(cloud, words: str) -> bool:
    return any(words in line["message"] for line in said(cloud))


def power(cloud) -> str:
    return cloud.stack.meter()[VM]["power_state"]


def running_since(cloud) -> float:
    """Give the begin of the VM's latest running interval by the stand-in's meter."""
    return _last_running(cloud)["from"]


def running_until(cloud) -> float:
    return _last_running(cloud)["to"]


def _last_running(cloud) -> dict:
    intervals = cloud.stack.meter()[VM]["intervals"]
    return [interval for interval in intervals if interval["state"] == "running"][-1]


def wait_until_gone(cloud, *, timeout_s: float = 60.0) -> None:
    cloud.wait_for(lambda: power(cloud) == "deallocated", timeout_s=timeout_s)


def end_control_plane_with_the_lease_over(cloud, job_id: str) -> None:
    """Leave a VM alone with a job that never ends, and with a switch that knows it."""
    cloud.wait_for_stage(job_id, "fetch")
    cloud.stack.kill_functions_host()
    lease(cloud, 0.5)
    cloud.wait_for(lambda: has_said(cloud, "the lease is over, but the agent holds jobs"))
    assert power(cloud) == "running"


class TestControlPlaneDead:
    def test_leaves_the_vm_on_no_longer_than_its_lease_and_a_drain(self, start_switched, photo):
        """A living control plane renews the lease; a dead one has given its last."""
        cloud = start_switched(LEASE_S=str(LEASE_S))
        assert cloud.wait_for_job(cloud.post(photo))["state"] == "succeeded"
        woken_at = running_since(cloud)
        cloud.wait_for(lambda: cloud.pool()["now"] > woken_at + 1.5 * LEASE_S)
        assert power(cloud) == "running"

        cloud.stack.kill_functions_host()
        asked_at, left_s = time.time(), lease_left_s(cloud)
        wait_until_gone(cloud)

        assert 0 < left_s <= LEASE_S
        lived_on_s = running_until(cloud) - asked_at
        assert left_s - CLOCK_SLACK_S <= lived_on_s < left_s + SLACK_S
        assert has_said(cloud, "the agent has closed its door")
        cloud.stack.start_functions_host()
        assert cloud.wait_for_job(cloud.post(photo))["state"] == "succeeded"
        assert cloud.stack.meter()[VM]["starts"] == 2


class TestAgentDeadToo:
    @pytest.mark.parametrize("fault", ["killed", "hung"])
    def test_is_stopped_for_good_before_its_vm_goes(self, start_switched, photo, fault):
        """No agent, no reconciler, no sweep: the switch alone is left, and is enough."""
        cloud = start_switched(stage_s=NEVER_OVER_S)
        end_control_plane_with_the_lease_over(cloud, cloud.post(photo))
        agent = psutil.Process(cloud.stack.meter()[VM]["agent_pid"])

        if fault == "killed":
            cloud.stack.kill_agent(VM, stays_dead=True)
        else:
            os.kill(agent.pid, signal.SIGSTOP)
        wait_until_gone(cloud)

        assert not agent.is_running()
        words = [line["message"] for line in said(cloud)]
        assert words.index("the agent's unit is stopped") < words.index(
            "Azure deallocates this machine"
        )
        assert cloud.stack.meter()[VM]["starts"] == 1


@pytest.mark.nightly
class TestHardCap:
    def test_is_what_a_vm_with_a_job_lives_up_to(self, start_switched, photo):
        """A job keeps its VM up without any lease until the cap, of which the log warns."""
        cap_s = 30.0
        cloud = start_switched(
            stage_s=NEVER_OVER_S,
            switch={"GPU_SWITCH_MAX_UPTIME_S": str(cap_s), "GPU_SWITCH_WARNING_S": "4"},
        )
        end_control_plane_with_the_lease_over(cloud, cloud.post(photo))

        wait_until_gone(cloud, timeout_s=cap_s + SLACK_S)

        assert cap_s <= running_until(cloud) - running_since(cloud) < cap_s + SLACK_S
        warning = next(line for line in said(cloud) if "cap on uptime is near" in line["message"])
        verdict = next(
            line for line in said(cloud) if "cap on uptime is reached" in line["message"]
        )
        assert warning["level"] == verdict["level"] == "warning"
        assert warning["jobs"]
        assert warning["uptime_s"] < cap_s <= verdict["uptime_s"]
