"""Azurite ended in mid-work: it comes back by itself, on its old ports and data, and work goes on.

What can be promised: everything, if it is asked to end; what it had written to its lists, which it
does every 5 s, if it is killed. A job that was posted less than 5 s before a kill may be unknown.
"""

import io
import signal
from pathlib import Path

import psutil
import pytest
import requests
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from PIL import Image
from skimage import data

from localcloud.blueprint import ROOT
from localcloud.component import ComponentError
from localcloud.stack import LocalVm, Stack

pytestmark = pytest.mark.stack

QUICK = {
    "WAKE_POLL_S": "0.5",
    "READY_POLL_S": "0.3",
    "AGENT_UNREACHABLE_S": "3",
    "LOOK_AWAKE_S": "2",
    "STORAGE_ACCESS": "private",
    "IDLE_WINDOW_S": "600",
}
PATIENCE_S = 120.0


@pytest.fixture(name="stack")
def _stack(tmp_path):
    """The whole local cloud, whose stages take two seconds each."""
    vm = LocalVm(
        boot_s=0.5,
        deallocate_s=0.5,
        restart_agent_after_s=0.5,
        agent_environ={"GPU_AGENT_STAGE_MIN_S": "2.0"},
    )
    with Stack(ROOT, tmp_path / "stack", vms=[vm], app_environ=QUICK, keeps_storage=True) as stack:
        yield stack


@pytest.fixture(name="blobs")
def _blobs(stack):
    """The blob service, asked with patience."""
    with BlobServiceClient(
        stack.urls.blob, stack.credential(), connection_verify=str(stack.bundle)
    ) as blobs:
        yield blobs


def post(stack) -> str:
    photo = io.BytesIO()
    Image.fromarray(data.coffee()).save(photo, "JPEG")
    answer = requests.post(
        f"{stack.urls.app}/api/jobs", files={"image": ("photo.jpg", photo.getvalue())}, timeout=30
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def read(stack, job_id: str) -> dict:
    answer = requests.get(f"{stack.urls.app}/api/jobs/{job_id}", timeout=60)
    return answer.json() if answer.ok else {"state": None, "stage": None}


def is_written(stack, blobs, job_id: str) -> bool:
    """Tell whether Azurite has on disk the job and the pool as they are now."""
    pool = blobs.get_blob_client("pool", "state.json").get_blob_properties()
    folder: Path = stack.folder / "storage"
    listed = (folder / "__azurite_db_blob__.json").read_text()
    rows = (folder / "__azurite_db_table__.json").read_text()
    return pool.etag.strip('"') in listed and job_id in listed and job_id in rows


def finish(stack, job_id: str, wait_until) -> dict:
    return wait_until(
        lambda: (
            job
            if (job := read(stack, job_id))["state"] in ("succeeded", "failed", "cancelled")
            else None
        ),
        timeout_s=PATIENCE_S,
    )


class TestStorage:
    def test_asked_to_end_in_mid_job_loses_nothing(self, stack, wait_until):
        job_id = post(stack)
        wait_until(lambda: read(stack, job_id)["stage"] == "shape", timeout_s=PATIENCE_S)
        before = stack.pids["storage"]

        stack.kill_storage(is_asked=True)

        assert finish(stack, job_id, wait_until)["state"] == "succeeded"
        assert stack.storage_restarts == 1
        assert stack.pids["storage"] != before
        assert "storage ended with exit code 0: it is started again" in (
            stack.logs["storage"].read_text()
        )
        stack.check()

    def test_killed_in_mid_job_goes_on_from_what_it_had_written(self, stack, blobs, wait_until):
        job_id = post(stack)
        wait_until(lambda: read(stack, job_id)["stage"] == "shape", timeout_s=PATIENCE_S)
        wait_until(lambda: is_written(stack, blobs, job_id))

        stack.kill_storage()

        assert finish(stack, job_id, wait_until)["state"] == "succeeded"
        assert stack.storage_restarts == 1
        model = requests.get(
            f"{stack.urls.app}/api/jobs/{job_id}/artifacts/model.glb", timeout=60
        ).content
        assert model[:4] == b"glTF"

    def test_asked_to_end_writes_what_came_in_the_last_moment(self, stack, blobs, wait_until):
        with TableServiceClient(
            stack.urls.table, credential=stack.credential(), connection_verify=str(stack.bundle)
        ) as service:
            entity = {"PartitionKey": "p", "RowKey": "r", "word": "kept"}
            service.get_table_client("jobs").upsert_entity(entity)
            blobs.get_blob_client("jobs", "last").upload_blob(b"kept")

            stack.kill_storage(is_asked=True)
            wait_until(lambda: stack.storage_restarts == 1, timeout_s=PATIENCE_S)

            assert blobs.get_blob_client("jobs", "last").download_blob().readall() == b"kept"
            assert service.get_table_client("jobs").get_entity("p", "r")["word"] == "kept"


class TestInMemory:
    def test_is_not_started_again_empty(self, tmp_path, wait_until):
        vm = LocalVm(restart_agent_after_s=None)
        with Stack(ROOT, tmp_path / "stack", vms=[vm], app_environ=QUICK) as stack:
            process = psutil.Process(stack.pids["storage"])

            stack.kill_storage()
            wait_until(lambda: not process.is_running() or stack.pids["storage"] is None)

            with pytest.raises(ComponentError, match=rf"storage ended.*-{signal.SIGKILL:d}"):
                stack.check()
            assert stack.storage_restarts == 0
