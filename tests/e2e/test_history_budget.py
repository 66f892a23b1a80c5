"""What a job costs in stored events: every one is read again, and paid for, at each episode."""

import sqlite3

import pytest
import requests

pytestmark = [pytest.mark.stack, pytest.mark.nightly]

MOST_EVENTS = 35
MOST_EVENTS_PER_LOOK = 4
LOOK_S = 25.0


def count_events(cloud, instance_id: str) -> int:
    """Count the rows of an instance's history as the host has stored them.

    The management API folds pairs of them together, so that it would count too few.
    """
    path = cloud.stack.folder / "functions_host" / "durable.sqlite"
    store = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (count,) = store.execute(
            "SELECT count(*) FROM history WHERE instance_id = ?", (instance_id,)
        ).fetchone()
    finally:
        store.close()
    return count


class TestWarmJob:
    @pytest.mark.parametrize("stage_s", [0.0, 3.0])
    def test_keeps_its_history_short(self, start_cloud, photo, stage_s):
        """Also when all seven stages last long enough to be shown one by one."""
        cloud = start_cloud(stage_s=stage_s)
        first = cloud.post(photo)
        cloud.wait_for_stage(first, "fetch", "background", "shape", "texture", "finish", "export")

        job = cloud.wait_for_job(cloud.post(photo))
        url = f"{cloud.api}/jobs/{job['id']}/instance"
        cloud.wait_for(lambda: requests.get(url, timeout=30).status_code == 200)

        assert job["state"] == "succeeded"
        run_s = job["timings"]["ended_at"] - job["timings"]["started_at"]
        assert run_s >= 7 * stage_s
        looks = int(run_s / LOOK_S)
        assert count_events(cloud, job["id"]) <= MOST_EVENTS + MOST_EVENTS_PER_LOOK * looks
