"""The stand-in for ARM, asked by the real azure-mgmt-compute."""

import psutil
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import ManagedIdentityCredential
from azure.mgmt.compute import ComputeManagementClient

pytestmark = pytest.mark.usefixtures("app_identity")


def power_of(vms, name):
    return [status.code for status in vms.instance_view("rg", name).statuses]


class TestReading:
    def test_gives_a_vm_with_its_instance_view_when_asked(self, vms):
        bare = vms.get("rg", "untouched")
        whole = vms.get("rg", "untouched", expand="instanceView")

        assert bare.hardware_profile.vm_size == "Standard_NC24ads_A100_v4"
        assert bare.zones == ["1"]
        assert bare.provisioning_state == "Succeeded"
        assert bare.instance_view is None
        assert whole.instance_view.statuses[1].code == "PowerState/deallocated"

    def test_lists_a_group_and_a_subscription(self, vms):
        of_group = [vm.name for vm in vms.list("rg")]
        of_all = {
            vm.name: vm.instance_view.statuses[1].code for vm in vms.list_all(status_only="true")
        }

        assert "untouched" in of_group
        assert of_all["untouched"] == "PowerState/deallocated"

    def test_does_not_care_about_case(self, vms):
        assert vms.get("RG", "UNTOUCHED").name == "untouched"

    @pytest.mark.parametrize(
        ("group", "name", "code"),
        [("rg", "other", "ResourceNotFound"), ("other", "untouched", "ResourceGroupNotFound")],
    )
    def test_says_what_does_not_exist(self, vms, group, name, code):
        with pytest.raises(ResourceNotFoundError) as refused:
            vms.get(group, name)

        assert refused.value.error.code == code


class TestPower:
    def test_starts_and_deallocates_a_vm_by_long_running_operations(self, arm, vms, wait_until):
        vms.begin_start("rg", "plain").result()

        assert power_of(vms, "plain") == ["ProvisioningState/succeeded", "PowerState/running"]
        pid = wait_until(lambda: arm.meter("plain")["agent_pid"])
        assert psutil.pid_exists(pid)
        (line,) = wait_until(lambda: arm.diary("plain"))
        assert line.startswith(f"{arm.imds_url}/vm/plain ")

        vms.begin_deallocate("rg", "plain").result()

        assert power_of(vms, "plain") == ["ProvisioningState/succeeded", "PowerState/deallocated"]
        assert not psutil.pid_exists(pid)

    def test_sends_one_request_without_polling_and_shows_the_rest_in_the_view(
        self, arm, vms, wait_until
    ):
        vms.begin_start("rg", "joined", polling=False)
        assert power_of(vms, "joined") == ["ProvisioningState/updating", "PowerState/starting"]

        vms.begin_start("rg", "joined").result()

        assert power_of(vms, "joined")[1] == "PowerState/running"
        assert arm.meter("joined")["starts"] == 1

    def test_goes_on_with_an_operation_from_its_token(self, arm, vms):
        token = vms.begin_start("rg", "resumed").continuation_token()

        vms.begin_start("rg", "resumed", continuation_token=token).result()

        assert power_of(vms, "resumed")[1] == "PowerState/running"
        assert arm.meter("resumed")["starts"] == 1

    def test_bills_a_vm_that_is_only_powered_off(self, arm, vms):
        vms.begin_start("rg", "off").result()
        vms.begin_power_off("rg", "off").result()

        assert power_of(vms, "off")[1] == "PowerState/stopped"
        assert arm.meter("off")["intervals"][-1]["billed"] is True
        vms.begin_deallocate("rg", "off").result()

    def test_refuses_a_start_during_a_deallocation(self, arm, vms, wait_until):
        vms.begin_start("rg", "refused").result()
        vms.begin_deallocate("rg", "refused", polling=False)

        with pytest.raises(ResourceExistsError) as refused:
            vms.begin_start("rg", "refused", polling=False)

        assert refused.value.error.code == "Conflict"
        wait_until(lambda: arm.meter("refused")["power_state"] == "deallocated")

    def test_fails_a_start_that_a_deallocation_preempts(self, vms):
        starting = vms.begin_start("rg", "preempted")
        vms.begin_deallocate("rg", "preempted").result()

        with pytest.raises(HttpResponseError) as failed:
            starting.result(timeout=10)

        assert failed.value.error.code == "OperationPreempted"

    def test_kills_an_agent_that_does_not_end_with_all_that_it_started(self, arm, vms, wait_until):
        vms.begin_start("rg", "stubborn").result()
        pid = wait_until(lambda: arm.meter("stubborn")["agent_pid"])
        (child,) = wait_until(lambda: psutil.Process(pid).children())

        vms.begin_deallocate("rg", "stubborn").result()

        assert not psutil.pid_exists(pid)
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


class TestMeter:
    def test_agrees_with_the_intervals(self, arm, vms):
        vms.begin_start("rg", "lost").result()
        arm.controls.set_fault("power_lost", vm="lost")

        meter = arm.meter("lost")

        billed = [interval for interval in meter["intervals"] if interval["billed"]]
        assert [interval["state"] for interval in billed] == ["starting", "running"]
        assert meter["billed_seconds"] == pytest.approx(
            sum(interval["to"] - interval["from"] for interval in billed)
        )
        assert meter["billed_seconds"] >= 0.2
        assert meter["cost_usd"] == pytest.approx(meter["billed_seconds"] * 0.001)
        assert power_of(vms, "lost")[1] == "PowerState/deallocated"


class TestAgentDeath:
    def test_leaves_the_vm_running_and_billed(self, arm, vms, wait_until):
        vms.begin_start("rg", "mortal").result()
        pid = wait_until(lambda: arm.meter("mortal")["agent_pid"])

        arm.controls.set_fault("agent_dies", vm="mortal")

        wait_until(lambda: arm.meter("mortal")["agent_pid"] is None)
        assert not psutil.pid_exists(pid)
        assert power_of(vms, "mortal") == ["ProvisioningState/succeeded", "PowerState/running"]
        assert arm.meter("mortal")["intervals"][-1]["billed"] is True
        vms.begin_deallocate("rg", "mortal").result()

    def test_is_followed_by_a_restart_in_the_same_boot(self, arm, vms, wait_until):
        vms.begin_start("rg", "restarted").result()
        first = wait_until(lambda: arm.meter("restarted")["agent_pid"])
        wait_until(lambda: arm.diary("restarted"))

        arm.controls.set_fault("agent_dies", vm="restarted")

        second = wait_until(
            lambda: (
                arm.meter("restarted")["agent_pid"] not in (None, first)
                and arm.meter("restarted")["agent_pid"]
            )
        )
        assert psutil.pid_exists(second)
        before, after = wait_until(
            lambda: len(arm.diary("restarted")) == 2 and arm.diary("restarted")
        )
        assert before == after
        vms.begin_deallocate("rg", "restarted").result()
        vms.begin_start("rg", "restarted").result()
        next_boot = wait_until(lambda: arm.diary("restarted")[2:])
        assert next_boot != [before]

    def test_can_be_for_good(self, arm, vms, wait_until):
        vms.begin_start("rg", "restarted").result()
        wait_until(lambda: arm.meter("restarted")["agent_pid"])

        arm.controls.set_fault("agent_dies", vm="restarted", stays_dead=True)

        vms.begin_deallocate("rg", "restarted").result()
        assert arm.meter("restarted")["agent_pid"] is None


class TestFaults:
    @pytest.fixture(autouse=True)
    def _clear(self, arm):
        yield
        arm.controls.clear_faults()

    def test_fail_an_operation_for_want_of_capacity(self, arm, vms):
        arm.controls.set_fault("no_capacity", vm="faulty", count=1)

        with pytest.raises(HttpResponseError) as failed:
            vms.begin_start("rg", "faulty").result()

        assert (failed.value.status_code, failed.value.error.code) == (200, "AllocationFailed")
        assert power_of(vms, "faulty") == [
            "ProvisioningState/failed/AllocationFailed",
            "PowerState/deallocated",
        ]
        assert arm.meter("faulty")["billed_seconds"] == 0
        vms.begin_start("rg", "faulty").result()
        vms.begin_deallocate("rg", "faulty").result()

    def test_refuse_a_start_at_once(self, arm, vms):
        arm.controls.set_fault("no_capacity", vm="faulty", sync=True, code="SkuNotAvailable")

        with pytest.raises(ResourceExistsError) as refused:
            vms.begin_start("rg", "faulty", polling=False)

        assert refused.value.error.code == "SkuNotAvailable"

    def test_throttle_with_the_time_to_wait(self, arm, vms):
        arm.controls.set_fault("throttled", vm="faulty", retry_after_s=9, requests="read")

        with pytest.raises(HttpResponseError) as refused:
            vms.instance_view("rg", "faulty")

        assert refused.value.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "9"
        assert refused.value.error.code == "OperationNotAllowed"

    def test_lose_the_reply_to_a_request_that_was_carried_out(self, arm, vms, wait_until):
        arm.controls.set_fault("lost_reply", vm="faulty", requests="write", count=1)

        with pytest.raises(Exception, match=r"Connection|closed|aborted"):
            vms.begin_start("rg", "faulty", polling=False)

        wait_until(lambda: arm.meter("faulty")["power_state"] == "running")
        vms.begin_deallocate("rg", "faulty").result()

    def test_keep_a_vm_from_ever_being_ready(self, arm, vms, wait_until):
        arm.controls.set_fault("never_ready", vm="faulty", count=1)
        vms.begin_start("rg", "faulty").result()
        # Another VM's agent comes up meanwhile: time enough has passed.
        vms.begin_start("rg", "untouched").result()
        wait_until(lambda: arm.meter("untouched")["agent_pid"])

        assert arm.meter("faulty")["agent_pid"] is None
        assert power_of(vms, "faulty")[1] == "PowerState/running"
        vms.begin_deallocate("rg", "faulty").result()
        vms.begin_deallocate("rg", "untouched").result()

    def test_are_listed_and_cleared(self, arm):
        arm.controls.set_fault("slow_start", vm="faulty", seconds=99)

        (listed,) = arm.controls.list_faults()
        assert (listed["name"], listed["vm"], listed["seconds"]) == ("slow_start", "faulty", 99)
        arm.controls.clear_faults()
        assert arm.controls.list_faults() == []

    def test_are_refused_when_unknown(self, arm):
        with pytest.raises(ValueError, match="InvalidFault"):
            arm.controls.set_fault("earthquake")
        with pytest.raises(ValueError, match="no VM"):
            arm.controls.set_fault("slow_start", vm="gpu-99")


class TestAuthentication:
    def test_wants_a_token_for_azure_resource_manager(self, arm, app_identity):
        with (
            ManagedIdentityCredential() as credential,
            ComputeManagementClient(
                credential,
                "5ab0c1d2-0000-4000-8000-000000000001",
                base_url=arm.url,
                retry_total=0,
                credential_scopes=["https://storage.azure.com/.default"],
            ) as client,
            pytest.raises(ClientAuthenticationError) as refused,
        ):
            client.virtual_machines.get("rg", "untouched")

        assert refused.value.error.code == "InvalidAuthenticationTokenAudience"

    def test_knows_one_subscription(self, arm, app_identity):
        with (
            ManagedIdentityCredential() as credential,
            ComputeManagementClient(
                credential, "another", base_url=arm.url, retry_total=0
            ) as client,
            pytest.raises(ResourceNotFoundError) as refused,
        ):
            client.virtual_machines.get("rg", "untouched")

        assert refused.value.error.code == "SubscriptionNotFound"
