"""The function app with its default settings, under the request limits of Microsoft.Compute."""

import io
import time

import pytest
import requests
from PIL import Image
from skimage import data

from localcloud.blueprint import ROOT
from localcloud.stack import LocalVm, Stack

pytestmark = [pytest.mark.stack, pytest.mark.nightly]

JOBS = 8


class TestDefaultSettings:
    def test_never_meet_the_limits_from_a_vm_asleep_to_a_vm_asleep(self, tmp_path):
        photo = io.BytesIO()
        Image.fromarray(data.coffee()).resize((300, 200)).save(photo, "JPEG")
        # Not a default: a test can't wait five minutes for the VM to be idle for long enough.
        settings = {"STORAGE_ACCESS": "private", "IDLE_WINDOW_S": "3"}
        with Stack(
            ROOT,
            tmp_path / "stack",
            vms=[LocalVm(boot_s=1.0, deallocate_s=0.5)],
            app_environ=settings,
            limits_rates=True,
        ) as stack:
            api = f"{stack.urls.app}/api"
            for _ in range(JOBS):
                files = {"image": ("photo.jpg", photo.getvalue())}
                requests.post(f"{api}/jobs", files=files, timeout=30).raise_for_status()

            deadline = time.monotonic() + 180
            while True:
                jobs = requests.get(f"{api}/jobs?state=succeeded", timeout=30).json()["jobs"]
                power = stack.meter()["gpu-0"]["power_state"]
                if len(jobs) == JOBS and power == "deallocated":
                    break
                assert time.monotonic() < deadline, (len(jobs), power)
                time.sleep(0.2)

            assert stack.throttled() == 0
