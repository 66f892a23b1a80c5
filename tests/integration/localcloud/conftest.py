"""Servers of the local cloud for the tests of this folder, and a way to wait for them."""

import json
import os
import sys
import time
from datetime import UTC, datetime

import pytest
from azure.identity import ManagedIdentityCredential
from azure.mgmt.compute import ComputeManagementClient

from localcloud.arm.settings import BOOT_ID_PLACEHOLDER
from localcloud.blueprint import ROOT, base_environ
from localcloud.certificate import prepare_certificate
from localcloud.component import Component
from localcloud.https import LocalControls
from localcloud.leash import end_tagged, new_tag, tagged
from localcloud.ports import choose_free_ports

SUBSCRIPTION = "5ab0c1d2-0000-4000-8000-000000000001"

# Says where it finds its identity service and which boot it is, then lives until it is ended.
_AGENT = """
import os, sys, time
with open(sys.argv[1], "a") as diary:
    diary.write(os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] + " " + os.environ["BOOT"] + "\\n")
if sys.argv[2:]:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    import subprocess
    nap = [sys.executable, "-c", "import time; time.sleep(600)"]
    subprocess.Popen(nap, start_new_session=True)
time.sleep(600)
"""

_VMS = {
    # One VM a test that changes it, so that tests don't meet.
    "plain": {},
    "joined": {"boot_s": 0.5},
    "refused": {"deallocate_s": 1.0},
    "preempted": {"boot_s": 600.0},
    "disallowed": {"start_during_deallocation": "not_allowed", "deallocate_s": 1.0},
    "eager": {"start_during_deallocation": "preempt", "deallocate_s": 1.0},
    "roads": {},
    "kept": {},
    "forgetful": {"operation_kept_s": 2.0},
    "faulty": {},
    "mortal": {},
    "restarted": {"restart_agent_after_s": 0.1},
    "stubborn": {},
    "off": {},
    "resumed": {"boot_s": 0.5},
    "lost": {},
    "untouched": {},
}


@pytest.fixture(scope="session", name="wait_until")
def _wait_until():
    """Return a function that waits for a condition and gives its first true value."""

    def wait_until(condition, *, timeout_s=15.0):
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        return value

    return wait_until


@pytest.fixture(scope="session", name="certificate")
def _certificate(tmp_path_factory):
    """A certificate for all servers."""
    return prepare_certificate(tmp_path_factory.mktemp("tls"), now=datetime.now(UTC))


class Arm:
    """The stand-in for ARM as a process of its own, and how to reach it."""

    def __init__(self, folder, certificate, vms, *arguments):
        port, imds_port = choose_free_ports(2)
        self.url = f"https://127.0.0.1:{port}"
        self.imds_url = f"http://127.0.0.1:{imds_port}"
        self.folder = folder
        self.tag = new_tag()
        self.bundle = certificate.bundle
        self.controls = LocalControls(self.url, self.bundle)
        vms_file = folder / "vms.json"
        vms_file.write_text(json.dumps({"subscription_id": SUBSCRIPTION, "vms": vms}))
        environ = base_environ(os.environ, certificate) | {"IDENTITY_HEADER": "open sesame"}
        self.process = Component(
            name="arm",
            command=[
                *(sys.executable, "-m", "localcloud.arm"),
                *("--port", str(port), "--imds-port", str(imds_port)),
                *("--data", str(folder / "arm"), "--vms", str(vms_file)),
                *("--cert", str(certificate.chain), "--key", str(certificate.key)),
                *arguments,
            ],
            environ=tagged(environ, self.tag),
            cwd=ROOT,
            log=folder / "arm.log",
            probe=lambda: bool(self.controls.meter()),
            stop_grace_s=10.0,
        )

    def start(self):
        self.process.start()
        self.process.wait_until_ready()

    def close(self):
        self.process.stop()
        end_tagged(self.tag, grace_s=0)

    def meter(self, vm):
        return self.controls.meter()[vm]

    def diary(self, vm):
        path = self.folder / f"{vm}.diary"
        return path.read_text().splitlines() if path.exists() else []


def describe_vm(folder, name, **figures):
    """A VM of the list, whose agent keeps a diary."""
    stubborn = ["stubborn"] if name == "stubborn" else []
    return {
        "name": name,
        "resource_group": "rg",
        "size": "Standard_NC24ads_A100_v4",
        "location": "eastus",
        "zone": "1",
        "price_per_hour_usd": 3.6,
        "boot_s": 0.2,
        "deallocate_s": 0.2,
        "agent": {
            "command": [sys.executable, "-c", _AGENT, str(folder / f"{name}.diary"), *stubborn],
            "env": {"BOOT": BOOT_ID_PLACEHOLDER},
            "stop_grace_s": 0.5,
        },
        **figures,
    }


@pytest.fixture(scope="module", name="arm")
def _arm(tmp_path_factory, certificate):
    """A running stand-in with one VM for each purpose."""
    folder = tmp_path_factory.mktemp("arm")
    # The tests look far more often than anyone should; those of the limits have their own.
    vms = [describe_vm(folder, n, **f) for n, f in _VMS.items()]
    arm = Arm(folder, certificate, vms, "--no-rate-limits")
    try:
        arm.start()
        yield arm
    finally:
        arm.close()


@pytest.fixture(scope="session", name="make_arm")
def _make_arm(certificate):
    """Return a function that describes a stand-in of a test's own; the test ends it."""

    def make_arm(folder, **vms):
        return Arm(folder, certificate, [describe_vm(folder, n, **f) for n, f in vms.items()])

    return make_arm


@pytest.fixture(name="app_identity")
def _app_identity(arm, monkeypatch):
    """The environment that App Service gives a function app."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{arm.imds_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "open sesame")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(arm.bundle))


@pytest.fixture(name="vms")
def _vms(arm, app_identity):
    """Operations of azure-mgmt-compute, configured by its base URL only."""
    with (
        ManagedIdentityCredential() as credential,
        ComputeManagementClient(
            credential, SUBSCRIPTION, base_url=arm.url, retry_total=0, polling_interval=0.1
        ) as client,
    ):
        yield client.virtual_machines
