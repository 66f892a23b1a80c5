"""VMs and operations as the JSON that Azure sends."""

from pathlib import Path

import pytest

from localcloud.arm import machine
from localcloud.arm.errors import ArmDetail
from localcloud.arm.rendering import (
    build_operation_url,
    render_instance_view,
    render_meter,
    render_operation,
    render_vm,
)
from localcloud.arm.settings import AgentSpec, VmSpec
from localcloud.arm.vm import Pace, StartPlan, Vm

PACE = Pace(boot_s=10.0, deallocate_s=4.0)
SPEC = VmSpec(
    name="gpu-0",
    resource_group="rg",
    size="Standard_NC24ads_A100_v4",
    location="eastus",
    zone="1",
    price_per_hour_usd=3.6,
    pace=PACE,
    agent=AgentSpec(command=("true",), cwd=Path("/"), log=Path("/dev/null")),
)


def asleep() -> Vm:
    return machine.new_vm("gpu-0", now=0.0)


def start(vm: Vm, plan: StartPlan | None = None) -> Vm:
    return machine.start(vm, PACE, now=100.0, operation_id="op-1", plan=plan)[0]


def codes(vm: Vm) -> list[str]:
    return [status["code"] for status in render_instance_view(vm, now=0.0)["statuses"]]


class TestRenderInstanceView:
    def test_shows_a_vm_that_is_off(self):
        assert codes(asleep()) == ["ProvisioningState/succeeded", "PowerState/deallocated"]

    def test_shows_a_start_and_its_end(self):
        vm = start(asleep())

        assert codes(vm) == ["ProvisioningState/updating", "PowerState/starting"]
        assert codes(machine.advance(vm, now=110.0)) == [
            "ProvisioningState/succeeded",
            "PowerState/running",
        ]

    def test_shows_why_a_start_failed(self):
        failure = ArmDetail("AllocationFailed", "no room")
        vm = machine.advance(start(asleep(), StartPlan(failure=failure)), now=110.0)

        first = render_instance_view(vm, now=110.0)["statuses"][0]

        assert codes(vm) == [
            "ProvisioningState/failed/AllocationFailed",
            "PowerState/deallocated",
        ]
        assert (first["level"], first["message"]) == ("Error", "no room")

    def test_has_a_guest_agent_only_while_it_runs(self):
        running = machine.advance(start(asleep()), now=110.0)

        assert "vmAgent" in render_instance_view(running, now=110.0)
        assert "vmAgent" not in render_instance_view(asleep(), now=0.0)


class TestRenderVm:
    def test_names_size_place_and_state(self):
        body = render_vm(asleep(), SPEC, subscription_id="sub", now=0.0, with_view=False)

        assert body["id"] == (
            "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Compute"
            "/virtualMachines/gpu-0"
        )
        assert body["zones"] == ["1"]
        assert body["properties"]["hardwareProfile"] == {"vmSize": "Standard_NC24ads_A100_v4"}
        assert body["properties"]["provisioningState"] == "Succeeded"
        assert "instanceView" not in body["properties"]

    def test_changes_its_etag_with_its_state(self):
        before, after = (
            render_vm(vm, SPEC, subscription_id="sub", now=0.0, with_view=False)["etag"]
            for vm in (asleep(), start(asleep()))
        )

        assert before != after


class TestRenderOperation:
    def test_has_an_end_only_when_it_is_over(self):
        vm = start(asleep())
        ended = machine.advance(vm, now=110.0).past[-1]

        assert set(render_operation(vm.current)) == {"startTime", "status", "name"}
        assert render_operation(vm.current)["status"] == "InProgress"
        assert render_operation(ended)["status"] == "Succeeded"
        assert render_operation(ended)["endTime"] == "1970-01-01T00:01:50.000000+00:00"

    def test_says_why_it_failed(self):
        failure = ArmDetail("AllocationFailed", "no room")
        vm = machine.advance(start(asleep(), StartPlan(failure=failure)), now=110.0)

        assert render_operation(vm.past[-1])["error"] == {
            "code": "AllocationFailed",
            "message": "no room",
        }


class TestBuildOperationUrl:
    def test_is_as_long_as_azures_own(self):
        url = build_operation_url(
            "https://127.0.0.1:1",
            subscription_id="sub",
            location="eastus",
            operation=start(asleep()).current,
            api_version="2026-04-01",
        )

        assert len(url) == 4096
        assert "/operations/op-1?" in url
        assert "api-version=2026-04-01" in url


class TestRenderMeter:
    def test_prices_the_billed_seconds(self):
        vm = machine.advance(start(asleep()), now=110.0)

        meter = render_meter(vm, SPEC, now=1100.0)

        assert meter["billed_seconds"] == 1000.0
        assert meter["cost_usd"] == pytest.approx(1.0)
        assert [interval["state"] for interval in meter["intervals"]] == [
            "deallocated",
            "starting",
            "running",
        ]
        assert meter["intervals"][-1]["to"] is None
