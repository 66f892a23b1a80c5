"""The host as a process of its own, on the sample app."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

SAMPLE = Path(__file__).parent / "sample_app"
START_LIMIT_S = 30.0


class HostProcess:
    """A functions host that can be killed and started again on the same data."""

    def __init__(self, folder, *flags):
        self.app_dir = folder / "app"
        self.data_dir = folder / "data"
        self.notes = folder / "notes"
        self.flags = flags
        self.url = ""
        self._log = folder / "host.log"
        self._process = None
        shutil.copytree(SAMPLE, self.app_dir, ignore=shutil.ignore_patterns("__pycache__"))
        values = {"SAMPLE_GREETING": "hello from the settings"}
        self.write_app_file("local.settings.json", {"Values": values})

    def write_app_file(self, name, document):
        (self.app_dir / name).write_text(json.dumps(document))

    def start(self):
        command = [sys.executable, "-m", "localcloud.functions_host", str(self.app_dir)]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*command, "--port", "0", "--data", str(self.data_dir), *self.flags],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=Path(__file__).parents[3],
                env={**os.environ, "SAMPLE_NOTES": str(self.notes), "PYTHONWARNINGS": "default"},
            )
        self.url = self._process.stdout.readline().strip()
        assert self.url, self.log

    def kill(self):
        self._end(signal.SIGKILL)

    def stop(self, number=signal.SIGTERM):
        """Ask it to end, which has 30 s; returns the exit status."""
        return self._end(number)

    def _end(self, number):
        if self._process is None:
            return None
        self._process.send_signal(number)
        status = self._process.wait(30)
        self._process.stdout.close()
        self._process = None
        return status

    @property
    def log(self):
        return self._log.read_text()

    def count(self, name):
        """Count the marks that activities left under a name."""
        file = self.notes / name
        return len(file.read_text()) if file.exists() else 0

    def get(self, path, **options):
        return requests.get(f"{self.url}{path}", timeout=30, **options)

    def post(self, path, body=None, **options):
        return requests.post(f"{self.url}{path}", json=body, timeout=30, **options)

    def begin(self, name, value=None, *, instance_id=""):
        """Start an orchestration through the SDK's client; returns its instance id."""
        reply = self.post(f"/api/start/{name}", value, params={"id": instance_id})
        assert reply.status_code == 202, (reply.status_code, reply.text, self.log[-2000:])
        return reply.json()["id"]

    def status(self, instance_id):
        return self.get(f"/durabletask/instances/{instance_id}").json()

    def wait_for(self, instance_id, *states, limit_s=20.0):
        """Wait for a state, by default for any end; returns the status."""
        wanted = states or ("Completed", "Failed", "Terminated")
        return self.until(
            lambda: self.status(instance_id),
            lambda status: status["runtimeStatus"] in wanted,
            limit_s=limit_s,
        )

    def run(self, name, value=None, *, limit_s=20.0):
        return self.wait_for(self.begin(name, value), limit_s=limit_s)

    def until(self, read, is_enough, *, limit_s=20.0):
        deadline = time.monotonic() + limit_s
        while not is_enough(value := read()):
            assert time.monotonic() < deadline, (value, self.log[-3000:])
            time.sleep(0.01)
        return value


@pytest.fixture(scope="session")
def shared_host(tmp_path_factory):
    """One host for all tests that neither kill nor configure it."""
    host = HostProcess(tmp_path_factory.mktemp("host"))
    host.start()
    yield host
    host.kill()


@pytest.fixture(scope="session")
def host_of_2024(tmp_path_factory):
    """A host whose management API answers as that of 2024."""
    host = HostProcess(tmp_path_factory.mktemp("host-of-2024"), "--management-codes", "2024")
    host.start()
    yield host
    host.kill()


@pytest.fixture
def make_host(tmp_path):
    """Makes hosts of a test's own and ends them after it."""
    hosts = []

    def make(*flags, name="own"):
        folder = tmp_path / name
        folder.mkdir()
        hosts.append(HostProcess(folder, *flags))
        return hosts[-1]

    yield make
    for host in hosts:
        host.kill()
