"""The whole local cloud for the tests of this folder, with what a caller does against it."""

import io
import json
import os
import time
from pathlib import Path

import pytest
import requests
from azure.storage.blob import BlobServiceClient
from PIL import Image
from skimage import data

from localcloud.blueprint import ROOT
from localcloud.core_tools import find_func
from localcloud.stack import LocalVm, Stack

OVER = ("succeeded", "failed", "cancelled")

QUICK = {
    "WAKE_POLL_S": "0.5",
    "READY_POLL_S": "0.3",
    "AGENT_UNREACHABLE_S": "3",
    "LOOK_AWAKE_S": "2",
    "STORAGE_ACCESS": "private",
}


class Cloud:
    """A running local cloud, seen as a caller sees it and, where a test must, from inside."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.api = f"{stack.urls.app}/api"

    def post(self, photo: bytes, **fields: str) -> str:
        """Post a job and give its id."""
        answer = requests.post(
            f"{self.api}/jobs", files={"image": ("photo.jpg", photo)}, data=fields, timeout=30
        )
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def job(self, job_id: str) -> dict:
        """Read a job's status."""
        return requests.get(f"{self.api}/jobs/{job_id}", timeout=30).json()

    def pool(self) -> dict:
        """Read the pool as the API shows it."""
        return requests.get(f"{self.api}/pool", timeout=30).json()

    def vm(self, name: str = "gpu-0") -> dict:
        """Read a VM as the pool sees it."""
        return next(vm for vm in self.pool()["vms"] if vm["name"] == name)

    def wait_for(self, condition, *, timeout_s: float = 90.0):
        """Wait until a condition gives something true, and give that."""
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < deadline, f"waited in vain; logs in {self.stack.folder}"
            time.sleep(0.05)
        return value

    def wait_for_job(self, job_id: str, *, timeout_s: float = 90.0) -> dict:
        """Wait until a job is over and give its status."""
        return self.wait_for(
            lambda: job if (job := self.job(job_id))["state"] in OVER else None,
            timeout_s=timeout_s,
        )

    def wait_for_stage(self, job_id: str, *stages: str) -> None:
        """Wait until the agent works on a job."""
        self.wait_for(lambda: self.job(job_id)["stage"] in stages)

    def wait_until_off(self, name: str = "gpu-0") -> dict:
        """Wait until the pool believes a VM deallocated, and give its figures."""
        return self.wait_for(
            lambda: vm if (vm := self.vm(name))["phase"] == "deallocated" else None
        )

    def blobs(self, prefix: str = "") -> list[str]:
        """List what is stored under ``jobs/``, by the real SDK."""
        service = BlobServiceClient(
            self.stack.urls.blob,
            credential=self.stack.credential(),
            connection_verify=str(self.stack.bundle),
        )
        with service:
            container = service.get_container_client("jobs")
            return sorted(blob.name for blob in container.list_blobs(name_starts_with=prefix))

    def manifest(self, job_id: str) -> dict:
        """Read a finished job's manifest."""
        answer = requests.get(f"{self.api}/jobs/{job_id}/artifacts/manifest.json", timeout=30)
        return json.loads(answer.content)


def uses_core_tools() -> bool:
    """Tell whether the operator asked for Azure Functions Core Tools."""
    return os.environ.get("HOST") == "func"


def make_vm(name: str = "gpu-0", *, stage_s: float = 0.0, **figures) -> LocalVm:
    """Describe a VM that boots, goes and has its agent started again in half a second each."""
    return LocalVm(
        name=name,
        boot_s=0.5,
        deallocate_s=0.5,
        restart_agent_after_s=0.5,
        agent_environ={"GPU_AGENT_STAGE_MIN_S": str(stage_s)},
        **figures,
    )


@pytest.fixture(name="start_cloud")
def _start_cloud(tmp_path: Path):
    """Start a local cloud; it ends with the test. ``HOST=func`` runs the app on Core Tools."""
    stacks = []
    func = find_func() if uses_core_tools() else None

    def start_cloud(
        *, vms=None, stage_s=0.0, idle_window_s=600.0, host_arguments=(), **settings: str
    ) -> Cloud:
        stack = Stack(
            ROOT,
            tmp_path / "cloud",
            vms=vms or [make_vm(stage_s=stage_s)],
            app_environ={**QUICK, "IDLE_WINDOW_S": str(idle_window_s), **settings},
            host_arguments=host_arguments,
            func=func,
        )
        stack.start()
        stacks.append(stack)
        return Cloud(stack)

    yield start_cloud
    for stack in stacks:
        stack.stop()


@pytest.fixture(scope="session", name="photo")
def _photo() -> bytes:
    """A real photograph: the coffee cup that comes with scikit-image."""
    return encode(Image.fromarray(data.coffee()), "JPEG")


def encode(image: Image.Image, image_format: str) -> bytes:
    """Encode an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, image_format)
    return buffer.getvalue()
