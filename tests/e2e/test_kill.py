"""Killing programs in mid-job: real processes, ``kill -9``, one result."""

import shutil

import pytest
import requests

pytestmark = pytest.mark.stack

RUNNING_STAGES = ("shape", "texture")


def assert_one_result(cloud, job_id: str, *, attempt: int) -> None:
    """The job has one manifest, and one set of artifacts under that manifest's attempt."""
    manifest = cloud.manifest(job_id)
    folder = f"{job_id}/{manifest['fence']}"
    assert manifest["fence"] % 100 == attempt
    assert cloud.blobs(f"{job_id}/") == sorted(
        [
            f"{folder}/model.glb",
            f"{folder}/preview.png",
            f"{job_id}/input.png",
            f"{job_id}/manifest.json",
            f"{job_id}/request.json",
        ]
    )


class TestFunctionsHost:
    @pytest.mark.parametrize("moment", ["vm_starting", "shape", "upload"])
    def test_killed_in_mid_job_goes_on_with_it(self, start_cloud, photo, moment):
        """The job neither runs twice nor is lost, wherever the host is cut off."""
        cloud = start_cloud(stage_s=0.7)
        job_id = cloud.post(photo)
        if moment == "vm_starting":
            cloud.wait_for(lambda: cloud.vm()["phase"] in ("starting", "warming"))
        else:
            cloud.wait_for_stage(job_id, moment)

        cloud.stack.kill_functions_host()
        cloud.stack.start_functions_host()

        assert cloud.wait_for_job(job_id)["state"] == "succeeded"
        assert_one_result(cloud, job_id, attempt=1)
        assert cloud.stack.meter()["gpu-0"]["starts"] == 1

    def test_that_lost_durables_store_lets_its_jobs_be_cancelled(self, start_cloud, photo):
        """Nothing is left that could end the workflow; the agent is stopped and the slot freed."""
        cloud = start_cloud(stage_s=60.0)
        running, waiting = cloud.post(photo), cloud.post(photo, start_within_s="3600")
        cloud.wait_for_stage(running, "fetch", "background", *RUNNING_STAGES)

        cloud.stack.kill_functions_host()
        shutil.rmtree(cloud.stack.folder / "functions_host")
        cloud.stack.start_functions_host()
        answers = [
            requests.delete(f"{cloud.api}/jobs/{job_id}", timeout=30)
            for job_id in (running, waiting)
        ]

        assert [answer.status_code for answer in answers] == [202, 202]
        assert cloud.job(running)["state"] == cloud.job(waiting)["state"] == "cancelled"
        cloud.wait_for(lambda: not cloud.vm()["slots"] and not cloud.pool()["queue"])


class TestAgent:
    def test_killed_in_mid_job_succeeds_on_a_second_attempt(self, start_cloud, photo):
        """systemd starts the agent again; it reports the job as interrupted; it runs again."""
        cloud = start_cloud(stage_s=0.7)
        job_id = cloud.post(photo)
        cloud.wait_for_stage(job_id, *RUNNING_STAGES)

        cloud.stack.kill_agent("gpu-0")

        assert cloud.wait_for_job(job_id)["state"] == "succeeded"
        assert_one_result(cloud, job_id, attempt=2)

    @pytest.mark.nightly
    def test_dead_for_good_has_its_vm_replaced(self, start_cloud, photo):
        """A VM whose agent stays silent is deallocated, and woken again for the job."""
        cloud = start_cloud(stage_s=0.7)
        job_id = cloud.post(photo)
        cloud.wait_for_stage(job_id, *RUNNING_STAGES)

        cloud.stack.kill_agent("gpu-0", stays_dead=True)

        assert cloud.wait_for_job(job_id)["state"] == "succeeded"
        assert_one_result(cloud, job_id, attempt=2)
        assert cloud.stack.meter()["gpu-0"]["starts"] == 2


class TestVm:
    @pytest.mark.nightly
    def test_gone_in_mid_job_is_woken_again_for_it(self, start_cloud, photo):
        """Deallocated by somebody else, or by Azure: nobody tells the control plane."""
        cloud = start_cloud(stage_s=0.7)
        job_id = cloud.post(photo)
        cloud.wait_for_stage(job_id, *RUNNING_STAGES)

        cloud.stack.fault("power_lost", vm="gpu-0")

        assert cloud.wait_for_job(job_id)["state"] == "succeeded"
        assert_one_result(cloud, job_id, attempt=2)
        assert cloud.stack.meter()["gpu-0"]["starts"] == 2


class TestBoth:
    def test_killed_in_mid_job_recover_together(self, start_cloud, photo):
        """Host and agent gone at once: the job succeeds once both are back."""
        cloud = start_cloud(stage_s=0.7)
        job_id = cloud.post(photo)
        cloud.wait_for_stage(job_id, *RUNNING_STAGES)

        cloud.stack.kill_agent("gpu-0")
        cloud.stack.kill_functions_host()
        cloud.stack.start_functions_host()

        assert cloud.wait_for_job(job_id)["state"] == "succeeded"
        assert_one_result(cloud, job_id, attempt=2)
