"""A photo in, a GLB out, the VM off again; and the money in between."""

import base64
import io
import json
import time

import numpy as np
import pytest
import requests
import trimesh
from PIL import Image
from skimage import data

from tests.e2e.conftest import uses_core_tools

pytestmark = pytest.mark.stack


def encode(array: np.ndarray, image_format: str = "JPEG") -> bytes:
    """Encode an array as an image file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, image_format)
    return buffer.getvalue()


class TestJob:
    def test_wakes_the_vm_and_leaves_it_off(self, start_cloud, photo):
        """The VM is off before, off after, and billed as the meter says."""
        cloud = start_cloud(idle_window_s=2)
        assert cloud.vm()["phase"] == "deallocated"

        job = cloud.wait_for_job(cloud.post(photo, metadata='{"order": 7}'))
        vm = cloud.wait_until_off()

        assert job["state"] == "succeeded"
        assert job["metadata"] == {"order": 7}
        assert {a["name"] for a in job["artifacts"]} == {"model.glb", "preview.png"}
        metered = cloud.stack.meter()["gpu-0"]
        assert metered["power_state"] == "deallocated"
        assert metered["agent_pid"] is None
        assert vm["billed_seconds"] == pytest.approx(metered["billed_seconds"], abs=1.0)
        assert vm["estimated_seconds"] == 0
        glb = requests.get(cloud.stack.urls.app + job["artifacts"][0]["url"], timeout=30).content
        mesh = trimesh.load(io.BytesIO(glb), file_type="glb", force="mesh")
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert len(mesh.faces) > 2000

    def test_is_taken_as_base64_and_joined_by_its_idempotency_key(self, start_cloud, photo):
        """A re-sent POST finds the first job; the same key with another body is refused."""
        cloud = start_cloud()
        body = {"image_base64": base64.b64encode(photo).decode(), "options": {"seed": 3}}

        def post(values):
            return requests.post(
                f"{cloud.api}/jobs", json=values, headers={"Idempotency-Key": "k1"}, timeout=30
            )

        first, again = post(body), post(body)
        other = post({**body, "options": {"seed": 4}})

        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json()["id"] == first.json()["id"]
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert cloud.wait_for_job(first.json()["id"])["state"] == "succeeded"
        listed = requests.get(f"{cloud.api}/jobs", timeout=30).json()["jobs"]
        assert [job["id"] for job in listed] == [first.json()["id"]]

    def test_that_is_cancelled_gives_its_slot_back(self, start_cloud, photo):
        """Cancelled while it runs: 202, then 409; the VM goes off, nothing is stored."""
        cloud = start_cloud(stage_s=2.0, idle_window_s=2)
        job_id = cloud.post(photo)
        cloud.wait_for_stage(job_id, "background", "shape")

        cancelled = requests.delete(f"{cloud.api}/jobs/{job_id}", timeout=30)
        again = requests.delete(f"{cloud.api}/jobs/{job_id}", timeout=30)

        assert (cancelled.status_code, again.status_code) == (202, 409)
        assert cloud.job(job_id)["state"] == "cancelled"
        instance = cloud.wait_for(
            lambda: (
                answer
                if (
                    answer := requests.get(f"{cloud.api}/jobs/{job_id}/instance", timeout=30)
                ).status_code
                == 200
                else None
            )
        )
        assert instance.json()["runtimeStatus"] == "Terminated"
        assert cloud.wait_until_off()["slots"] == []
        assert f"{job_id}/manifest.json" not in cloud.blobs()

    @pytest.mark.skipif(
        uses_core_tools(), reason="Core Tools has no open route to Durable on the app's port."
    )
    def test_terminated_through_durable_gives_its_slot_back(self, start_cloud, photo):
        """Durable's own terminate is a legal way to cancel."""
        cloud = start_cloud(stage_s=2.0, idle_window_s=2)
        job_id = cloud.post(photo)
        cloud.wait_for_stage(job_id, "background", "shape")
        urls = f"{cloud.stack.urls.app}/durabletask/instances/{job_id}/terminate?reason=x"

        requests.post(urls, timeout=30)

        cloud.wait_for(lambda: cloud.job(job_id)["state"] == "cancelled")
        assert cloud.wait_until_off()["slots"] == []

    def test_waits_for_capacity_and_says_so(self, start_cloud, photo):
        """A stock-out is a status with the time of the next try, and no failure."""
        cloud = start_cloud()
        cloud.stack.fault("no_capacity", vm="gpu-0")

        job_id = cloud.post(photo)

        job = cloud.wait_for(
            lambda: job if (job := cloud.job(job_id))["waiting_for"] == "capacity" else None
        )
        assert job["state"] == "queued"
        assert job["retry_at"] > time.time()
        vm = cloud.vm()
        assert vm["phase"] == "no_capacity"
        assert "AllocationFailed" in vm["reason"]
        assert cloud.stack.meter()["gpu-0"]["power_state"] == "deallocated"


class TestBatch:
    def test_of_twelve_with_three_broken_wakes_the_vm_once(self, start_cloud, photo):
        """Nine models, three clear errors, one wake."""
        cloud = start_cloud(idle_window_s=3)
        pictures = [np.roll(data.coffee(), 7 * shift, axis=1) for shift in range(9)]
        files = [("image", (f"{i}.jpg", encode(picture))) for i, picture in enumerate(pictures)]
        files[2:2] = [("image", ("text.jpg", b"not an image at all"))]
        files[5:5] = [("image", ("cut.jpg", photo[: len(photo) // 2]))]
        files[8:8] = [("image", ("empty.jpg", b""))]

        posted = requests.post(f"{cloud.api}/batches", files=files, timeout=60)

        assert posted.status_code == 202, posted.text
        batch = cloud.wait_for(
            lambda: (
                batch
                if (batch := requests.get(posted.json()["status_url"], timeout=30).json())["state"]
                == "over"
                else None
            ),
            timeout_s=150,
        )
        assert (batch["total"], batch["succeeded"], batch["failed"]) == (12, 9, 3)
        refused = {
            item["number"]: item["error"]["code"] for item in batch["items"] if item["error"]
        }
        assert refused == {3: "image_unsupported_type", 6: "image_truncated", 9: "image_empty"}
        cloud.wait_until_off()
        assert cloud.stack.meter()["gpu-0"]["starts"] == 1


class TestDurableClient:
    def test_needs_nothing_but_location_and_status_query(self, start_cloud, photo):
        """202 until done, then 200 with the output: Durable's polling protocol."""
        cloud = start_cloud()
        posted = requests.post(
            f"{cloud.api}/jobs", files={"image": ("photo.jpg", photo)}, timeout=30
        )
        assert posted.status_code == 202
        assert posted.headers["Location"] == posted.json()["statusQueryGetUri"]

        seen = []
        location = posted.headers["Location"]
        deadline = time.monotonic() + 90
        while True:
            answer = requests.get(location, timeout=30)
            seen.append(answer.status_code)
            if answer.status_code != 202:
                break
            assert answer.json()["runtimeStatus"] in ("Pending", "Running")
            location = answer.headers["Location"]
            assert time.monotonic() < deadline
            time.sleep(0.1)

        assert seen[0] == 202
        assert seen[-1] == 200
        status = answer.json()
        assert status["runtimeStatus"] == "Completed"
        assert status["customStatus"]["percent"] == 100
        model = next(a for a in status["output"]["artifacts"] if a["name"] == "model.glb")
        glb = requests.get(cloud.stack.urls.app + model["url"], timeout=30).content
        assert glb[:4] == b"glTF"
        assert json.dumps(status).count(cloud.stack.agent_token) == 0


class TestArtifact:
    def test_is_a_short_lived_link_unless_storage_is_private(self, start_cloud, photo):
        """By default the caller is sent to storage, with a link that reads one file."""
        cloud = start_cloud(STORAGE_ACCESS="identity_and_sas_only")
        job = cloud.wait_for_job(cloud.post(photo))
        model = next(a for a in job["artifacts"] if a["name"] == "model.glb")

        sent = requests.get(cloud.stack.urls.app + model["url"], allow_redirects=False, timeout=30)

        assert sent.status_code == 302
        link = sent.headers["Location"]
        assert link.startswith(cloud.stack.urls.blob)
        fetched = requests.get(link, verify=str(cloud.stack.bundle), timeout=30)
        assert len(fetched.content) == model["size_bytes"]
        elsewhere = link.replace("model.glb", "preview.png")
        denied = requests.get(elsewhere, verify=str(cloud.stack.bundle), timeout=30)
        assert denied.status_code == 403

    def test_of_an_unknown_name_or_job_is_not_found(self, start_cloud, photo):
        """404 with a code, for what is not there and for what is no id."""
        cloud = start_cloud()
        job_id = cloud.post(photo)
        for path in (
            f"jobs/{job_id}/artifacts/secret.txt",
            "jobs/00000000000000000000000000",
            "jobs/..%2Fpool",
            "batches/00000000000000000000000000",
        ):
            answer = requests.get(f"{cloud.api}/{path}", timeout=30)
            assert answer.status_code == 404, path
