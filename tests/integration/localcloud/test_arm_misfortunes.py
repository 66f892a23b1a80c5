"""What can go wrong in Azure, as the real azure-mgmt-compute meets it."""

import psutil
import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.polling.base_polling import LocationPolling
from azure.identity import ManagedIdentityCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.core.polling.arm_polling import ARMPolling

REMAINING = "x-ms-ratelimit-remaining-resource"
SUBSCRIPTION = "5ab0c1d2-0000-4000-8000-000000000001"

pytestmark = pytest.mark.usefixtures("app_identity")


@pytest.fixture(autouse=True)
def _clear(arm):
    """No fault outlives its test."""
    yield
    arm.controls.clear_faults()


@pytest.fixture(name="patient_vms")
def _patient_vms(arm, app_identity):
    """Operations of a client that retries by itself, as the SDK does unless told otherwise."""
    with (
        ManagedIdentityCredential() as credential,
        ComputeManagementClient(
            credential, SUBSCRIPTION, base_url=arm.url, polling_interval=0.1
        ) as client,
    ):
        yield client.virtual_machines


def by_location() -> ARMPolling:
    """The SDK's poller, made to follow ``Location`` and not ``Azure-AsyncOperation``."""
    return ARMPolling(0.1, lro_algorithms=[LocationPolling()])


def power_of(vms, name):
    return [status.code for status in vms.instance_view("rg", name).statuses]


class TestFailedOperation:
    @pytest.mark.parametrize("code", ["AllocationFailed", "ZonalAllocationFailed"])
    def test_is_told_by_both_roads(self, arm, vms, code):
        arm.controls.set_fault("no_capacity", vm="roads", count=2, code=code, after_s=0.3)

        with pytest.raises(HttpResponseError) as by_body:
            vms.begin_start("rg", "roads").result(20)
        with pytest.raises(HttpResponseError) as by_status:
            vms.begin_start("rg", "roads", polling=by_location()).result(20)

        # By Azure-AsyncOperation a failure arrives with status 200: only the code is the same.
        assert (by_body.value.status_code, by_body.value.error.code) == (200, code)
        assert (by_status.value.status_code, by_status.value.error.code) == (409, code)
        assert power_of(vms, "roads") == [
            f"ProvisioningState/failed/{code}",
            "PowerState/deallocated",
        ]

    def test_is_followed_by_one_that_succeeds_by_the_other_road(self, vms):
        vms.begin_start("rg", "roads", polling=by_location()).result(20)

        assert power_of(vms, "roads")[1] == "PowerState/running"
        vms.begin_deallocate("rg", "roads", polling=by_location()).result(20)
        assert power_of(vms, "roads")[1] == "PowerState/deallocated"

    def test_can_leave_a_deallocated_vm_stopped_and_billed(self, arm, vms):
        vms.begin_start("rg", "kept").result(20)
        arm.controls.set_fault("stuck_release", vm="kept", count=1)

        with pytest.raises(HttpResponseError) as failed:
            vms.begin_deallocate("rg", "kept").result(20)

        assert failed.value.error.code == "InternalExecutionError"
        assert power_of(vms, "kept") == [
            "ProvisioningState/failed/InternalExecutionError",
            "PowerState/stopped",
        ]
        assert arm.meter("kept")["intervals"][-1]["billed"] is True
        vms.begin_deallocate("rg", "kept").result(20)
        assert arm.meter("kept")["intervals"][-1]["billed"] is False


class TestOperationRecord:
    def test_expires(self, vms, wait_until):
        """Whoever comes too late finds no trace of an operation."""
        vms.begin_start("rg", "forgetful").result(20)
        leaving = vms.begin_deallocate("rg", "forgetful")
        token = leaving.continuation_token()
        leaving.result(20)

        def ask_again():
            try:
                vms.begin_deallocate("rg", "forgetful", continuation_token=token).result(20)
            except HttpResponseError as error:
                return error
            return None

        gone = wait_until(ask_again)

        assert (gone.status_code, gone.error.code) == (404, "NotFound")


class TestStartDuringDeallocation:
    @pytest.mark.parametrize(
        ("name", "code"), [("refused", "Conflict"), ("disallowed", "OperationNotAllowed")]
    )
    def test_is_refused_with_the_code_of_its_setting(self, arm, vms, wait_until, name, code):
        vms.begin_start("rg", name).result(20)
        vms.begin_deallocate("rg", name, polling=False)

        with pytest.raises(ResourceExistsError) as refused:
            vms.begin_start("rg", name, polling=False)

        assert refused.value.error.code == code
        assert arm.meter(name)["starts"] >= 1
        wait_until(lambda: arm.meter(name)["power_state"] == "deallocated")

    def test_preempts_it_where_the_setting_says_so(self, arm, vms, wait_until):
        vms.begin_start("rg", "eager").result(20)
        before = wait_until(lambda: arm.meter("eager")["agent_pid"])
        leaving = vms.begin_deallocate("rg", "eager")

        vms.begin_start("rg", "eager").result(20)

        with pytest.raises(HttpResponseError) as preempted:
            leaving.result(20)
        assert preempted.value.error.code == "OperationPreempted"
        assert power_of(vms, "eager") == ["ProvisioningState/succeeded", "PowerState/running"]
        after = wait_until(lambda: arm.meter("eager")["agent_pid"])
        assert after != before
        assert not psutil.pid_exists(before)
        assert arm.meter("eager")["starts"] == 2
        vms.begin_deallocate("rg", "eager").result(20)


class TestPower:
    def test_lost_by_itself_ends_vm_agent_and_bill(self, arm, vms, wait_until):
        vms.begin_start("rg", "faulty").result(20)
        pid = wait_until(lambda: arm.meter("faulty")["agent_pid"])

        arm.controls.set_fault("power_lost", vm="faulty")

        assert power_of(vms, "faulty") == [
            "ProvisioningState/succeeded",
            "PowerState/deallocated",
        ]
        wait_until(lambda: not psutil.pid_exists(pid))
        assert arm.meter("faulty")["intervals"][-1]["billed"] is False

    def test_given_up_by_the_guest_stays_billed(self, arm, vms, wait_until):
        vms.begin_start("rg", "faulty").result(20)
        pid = wait_until(lambda: arm.meter("faulty")["agent_pid"])

        arm.controls.set_fault("guest_shutdown", vm="faulty")

        wait_until(lambda: power_of(vms, "faulty")[1] == "PowerState/stopped")
        assert not psutil.pid_exists(pid)
        billed = arm.meter("faulty")["billed_seconds"]
        wait_until(lambda: arm.meter("faulty")["billed_seconds"] > billed)
        vms.begin_deallocate("rg", "faulty").result(20)
        assert power_of(vms, "faulty")[1] == "PowerState/deallocated"

    def test_can_stay_on_its_way_until_somebody_gives_up(self, arm, vms):
        arm.controls.set_fault("slow_start", vm="faulty", seconds=86_400, count=1)
        starting = vms.begin_start("rg", "faulty")

        assert not starting.done()
        assert power_of(vms, "faulty") == ["ProvisioningState/updating", "PowerState/starting"]
        assert arm.meter("faulty")["intervals"][-1]["billed"] is True
        vms.begin_deallocate("rg", "faulty").result(20)

        with pytest.raises(HttpResponseError) as preempted:
            starting.result(20)
        assert preempted.value.error.code == "OperationPreempted"


class TestAnswers:
    def test_of_a_burst_of_errors_are_outlasted_by_a_client_that_retries(self, arm, patient_vms):
        arm.controls.set_fault("server_error", vm="untouched", count=3)

        assert patient_vms.get("rg", "untouched").name == "untouched"
        assert arm.controls.list_faults() == []

    def test_of_a_burst_of_errors_reach_a_client_that_does_not(self, arm, vms):
        arm.controls.set_fault("server_error", vm="untouched", count=1, status=503)

        with pytest.raises(HttpResponseError) as refused:
            vms.get("rg", "untouched")

        assert (refused.value.status_code, refused.value.error.code) == (
            503,
            "InternalServerError",
        )

    def test_that_never_come_mean_that_nothing_was_done(self, arm, vms):
        arm.controls.set_fault("dropped", vm="untouched", requests="write", count=1)
        starts = arm.meter("untouched")["starts"]

        with pytest.raises((ServiceRequestError, ServiceResponseError)):
            vms.begin_start("rg", "untouched", polling=False)

        assert power_of(vms, "untouched")[1] == "PowerState/deallocated"
        assert arm.meter("untouched")["starts"] == starts

    @pytest.mark.parametrize(
        ("status", "code"),
        [(403, "AuthorizationFailed"), (409, "QuotaExceeded"), (404, "ResourceNotFound")],
    )
    def test_can_carry_any_code(self, arm, vms, status, code):
        arm.controls.set_fault("refused", vm="untouched", status=status, code=code, count=1)

        with pytest.raises(HttpResponseError) as refused:
            vms.begin_start("rg", "untouched", polling=False)

        assert (refused.value.status_code, refused.value.error.code) == (status, code)


class TestRateLimits:
    @pytest.fixture(name="strict_arm")
    def _strict_arm(self, make_arm, tmp_path, monkeypatch):
        """A stand-in that limits rates, as it does unless told otherwise."""
        arm = make_arm(tmp_path, busy={}, other={})
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{arm.imds_url}/msi/token")
        try:
            arm.start()
            yield arm
        finally:
            arm.close()

    @pytest.fixture(name="strict_vms")
    def _strict_vms(self, strict_arm):
        """Operations on its VMs."""
        with (
            ManagedIdentityCredential() as credential,
            ComputeManagementClient(
                credential, SUBSCRIPTION, base_url=strict_arm.url, retry_total=0
            ) as client,
        ):
            yield client.virtual_machines

    def test_say_what_is_left_and_refuse_the_next_with_the_time_to_wait(
        self, strict_arm, strict_vms
    ):
        """Twelve starts a minute and no thirteenth; deallocations have a bucket of their own."""
        seen = []
        for _ in range(12):
            strict_vms.begin_start(
                "rg",
                "busy",
                polling=False,
                raw_response_hook=lambda exchange: seen.append(exchange.http_response.headers),
            )

        with pytest.raises(HttpResponseError) as refused:
            strict_vms.begin_start("rg", "busy", polling=False)

        left = [headers[REMAINING] for headers in seen if REMAINING in headers]
        assert left[0] == (
            "Microsoft.Compute/UpdateVMSubscriptionMaximum;1499,"
            "Microsoft.Compute/UpdateVMResource;11"
        )
        assert left[-1].endswith("UpdateVMResource;0")
        answer = refused.value.response
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert answer.headers[REMAINING].endswith("UpdateVMResource;0")
        assert set(answer.json()) == {"code", "message", "details"}
        assert refused.value.error.code == "OperationNotAllowed"
        assert refused.value.error.details[0].code == "TooManyRequests"
        assert strict_arm.controls.throttled() == 1
        strict_vms.begin_start("rg", "other", polling=False)
        strict_vms.begin_deallocate("rg", "busy", polling=False)

    def test_can_be_lifted(self, arm, vms):
        for _ in range(60):
            vms.instance_view("rg", "untouched")

        assert arm.controls.throttled() == 0
