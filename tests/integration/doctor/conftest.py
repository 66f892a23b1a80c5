"""A whole local cloud to be examined, and the command that examines it."""

import json
import time
from dataclasses import dataclass

import pytest
from azure.storage.blob import BlobServiceClient
from click.testing import CliRunner

from coldforge.cli import cli
from localcloud.blueprint import ROOT
from localcloud.stack import LocalVm, Stack

LOGINS = ("IDENTITY_ENDPOINT", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID")


@dataclass(frozen=True)
class Report:
    """What the command said."""

    status: int
    body: dict
    stderr: str

    @property
    def codes(self):
        return [finding["code"] for finding in self.body["findings"]]

    def verdict(self, check):
        return next(one["verdict"] for one in self.body["checks"] if one["check"] == check)

    def note(self, check):
        return next(one["note"] for one in self.body["checks"] if one["check"] == check)


@pytest.fixture(scope="module", name="stack")
def _stack(tmp_path_factory):
    """A local cloud whose pool leaves things as they are for as long as the tests take."""
    stack = Stack(
        ROOT,
        tmp_path_factory.mktemp("examined"),
        vms=[LocalVm(boot_s=0.2, deallocate_s=0.2, restart_agent_after_s=0.1)],
        app_environ={
            "WAKE_POLL_S": "0.5",
            "READY_POLL_S": "0.3",
            "LOOK_AWAKE_S": "600",
            "IDLE_WINDOW_S": "3600",
        },
    )
    with stack:
        yield stack


@pytest.fixture(name="environ")
def _environ(stack, monkeypatch):
    """The environment that a shell has after reading the local cloud's doctor.env."""
    for name in LOGINS:
        monkeypatch.delenv(name, raising=False)
    for name, value in stack.doctor_environ.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture(name="examine")
def _examine(environ):
    """Runs `coldforge doctor --json` and gives its report."""

    def examine(*arguments):
        result = CliRunner().invoke(cli, ["doctor", "--json", *arguments])
        assert result.stdout, (result.stderr, result.exception)
        return Report(result.exit_code, json.loads(result.stdout), result.stderr)

    return examine


@pytest.fixture(name="open_blobs")
def _open_blobs(stack):
    """Gives a client of the local cloud's blobs."""
    return lambda: BlobServiceClient(
        stack.urls.blob, credential=stack.credential(), connection_verify=str(stack.bundle)
    )


@pytest.fixture(name="seed")
def _seed(stack):
    """Seeds faults; they are gone after the test."""
    yield stack.fault
    stack.clear_faults()


@pytest.fixture(scope="session", name="wait_until")
def _wait_until():
    """Return a function that waits for a condition."""

    def wait_until(condition, *, timeout_s=30.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)

    return wait_until
