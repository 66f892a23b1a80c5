"""Keeps the VMs and the faults in one JSON file, replaced as a whole."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localcloud.arm.errors import ArmDetail
from localcloud.arm.faults import Fault, FaultName
from localcloud.arm.vm import (
    Agent,
    Interval,
    Operation,
    OperationStatus,
    PowerState,
    StartPlan,
    Vm,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionState:
    """All that has to survive.

    Attributes:
        tag: The leash of everything that the region started.
        vms: By name.
        faults: Those that are set.
        fault_count: Number of the last fault.
    """

    tag: str
    vms: Mapping[str, Vm] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    fault_count: int = 0


def save_state(path: Path, state: RegionState) -> None:
    """Write the state; a reader sees the old one or the new one."""
    body = {
        "tag": state.tag,
        "vms": {name: asdict(vm) for name, vm in state.vms.items()},
        "faults": [asdict(fault) for fault in state.faults],
        "fault_count": state.fault_count,
    }
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(body))
    unfinished.replace(path)


def load_state(path: Path) -> RegionState | None:
    """Read the state; None if there is none yet.

    Raises:
        ValueError: The file is not one of this program.
    """
    if not path.exists():
        return None
    try:
        body = json.loads(path.read_text())
        return RegionState(
            tag=body["tag"],
            vms={name: _read_vm(vm) for name, vm in body["vms"].items()},
            faults=tuple(
                Fault(**{**fault, "name": FaultName(fault["name"])}) for fault in body["faults"]
            ),
            fault_count=body["fault_count"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} can't be read: {error!r}; delete it to begin anew") from error


def _read_vm(body: dict[str, Any]) -> Vm:
    plan = body["plan"]
    return Vm(
        **{
            **body,
            "power": PowerState(body["power"]),
            "current": _read_operation(body["current"]) if body["current"] else None,
            "plan": StartPlan(**{**plan, "failure": _read_detail(plan["failure"])}),
            "release_failure": _read_detail(body.get("release_failure")),
            "failure": _read_detail(body["failure"]),
            "intervals": tuple(
                Interval(**{**interval, "state": PowerState(interval["state"])})
                for interval in body["intervals"]
            ),
            "past": tuple(_read_operation(operation) for operation in body["past"]),
            "agent": Agent(**body["agent"]),
            # A state of before there was one has none.
            "switch": Agent(**body.get("switch", {})),
        }
    )


def _read_operation(body: dict[str, Any]) -> Operation:
    return Operation(
        **{
            **body,
            "status": OperationStatus(body["status"]),
            "failure": _read_detail(body["failure"]),
        }
    )


def _read_detail(body: dict[str, Any] | None) -> ArmDetail | None:
    return ArmDetail(**body) if body else None
