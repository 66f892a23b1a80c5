"""Many jobs, every message twice, the host killed again and again: each job ends exactly once."""

import hashlib
import logging
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from PIL import Image, ImageDraw
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.workflows.run_job import MAX_CHARGED
from tests.e2e.conftest import OVER, encode

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.stack, pytest.mark.nightly]

JOBS = int(os.environ.get("STORM_JOBS", "50"))
KILL_EVERY_S = float(os.environ.get("STORM_KILL_EVERY_S", "10"))
LIMIT_S = 12.0 * JOBS
IDLE_WINDOW_S = 15.0
"""Long enough to ask the agent, once the last job is over, before its VM is put to sleep."""


def draw_subject(number: int) -> bytes:
    """Draw a subject of its own for each job, small enough to be modelled in a second."""
    image = Image.new("RGB", (96, 96), (226, 228, 230))
    colour = (40 + 4 * number, 90, 200 - 3 * number)
    ImageDraw.Draw(image).ellipse((20, 16 + number % 12, 76, 80 - number % 9), fill=colour)
    return encode(image, "PNG")


class Storm:
    """Fifty callers, and whoever kills the host under them."""

    def __init__(self, cloud) -> None:
        self.cloud = cloud
        self.kills = 0
        self._ends_at = time.monotonic() + LIMIT_S

    def rage(self) -> list[dict]:
        """Post the jobs and kill the host until all of them are over; gives their statuses."""
        with ThreadPoolExecutor(JOBS) as callers:
            posts = [callers.submit(self._post, number) for number in range(JOBS)]
            ids = None
            next_kill_at = time.monotonic() + KILL_EVERY_S
            while True:
                assert time.monotonic() < self._ends_at, f"logs in {self.cloud.stack.folder}"
                if time.monotonic() >= next_kill_at:
                    self.cloud.stack.kill_functions_host()
                    self.cloud.stack.start_functions_host()
                    self.kills += 1
                    next_kill_at = time.monotonic() + KILL_EVERY_S
                if ids is None and all(post.done() for post in posts):
                    ids = [post.result() for post in posts]
                if ids is not None and not self._open_jobs():
                    return [self.cloud.job(job_id) for job_id in ids]
                time.sleep(0.2)

    def _post(self, number: int) -> str:
        """Post as a careful caller does: again under the same key until there is an answer."""
        while True:
            assert time.monotonic() < self._ends_at
            try:
                answer = requests.post(
                    f"{self.cloud.api}/jobs",
                    files={"image": ("subject.png", draw_subject(number))},
                    headers={"Idempotency-Key": f"storm-{number}"},
                    timeout=30,
                )
            except requests.RequestException:
                time.sleep(0.2)
                continue
            if answer.status_code == 202:
                return answer.json()["id"]
            assert answer.status_code in (429, 500, 503), answer.text
            time.sleep(0.2)

    def _open_jobs(self) -> int:
        """Count the jobs that are not over, out of the list that a caller can read."""
        jobs = requests.get(f"{self.cloud.api}/jobs?limit=100", timeout=30).json()["jobs"]
        return sum(job["state"] not in OVER for job in jobs)


class Agent:
    """What the agent itself says it has done."""

    def __init__(self, cloud) -> None:
        url = cloud.stack.urls.agents["gpu-0"]
        headers = {"Authorization": f"Bearer {cloud.stack.agent_token}"}
        self.status = requests.get(f"{url}/v1/status", headers=headers, timeout=30).json()
        metrics = requests.get(f"{url}/v1/metrics", headers=headers, timeout=30).text
        self.ended = Counter()
        for family in text_string_to_metric_families(metrics):
            for sample in family.samples:
                if sample.name == "gpu_agent_jobs_ended_total":
                    self.ended[sample.labels["state"]] += int(sample.value)


def assert_one_set_of_artifacts(cloud, job: dict) -> None:
    """One manifest; what it names is there whole, in its attempt's folder."""
    manifest = cloud.manifest(job["id"])
    folder = f"{job['id']}/{manifest['fence']}"
    blobs = cloud.blobs(f"{job['id']}/")
    assert [blob for blob in blobs if blob.endswith("manifest.json")] == [
        f"{job['id']}/manifest.json"
    ]
    named = {artifact["path"] for artifact in manifest["artifacts"]}
    assert named == {f"jobs/{folder}/model.glb", f"jobs/{folder}/preview.png"}
    assert {blob for blob in blobs if blob.startswith(f"{folder}/")} == {
        path.removeprefix("jobs/") for path in named
    }
    assert {a["name"] for a in job["artifacts"]} == {a["name"] for a in manifest["artifacts"]}
    for artifact in manifest["artifacts"]:
        data = requests.get(f"{cloud.api}/jobs/{job['id']}/artifacts/{artifact['name']}").content
        assert len(data) == artifact["size_bytes"]
        assert hashlib.sha256(data).hexdigest() == artifact["sha256"]
    fences = {blob.split("/")[1] for blob in blobs if blob.count("/") == 2}
    assert len(fences) <= MAX_CHARGED


class TestStorm:
    def test_leaves_each_job_with_one_result_and_the_vm_off(self, start_cloud):
        """Fifty jobs, double delivery, a kill every ten seconds: nothing lost, nothing twice."""
        cloud = start_cloud(
            stage_s=0.3,
            idle_window_s=IDLE_WINDOW_S,
            host_arguments=["--duplicate-delivery"],
        )
        storm = Storm(cloud)

        jobs = storm.rage()
        agent = Agent(cloud)

        logger.info("%d kills; the agent's ends: %s", storm.kills, dict(agent.ended))
        assert storm.kills >= 2
        assert len({job["id"] for job in jobs}) == JOBS
        assert Counter(job["state"] for job in jobs) == {"succeeded": JOBS}
        for job in jobs:
            assert_one_set_of_artifacts(cloud, job)
        runs = Counter(run["job_id"] for run in agent.status["jobs"] if run["stage"])
        assert runs.keys() == {job["id"] for job in jobs}
        assert max(runs.values()) <= MAX_CHARGED
        assert sum(agent.ended.values()) <= JOBS * MAX_CHARGED
        cloud.wait_until_off()
        metered = cloud.stack.meter()["gpu-0"]
        assert (metered["power_state"], metered["agent_pid"]) == ("deallocated", None)
