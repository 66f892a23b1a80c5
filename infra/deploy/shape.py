"""What of an environment decides its price, read from its Terraform variables."""

import re
from dataclasses import dataclass
from pathlib import Path

from infra.deploy.errors import DeployError
from infra.deploy.hcl import bare, find_call, load, plain

_OPTIONAL = re.compile(r"\b(\w+)\s*=\s*optional\(\s*\w+\s*,\s*([^()\s][^()]*?)\s*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedVm:
    """A VM as far as it costs."""

    name: str
    size: str
    region: str
    disk_gb: int
    price_per_hour_usd: float
    preference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An environment as far as it costs.

    Attributes:
        regions: Those of the VMs.
        vms: All of them, the one that is woken first at the head.
        has_way_out: Whether every region has a NAT gateway of its own.
        is_private: Whether storage answers through private endpoints only.
        always_ready: Instances of the app that never sleep.
        instance_memory_mb: Memory of each instance of the app.
        idle_window_s: Seconds for which a VM stays up after its last job.
    """

    regions: tuple[str, ...]
    vms: tuple[PricedVm, ...]
    has_way_out: bool
    is_private: bool
    always_ready: int
    instance_memory_mb: int
    idle_window_s: float


def read_shape(folder: Path, modules: Path) -> Shape:
    """Read an environment's variables, and the modules' defaults where it says nothing.

    Args:
        folder: Of the environment.
        modules: Folder of the modules.

    Raises:
        DeployError: It does not call the module ``coldforge``, or a value can't be read.
    """
    call = find_call(load(folder / "main.tf"))
    defaults = {
        bare(name): plain(body.get("default"))
        for variable in load(modules / "coldforge" / "variables.tf")["variable"]
        for name, body in variable.items()
    }
    given = {**defaults, **{name: plain(value) for name, value in call.items()}}
    if not given.get("regions"):
        raise DeployError(f"{folder}: it names no regions")
    of_vm = _read_optionals(modules / "gpu_pool" / "variables.tf")
    of_pool = _read_optionals(modules / "control_plane" / "variables.tf")
    of_app = _read_optionals(modules / "coldforge" / "variables.tf")
    try:
        vms = [
            PricedVm(
                name=name,
                size=str(vm.get("size", of_vm.get("size"))),
                region=region,
                disk_gb=int(vm.get("os_disk_gb", of_vm.get("os_disk_gb"))),
                price_per_hour_usd=float(vm["price_per_hour_usd"]),
                preference=int(vm.get("preference", of_vm.get("preference", 100))),
            )
            for region, body in given["regions"].items()
            for name, vm in (body.get("vms") or {}).items()
        ]
        return Shape(
            regions=tuple(given["regions"]),
            vms=tuple(sorted(vms, key=lambda vm: (vm.preference, vm.name))),
            has_way_out=given["way_out"] == "nat_gateway",
            is_private=given["storage_access"] == "private",
            always_ready=int((given.get("app") or {}).get("always_ready_instances", 0)),
            instance_memory_mb=int(
                (given.get("app") or {}).get("instance_memory_mb", of_app["instance_memory_mb"])
            ),
            idle_window_s=float(
                (given.get("pool") or {}).get("idle_window_s", of_pool["idle_window_s"])
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DeployError(f"{folder}: its variables don't tell the price: {error!r}") from error


def _read_optionals(path: Path) -> dict[str, str]:
    """Read the defaults that stand in the types of variables: ``optional(number, 256)``."""
    return {name: bare(value) for name, value in _OPTIONAL.findall(path.read_text("utf-8"))}
