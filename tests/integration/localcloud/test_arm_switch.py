"""A VM's second unit, beside its agent: when it is started, and when it ends."""

import os
import signal
import sys

import pytest
import requests
from azure.identity import ManagedIdentityCredential
from azure.mgmt.compute import ComputeManagementClient

from localcloud.arm.settings import BOOTED_AT_PLACEHOLDER

SUBSCRIPTION = "5ab0c1d2-0000-4000-8000-000000000001"

# Says when its machine has booted, then lives until it is ended.
_SWITCH = """
import os, sys, time
with open(sys.argv[1], "a") as diary:
    diary.write(os.environ["BOOTED_AT"] + "\\n")
time.sleep(600)
"""


@pytest.fixture(name="own_arm")
def _own_arm(make_arm, tmp_path, monkeypatch):
    """A stand-in with one VM that has a switch."""
    switch = {
        "command": [sys.executable, "-c", _SWITCH, str(tmp_path / "switch.diary")],
        "env": {"BOOTED_AT": BOOTED_AT_PLACEHOLDER},
    }
    arm = make_arm(tmp_path, gpu={"switch": switch, "restart_agent_after_s": 0.1})
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{arm.imds_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "open sesame")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(arm.bundle))
    try:
        arm.start()
        yield arm
    finally:
        arm.close()


@pytest.fixture(name="vms")
def _vms(own_arm):
    """Operations on its VM."""
    with (
        ManagedIdentityCredential() as credential,
        ComputeManagementClient(
            credential, SUBSCRIPTION, base_url=own_arm.url, retry_total=0, polling_interval=0.1
        ) as client,
    ):
        yield client.virtual_machines


class TestSwitch:
    def test_lives_and_ends_with_its_vm_and_not_with_its_agent(self, own_arm, vms, wait_until):
        vms.begin_start("rg", "gpu").result()
        first = wait_until(lambda: own_arm.meter("gpu")["switch_pid"])
        wait_until(lambda: own_arm.meter("gpu")["agent_pid"])

        own_arm.controls.set_fault("agent_dies", vm="gpu", stays_dead=True)
        wait_until(lambda: own_arm.meter("gpu")["agent_pid"] is None)
        assert own_arm.meter("gpu")["switch_pid"] == first
        wait_until(lambda: own_arm.diary("switch"))
        os.kill(first, signal.SIGKILL)
        second = wait_until(
            lambda: (
                pid if (pid := own_arm.meter("gpu")["switch_pid"]) not in (None, first) else None
            )
        )
        boots = wait_until(lambda: told if len(told := own_arm.diary("switch")) == 2 else None)

        assert float(boots[0]) == pytest.approx(float(boots[1]), abs=0.1)
        vms.begin_deallocate("rg", "gpu").result()
        assert own_arm.meter("gpu")["switch_pid"] is None
        with pytest.raises(ProcessLookupError):
            os.kill(second, 0)


class TestIdentity:
    def test_of_a_vm_deallocates_that_vm_and_does_nothing_else(self, arm):
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(arm.bundle)
            metadata = f"{arm.imds_url}/vm/off/metadata"
            asked = {"api-version": "2018-02-01", "resource": "https://management.azure.com/"}
            header = {"Metadata": "true"}
            token = session.get(
                f"{metadata}/identity/oauth2/token", params=asked, headers=header, timeout=10
            ).json()["access_token"]
            instance = session.get(
                f"{metadata}/instance?api-version=2021-02-01", headers=header, timeout=10
            ).json()
            own = arm.url + instance["compute"]["resourceId"]
            session.headers["Authorization"] = f"Bearer {token}"

            def ask(method: str, url: str) -> requests.Response:
                return session.request(method, f"{url}?api-version=2024-07-01", timeout=10)

            accepted = ask("POST", f"{own}/deallocate")
            refused = [
                ask("POST", f"{own}/start"),
                ask("GET", own),
                ask("POST", f"{own.removesuffix('off')}untouched/deallocate"),
            ]

        assert accepted.status_code == 202
        assert [answer.status_code for answer in refused] == [403, 403, 403]
        codes = {answer.json()["error"]["code"] for answer in refused}
        assert codes == {"AuthorizationFailed"}
