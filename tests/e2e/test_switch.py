"""The dead-man's switch: whatever else is dead, no VM is left on, and no job is taken from one."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import requests

from localcloud.stack import LocalVm

pytestmark = pytest.mark.stack

VM = "gpu-0"
SLACK_S = 30.0
"""What a machine with other work may take for a few looks, a drain and a request."""

LEASE_S = 8.0
NEVER_OVER_S = 600.0


@pytest.fixture(name="start_switched")
def _start_switched(start_cloud):
    """Start a local cloud whose VM has a switch that looks often."""

    def start_switched(*, stage_s=0.0, **switch):
        vm = LocalVm(
            boot_s=0.5,
            deallocate_s=0.5,
            restart_agent_after_s=0.5,
            agent_environ={"GPU_AGENT_STAGE_MIN_S": str(stage_s)},
            switch_environ={"GPU_SWITCH_POLL_S": "0.3", "GPU_SWITCH_ANSWER_S": "1", **switch},
        )
        return start_cloud(vm=vm)

    return start_switched


def lease(cloud, ttl_s: float) -> None:
    """Give the agent a lease, as its control plane would have done last."""
    url = f"{cloud.stack.urls.agents[VM]}/v1"
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {cloud.stack.agent_token}"
        epoch = session.get(f"{url}/status", timeout=10).json()["epoch"]
        answer = session.put(f"{url}/lease", json={"epoch": epoch, "ttl_s": ttl_s}, timeout=10)
    assert answer.status_code == 200, answer.text


def said(cloud) -> list[dict]:
    """Read the log of the VM's switch."""
    log: Path = cloud.stack.switch_log[VM]
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def has_said(cloud, words: str) -> bool:
    return any(words in line["message"] for line in said(cloud))


def power(cloud) -> str:
    return cloud.stack.meter()[VM]["power_state"]


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
    def test_leaves_the_vm_on_no_longer_than_its_lease(self, start_switched, photo):
        """While somebody renews the lease the VM stays; then it goes, and is woken again."""
        cloud = start_switched()
        assert cloud.wait_for_job(cloud.post(photo))["state"] == "succeeded"

        cloud.stack.kill_functions_host()
        renew_until = time.monotonic() + 1.5 * LEASE_S
        while time.monotonic() < renew_until:
            renewed_at = time.monotonic()
            lease(cloud, LEASE_S)
            assert power(cloud) == "running"
            time.sleep(0.1)
        wait_until_gone(cloud)

        assert LEASE_S <= time.monotonic() - renewed_at < LEASE_S + SLACK_S
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


class TestHardCap:
    def test_is_what_a_vm_with_a_job_lives_up_to(self, start_switched, photo):
        """A job keeps its VM up without any lease until the cap, of which the log warns."""
        cap_s = 30.0
        cloud = start_switched(
            stage_s=NEVER_OVER_S,
            GPU_SWITCH_MAX_UPTIME_S=str(cap_s),
            GPU_SWITCH_WARNING_S="4",
        )
        end_control_plane_with_the_lease_over(cloud, cloud.post(photo))

        wait_until_gone(cloud, timeout_s=cap_s + SLACK_S)

        running = next(
            interval
            for interval in cloud.stack.meter()[VM]["intervals"]
            if interval["state"] == "running"
        )
        assert cap_s <= running["to"] - running["from"] < cap_s + SLACK_S
        warning = next(line for line in said(cloud) if "cap on uptime is near" in line["message"])
        verdict = next(
            line for line in said(cloud) if "cap on uptime is reached" in line["message"]
        )
        assert warning["level"] == verdict["level"] == "warning"
        assert warning["jobs"]
        assert warning["uptime_s"] < cap_s <= verdict["uptime_s"]
