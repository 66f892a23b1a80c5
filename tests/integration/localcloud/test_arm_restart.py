"""The stand-in for ARM, ended and started again on the same folder."""

import psutil
import pytest
from azure.identity import ManagedIdentityCredential
from azure.mgmt.compute import ComputeManagementClient

from localcloud.token_client import LocalCredential

SUBSCRIPTION = "5ab0c1d2-0000-4000-8000-000000000001"


@pytest.fixture(name="own_arm")
def _own_arm(make_arm, tmp_path, monkeypatch):
    """A stand-in that a test may break, with a running VM and one that boots for long."""
    arm = make_arm(tmp_path, gpu={}, slow={"boot_s": 600.0})
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
    """Operations on its VMs."""
    with (
        ManagedIdentityCredential() as credential,
        ComputeManagementClient(
            credential, SUBSCRIPTION, base_url=own_arm.url, retry_total=0, polling_interval=0.1
        ) as client,
    ):
        yield client.virtual_machines


class TestKill:
    def test_changes_nothing_for_those_who_come_back(self, own_arm, vms, wait_until):
        vms.begin_start("rg", "gpu").result()
        pid = wait_until(lambda: own_arm.meter("gpu")["agent_pid"])
        starting = vms.begin_start("rg", "slow")
        before = own_arm.meter("gpu")
        own_arm.controls.set_fault("slow_start", vm="slow", seconds=3)

        own_arm.process.kill()
        own_arm.start()

        after = own_arm.meter("gpu")
        assert after["agent_pid"] == pid
        assert psutil.pid_exists(pid)
        assert after["intervals"] == before["intervals"]
        assert after["billed_seconds"] > before["billed_seconds"]
        # The tokens, the operation's URL and the faults are good as before.
        assert starting.status() == "InProgress"
        assert vms.instance_view("rg", "slow").statuses[1].code == "PowerState/starting"
        assert [fault["name"] for fault in own_arm.controls.list_faults()] == ["slow_start"]
        vms.begin_deallocate("rg", "gpu").result()
        wait_until(lambda: not _lives(pid))
        vms.begin_deallocate("rg", "slow").result()
        assert own_arm.meter("slow")["power_state"] == "deallocated"

    def test_does_not_hide_an_agent_that_died_meanwhile(self, own_arm, vms, wait_until):
        vms.begin_start("rg", "gpu").result()
        pid = wait_until(lambda: own_arm.meter("gpu")["agent_pid"])
        own_arm.process.kill()
        psutil.Process(pid).kill()
        wait_until(lambda: not _lives(pid))

        own_arm.start()

        wait_until(lambda: own_arm.meter("gpu")["agent_pid"] is None)
        assert own_arm.meter("gpu")["power_state"] == "running"


class TestStop:
    def test_ends_the_agents_and_starts_them_again_with_their_vms(self, own_arm, vms, wait_until):
        vms.begin_start("rg", "gpu").result()
        pid = wait_until(lambda: own_arm.meter("gpu")["agent_pid"])

        own_arm.process.stop()
        assert not _lives(pid)
        own_arm.start()

        assert wait_until(lambda: own_arm.meter("gpu")["agent_pid"]) != pid
        assert own_arm.meter("gpu")["starts"] == 1


class TestSecondOne:
    def test_is_refused_on_the_same_folder(self, own_arm, make_arm, wait_until):
        second = make_arm(own_arm.folder, gpu={})
        second.process.start()

        wait_until(lambda: not second.process.is_running)

        assert "another process uses" in second.process.log.read_text()
        assert own_arm.process.is_running
        assert LocalCredential(f"{own_arm.imds_url}/msi/token", "open sesame").get_token("x")


def _lives(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
