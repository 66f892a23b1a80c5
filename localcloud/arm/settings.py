"""What the stand-in is told: its command line, and the file that lists its VMs."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from localcloud.arm.estate import Estate
from localcloud.arm.vm import Overlap, Pace

BOOT_ID_PLACEHOLDER = "${BOOT_ID}"
"""In an agent's environment: replaced by an id that is new at every boot of its VM."""

BOOTED_AT_PLACEHOLDER = "${BOOTED_AT}"
"""In a program's environment: replaced by its VM's boot, in seconds on the boot clock."""


class SettingsError(ValueError):
    """The command line or the list of VMs can't be used; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """A program that stands for what runs inside a VM.

    Attributes:
        command: Program and arguments.
        environ: Added to the stand-in's own; may hold secrets, and `BOOT_ID_PLACEHOLDER`.
        cwd: Where it runs.
        log: File to which its output is appended.
        stop_grace_s: Time between SIGTERM and SIGKILL when the VM goes, in seconds.
    """

    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path
    log: Path
    stop_grace_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """What a VM is; what it does is a `Vm`."""

    name: str
    resource_group: str
    size: str
    location: str
    zone: str | None
    price_per_hour_usd: float
    pace: Pace
    agent: AgentSpec
    switch: AgentSpec | None = None
    image_version: str = "1.0.0"

    @classmethod
    def from_json(cls, body: Mapping[str, Any], folder: Path) -> Self:
        """Read one VM of the list.

        Args:
            body: Its JSON object.
            folder: Where its agent runs and logs if it does not say.

        Raises:
            SettingsError: Something required is absent or of the wrong kind.
        """
        name = body.get("name", "a VM without name")
        try:
            switch = body.get("switch")
            restart_s = body.get("restart_agent_after_s")
            return cls(
                name=body["name"],
                resource_group=body["resource_group"],
                size=body["size"],
                location=body["location"],
                zone=body.get("zone") or None,
                price_per_hour_usd=float(body.get("price_per_hour_usd", 0.0)),
                pace=Pace(
                    boot_s=float(body.get("boot_s", Pace().boot_s)),
                    deallocate_s=float(body.get("deallocate_s", Pace().deallocate_s)),
                    restart_agent_after_s=None if restart_s is None else float(restart_s),
                    overlap=Overlap(body.get("start_during_deallocation", Overlap.CONFLICT)),
                    operation_kept_s=float(body.get("operation_kept_s", Pace().operation_kept_s)),
                ),
                agent=_read_program(body["agent"], folder, f"{body['name']}.log"),
                switch=_read_program(switch, folder, f"{body['name']}-switch.log")
                if switch
                else None,
                image_version=str(body.get("image_version", "1.0.0")),
            )
        except KeyError as error:
            raise SettingsError(f"{name}: {error.args[0]} is missing") from error
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{name}: {error}") from error

    def resource_id(self, subscription_id: str) -> str:
        """Return the VM's id in Azure."""
        return (
            f"/subscriptions/{subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.Compute/virtualMachines/{self.name}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the stand-in is told.

    Attributes:
        port: For Azure Resource Manager and ``/_local``.
        imds_port: For the identity services, plain HTTP.
        folder: Where state is kept.
        chain: PEM file of the certificate; None: one is made under `folder`.
        key: PEM file of its key.
        identity_header: What callers of the App Service identity must send; if empty, anything.
        limits_rates: Whether too many requests are refused, as Azure does.
        subscription_id: Whose the VMs are.
        vms: By name.
        estate: What the deployment has besides; None: nothing that can be asked about.
    """

    port: int
    imds_port: int
    folder: Path
    chain: Path | None
    key: Path | None
    identity_header: str = field(repr=False)
    limits_rates: bool
    subscription_id: str
    vms: Mapping[str, VmSpec]
    estate: Estate | None


def _read_program(body: Mapping[str, Any], folder: Path, log_name: str) -> AgentSpec:
    return AgentSpec(
        command=tuple(body["command"]),
        environ=dict(body.get("env", {})),
        cwd=Path(body.get("cwd", folder)),
        log=Path(body.get("log", folder / log_name)),
        stop_grace_s=float(body.get("stop_grace_s", 5.0)),
    )


def read_settings(arguments: Sequence[str] | None, environ: Mapping[str, str]) -> Settings:
    """Read the command line and the file that it names.

    Raises:
        SettingsError: Something is absent or can't be read.
    """
    parser = argparse.ArgumentParser(
        prog="python -m localcloud.arm",
        description="Azure's virtual machines and their identities, on one machine.",
    )
    parser.add_argument("--port", type=int, required=True, help="https: Azure Resource Manager")
    parser.add_argument("--imds-port", type=int, required=True, help="http: identity services")
    parser.add_argument("--data", type=Path, required=True, help="folder of its state")
    parser.add_argument("--vms", type=Path, required=True, help="JSON file that lists the VMs")
    parser.add_argument("--cert", type=Path, help="PEM certificate chain (default: made here)")
    parser.add_argument("--key", type=Path, help="its PEM key")
    parser.add_argument(
        "--no-rate-limits",
        dest="limits_rates",
        action="store_false",
        help="never refuse a request because there were too many",
    )
    options = parser.parse_args(arguments)
    if (options.cert is None) != (options.key is None):
        raise SettingsError("--cert and --key go together")
    folder = options.data.absolute()
    subscription_id, vms = read_vms(options.vms, folder)
    return Settings(
        port=options.port,
        imds_port=options.imds_port,
        folder=folder,
        chain=options.cert,
        key=options.key,
        identity_header=environ.get("IDENTITY_HEADER", ""),
        limits_rates=options.limits_rates,
        subscription_id=subscription_id,
        vms=vms,
        estate=read_estate(options.vms),
    )


def read_vms(path: Path, folder: Path) -> tuple[str, dict[str, VmSpec]]:
    """Read the file that lists the VMs.

    Returns:
        The subscription's id, and the VMs by name.

    Raises:
        SettingsError: It can't be read, or two VMs have one name.
    """
    try:
        body = json.loads(path.read_text())
        subscription_id = str(body["subscription_id"])
        listed = [VmSpec.from_json(vm, folder) for vm in body["vms"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{path}: {error!r}") from error
    names = [vm.name.lower() for vm in listed]
    if len(set(names)) < len(names):
        raise SettingsError(f"{path}: two VMs have one name")
    return subscription_id, {vm.name: vm for vm in listed}


def read_estate(path: Path) -> Estate | None:
    """Read what a deployment has besides its VMs, from the file that lists those.

    Raises:
        SettingsError: It can't be read.
    """
    try:
        body = json.loads(path.read_text()).get("estate")
        return Estate.from_json(body) if body else None
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{path}: estate: {error}") from error
