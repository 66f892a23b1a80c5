"""Resources, operations and meters as JSON: what azure-mgmt-compute reads. Pure."""

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Any

from localcloud.arm.estate import principal_of
from localcloud.arm.machine import measure_billed_s
from localcloud.arm.settings import VmSpec
from localcloud.arm.vm import Operation, OperationStatus, PowerState, Vm

OPERATION_URL_LENGTH = 4_096
"""Azure signs its operation URLs: about 4 KB, too long to be kept where short ones would do."""


def render_vm(
    vm: Vm, spec: VmSpec, *, subscription_id: str, now: float, with_view: bool
) -> dict[str, Any]:
    """Return a virtual machine.

    Args:
        vm: Its state.
        spec: What it is.
        subscription_id: Whose it is.
        now: Epoch seconds.
        with_view: Whether its instance view comes along.
    """
    resource_id = spec.resource_id(subscription_id)
    properties: dict[str, Any] = {
        "vmId": str(uuid.uuid5(uuid.NAMESPACE_URL, resource_id)),
        "hardwareProfile": {"vmSize": spec.size},
        "storageProfile": {
            "imageReference": {
                "id": f"/subscriptions/{subscription_id}/resourceGroups/{spec.resource_group}"
                "/providers/Microsoft.Compute/galleries/coldforge/images/gpu-agent/versions/"
                f"{spec.image_version}",
                "exactVersion": spec.image_version,
            },
            "osDisk": {"osType": "Linux", "name": f"{vm.name}-os", "createOption": "FromImage"},
        },
        "osProfile": {"computerName": vm.name, "adminUsername": "azureuser"},
        "provisioningState": _provisioning(vm).capitalize(),
    }
    if with_view:
        properties["instanceView"] = render_instance_view(vm, now=now)
    return {
        "name": vm.name,
        "id": resource_id,
        "type": "Microsoft.Compute/virtualMachines",
        "location": spec.location,
        **({"zones": [spec.zone]} if spec.zone else {}),
        "tags": {},
        "identity": {"type": "SystemAssigned", "principalId": principal_of(spec.name)},
        "etag": f'"{hashlib.sha256(repr(vm).encode()).hexdigest()[:16]}"',
        "properties": properties,
    }


def render_instance_view(vm: Vm, *, now: float) -> dict[str, Any]:
    """Return an instance view: provisioning state, then power state."""
    provisioning: dict[str, Any] = {
        "code": f"ProvisioningState/{_provisioning(vm)}",
        "level": "Info",
        "displayStatus": f"Provisioning {_provisioning(vm)}",
        "time": format_moment(vm.intervals[-1].started_at),
    }
    if vm.failure:
        provisioning["code"] += f"/{vm.failure.code}"
        provisioning |= {"level": "Error", "message": vm.failure.message}
    power = {
        "code": f"PowerState/{vm.power}",
        "level": "Info",
        "displayStatus": f"VM {vm.power}",
    }
    view: dict[str, Any] = {
        "computerName": vm.name,
        "hyperVGeneration": "V2",
        "statuses": [provisioning, power],
    }
    if vm.power is PowerState.RUNNING:
        report = {
            "code": "ProvisioningState/succeeded",
            "level": "Info",
            "displayStatus": "Ready",
            "message": "Guest Agent is running",
            "time": format_moment(now),
        }
        view["vmAgent"] = {"vmAgentVersion": "2.13.1.1", "statuses": [report]}
    return view


def render_operation(operation: Operation) -> dict[str, Any]:
    """Return the body that polling ``Azure-AsyncOperation`` reads."""
    body: dict[str, Any] = {
        "startTime": format_moment(operation.started_at),
        "status": operation.status,
        "name": operation.id,
    }
    if operation.ended_at is not None:
        body["endTime"] = format_moment(operation.ended_at)
    if operation.failure:
        body["error"] = operation.failure.to_json()
    return body


def build_operation_url(
    base_url: str, *, subscription_id: str, location: str, operation: Operation, api_version: str
) -> str:
    """Return the URL under which an operation is polled, as long as Azure's own."""
    stem = (
        f"{base_url}/subscriptions/{subscription_id}/providers/Microsoft.Compute/locations/"
        f"{location}/operations/{operation.id}?p={operation.id}&api-version={api_version}"
        f"&t={int(operation.started_at * 1e7)}"
    )
    signature = hashlib.sha256(operation.id.encode()).hexdigest()
    tail = f"&s={signature}&h={signature[:43]}"
    filler = (signature * 64)[: OPERATION_URL_LENGTH - len(stem) - len(tail) - len("&c=")]
    return f"{stem}&c={filler}{tail}"


def render_meter(vm: Vm, spec: VmSpec, *, now: float) -> dict[str, Any]:
    """Return what a VM has cost so far and why."""
    billed_s = measure_billed_s(vm, now=now)
    return {
        "billed_seconds": billed_s,
        "cost_usd": billed_s / 3600 * spec.price_per_hour_usd,
        "power_state": vm.power,
        "starts": vm.starts,
        "agent_pid": vm.agent.pid,
        "switch_pid": vm.switch.pid,
        "intervals": [
            {
                "from": interval.started_at,
                "to": interval.ended_at,
                "state": interval.state,
                "billed": interval.is_billed,
            }
            for interval in vm.intervals
        ],
    }


def is_in_progress(operation: Operation) -> bool:
    """Tell whether an operation is not over."""
    return operation.status is OperationStatus.IN_PROGRESS


def format_moment(at: float) -> str:
    """Write epoch seconds as Azure does."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def _provisioning(vm: Vm) -> str:
    if vm.current:
        return "updating"
    return "failed" if vm.failure else "succeeded"
