"""Faults by name: how they are read, whom they hit and how often."""

import pytest

from localcloud.arm.addresses import Target
from localcloud.arm.errors import ArmDetail, ArmError, ThrottledError
from localcloud.arm.faults import (
    Fault,
    FaultName,
    find_refusal,
    plan_release,
    plan_start,
    read_fault,
    take,
)
from localcloud.arm.vm import StartPlan
from localcloud.blueprint import ROOT


def fault(**body) -> Fault:
    return read_fault(body, fault_id=1)


class TestReadme:
    def test_has_a_row_for_each_fault_that_names_its_options(self):
        rows = {
            row.split("`")[1]: row
            for row in (ROOT / "localcloud" / "arm" / "README.md").read_text().splitlines()
            if row.startswith("| `")
        }

        assert set(rows) == set(FaultName)
        for name, row in rows.items():
            for option in fault(name=name).options:
                assert f"`{option}`" in row, (name, option)


class TestReadFault:
    def test_fills_in_what_is_not_said(self):
        read = fault(name="no_capacity", vm="gpu-0")

        assert read.options["code"] == "AllocationFailed"
        assert read.options["sync"] is False
        assert read.remaining is None

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"name": "earthquake"}, "no_capacity"),
            (["no_capacity"], "name must be"),
            ({"name": "slow_start", "minutes": 3}, "seconds"),
            ({"name": "slow_start", "seconds": "long"}, "float"),
            ({"name": "slow_start", "seconds": -1}, "float"),
            ({"name": "no_capacity", "sync": 1}, "bool"),
            ({"name": "no_capacity", "count": 0}, "above 0"),
            ({"name": "no_capacity", "count": True}, "above 0"),
            ({"name": "no_capacity", "vm": 3}, "name of a VM"),
            ({"name": "throttled", "requests": "some"}, "read"),
            ({"name": "server_error", "status": 200}, "500"),
            ({"name": "refused", "status": 500}, "400"),
            ({"name": "throttled", "retry_after_s": 0.5}, "int"),
            ({"name": "throttled", "retry_after_s": -1}, "negative"),
        ],
    )
    def test_refuses_what_it_does_not_know_and_says_what_it_does(self, body, said):
        with pytest.raises(ArmError) as refused:
            read_fault(body, fault_id=1)

        assert refused.value.status == 400
        assert said in refused.value.detail.message


class TestTake:
    def test_hits_its_own_vm_only(self):
        faults = (fault(name="throttled", vm="gpu-1"),)

        assert take(faults, {FaultName.THROTTLED}, "gpu-0") == (None, faults)
        assert take(faults, {FaultName.THROTTLED}, None) == (None, faults)
        assert take(faults, {FaultName.THROTTLED}, "GPU-1") == (faults[0], faults)

    def test_is_used_up_by_its_count(self):
        faults = (fault(name="throttled", count=2),)

        first, faults = take(faults, {FaultName.THROTTLED}, "gpu-0")
        second, faults = take(faults, {FaultName.THROTTLED}, "gpu-0")
        third, faults = take(faults, {FaultName.THROTTLED}, "gpu-0")

        assert first is not None
        assert second is not None
        assert third is None
        assert faults == ()

    def test_can_be_meant_for_reads_or_writes_only(self):
        faults = (fault(name="throttled", requests="write"),)

        assert take(faults, {FaultName.THROTTLED}, "gpu-0", is_write=False)[0] is None
        assert take(faults, {FaultName.THROTTLED}, "gpu-0", is_write=True)[0] == faults[0]


class TestPlanStart:
    def test_is_a_plain_one_without_faults(self):
        assert plan_start((), "gpu-0") == (StartPlan(), ())

    def test_fails_later_for_want_of_capacity(self):
        faults = (fault(name="no_capacity", code="ZonalAllocationFailed", after_s=3, count=1),)

        plan, left = plan_start(faults, "gpu-0")

        assert isinstance(plan, StartPlan)
        assert plan.boot_s == 3
        assert plan.failure is not None
        assert plan.failure.code == "ZonalAllocationFailed"
        assert left == ()

    def test_is_refused_at_once_if_the_fault_says_so(self):
        plan, _ = plan_start((fault(name="no_capacity", sync=True),), "gpu-0")

        assert isinstance(plan, ArmError)
        assert plan.status == 409

    def test_joins_slowness_and_uselessness(self):
        faults = (fault(name="slow_start", seconds=9), fault(name="never_ready"))

        plan, _ = plan_start(faults, "gpu-0")

        assert plan == StartPlan(extra_boot_s=9, agent_starts=False)


class TestFindRefusal:
    def test_throttles_with_a_whole_number_of_seconds_and_a_bare_body(self):
        refusal = find_refusal(fault(name="throttled", retry_after_s=7), Target.DEALLOCATE)

        assert isinstance(refusal, ThrottledError)
        assert refusal.headers == {"Retry-After": "7"}
        assert refusal.to_json()["code"] == "OperationNotAllowed"
        (detail,) = refusal.to_json()["details"]
        assert (detail["code"], detail["target"]) == ("TooManyRequests", "DeleteVMResource")

    def test_answers_with_the_status_that_was_asked_for(self):
        assert find_refusal(fault(name="server_error", status=503), Target.VM).status == 503

    def test_refuses_with_the_code_that_was_asked_for(self):
        given = fault(name="refused", status=409, code="QuotaExceeded", message="no more")

        refusal = find_refusal(given, Target.START)

        assert (refusal.status, refusal.detail) == (409, ArmDetail("QuotaExceeded", "no more"))


class TestPlanRelease:
    def test_succeeds_without_a_fault(self):
        faults = (fault(name="no_capacity"),)

        assert plan_release(faults, "gpu-0") == (None, faults)

    def test_fails_as_often_as_the_fault_says(self):
        faults = (fault(name="stuck_release", count=1, code="NetworkingInternalOperationError"),)

        failure, left = plan_release(faults, "gpu-0")

        assert failure is not None
        assert failure.code == "NetworkingInternalOperationError"
        assert left == ()
