"""What a local cloud consists of: its ports, folders, secrets and settings. Pure but for ports."""

import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from coldforge.loopback import exempt_loopback
from localcloud.arm.estate import Estate
from localcloud.arm.settings import BOOT_ID_PLACEHOLDER, BOOTED_AT_PLACEHOLDER
from localcloud.arm.vm import Overlap
from localcloud.certificate import Certificate
from localcloud.ports import choose_free_ports
from localcloud.storage import ACCOUNT, blob_url, queue_url, table_url

ROOT = Path(__file__).parents[1]
"""The checkout: where the programs are."""

SUBSCRIPTION_ID = "00000000-0000-4000-8000-00000000c01d"
CONTAINERS = ("jobs", "pool", "inbox", "failed")
TABLES = ("jobs", "idempotency", "results", "deliveries", "ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalVm:
    """A VM of the local cloud: an Azure VM by its figures, a process in truth.

    Attributes:
        boot_s: From a start's acceptance to running, in seconds.
        deallocate_s: From a deallocation's acceptance to deallocated, in seconds.
        restart_agent_after_s: When a dead agent is started again, as systemd would; None: never.
        start_during_deallocation: What a start does while the VM is being deallocated.
        image_version: From which version of the image it was made.
        agent_environ: Further settings of its agent.
        switch_environ: Further settings of its dead-man's switch; None: it has none.
    """

    name: str = "gpu-0"
    resource_group: str = "coldforge-local"
    size: str = "Standard_NC24ads_A100_v4"
    region: str = "eastus"
    zone: str = "1"
    price_per_hour_usd: float = 3.673
    boot_s: float = 5.0
    deallocate_s: float = 2.0
    restart_agent_after_s: float | None = 2.0
    start_during_deallocation: Overlap = Overlap.CONFLICT
    image_version: str = "1.0.0"
    agent_environ: Mapping[str, str] = field(default_factory=dict)
    switch_environ: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackUrls:
    """Where everything is.

    Attributes:
        app: The function app, without ``/api``.
        arm: Azure Resource Manager.
        identity: Token endpoint of the function app's identity.
        blob: Blob service.
        table: Table service.
        queue: Queue service.
        agents: Agents by VM; one answers only while its VM runs.
    """

    app: str
    arm: str
    identity: str
    blob: str
    table: str
    queue: str
    agents: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Everything about one local cloud that is decided before it starts.

    Attributes:
        folder: Where it keeps everything.
        app_port: Port of the function app.
        arm_port: Port of Azure Resource Manager.
        imds_port: Port of the identity services.
        storage_ports: For blobs, tables and queues.
        agent_ports: By VM.
        vms: The VMs.
        agent_command: Program and arguments of an agent.
        agent_token: Bearer token of the agents.
        identity_header: Secret of the function app's identity.
    """

    folder: Path
    app_port: int
    arm_port: int
    imds_port: int
    storage_ports: tuple[int, int, int]
    agent_ports: Mapping[str, int]
    vms: tuple[LocalVm, ...]
    agent_command: tuple[str, ...]
    agent_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    identity_header: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def urls(self) -> StackUrls:
        """Where everything will be."""
        return StackUrls(
            app=f"http://127.0.0.1:{self.app_port}",
            arm=f"https://127.0.0.1:{self.arm_port}",
            identity=f"http://127.0.0.1:{self.imds_port}/msi/token",
            blob=blob_url(self.storage_ports[0]),
            table=table_url(self.storage_ports[1]),
            queue=queue_url(self.storage_ports[2]),
            agents={name: f"http://127.0.0.1:{port}" for name, port in self.agent_ports.items()},
        )

    def log(self, component: str) -> Path:
        """Return a component's log file; an agent's is named after its VM."""
        return self.folder / "logs" / f"{component}.log"

    def switch_log(self, vm: str) -> Path:
        """Return the log file of a VM's switch."""
        return self.log(f"{vm}-switch")


def draw_blueprint(
    folder: Path,
    *,
    vms: tuple[LocalVm, ...],
    app_port: int | None = None,
    agent_command: tuple[str, ...] | None = None,
) -> Blueprint:
    """Choose ports and secrets.

    Args:
        folder: Where the local cloud keeps everything.
        vms: Its VMs.
        app_port: Port of the function app; None: a free one.
        agent_command: Program and arguments of an agent; None: ours.

    Raises:
        OSError: There are no free ports.
    """
    app, arm, imds, blob, table, queue, *agents = choose_free_ports(6 + len(vms))
    return Blueprint(
        folder=folder.absolute(),
        app_port=app_port or app,
        arm_port=arm,
        imds_port=imds,
        storage_ports=(blob, table, queue),
        agent_ports={vm.name: port for vm, port in zip(vms, agents, strict=True)},
        vms=vms,
        agent_command=agent_command or (sys.executable, "-m", "gpu_agent"),
    )


def base_environ(outer: Mapping[str, str], certificate: Certificate) -> dict[str, str]:
    """Return what every component's environment has in common.

    Args:
        outer: Environment of whoever starts the local cloud.
        certificate: The local certificate, trusted on top of the public ones.
    """
    environ = dict(outer)
    exempt_loopback(environ)
    return {
        **environ,
        "PYTHONUNBUFFERED": "1",
        # For requests, which the SDK's blocking clients use, and for the ssl module, on which
        # its asynchronous ones stand.
        "REQUESTS_CA_BUNDLE": str(certificate.bundle),
        "SSL_CERT_FILE": str(certificate.bundle),
    }


def app_environ(blueprint: Blueprint) -> dict[str, str]:
    """Return the settings of the function app: those that it has in Azure, with local values."""
    urls = blueprint.urls
    listed = [
        {
            "name": vm.name,
            "resource_group": vm.resource_group,
            "size": vm.size,
            "region": vm.region,
            "zone": vm.zone,
            "price_per_hour_usd": vm.price_per_hour_usd,
            "agent_url": urls.agents[vm.name],
        }
        for vm in blueprint.vms
    ]
    return {
        "ARM_URL": urls.arm,
        "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION_ID,
        "AzureWebJobsStorage__blobServiceUri": urls.blob,
        "AzureWebJobsStorage__credential": "managedidentity",
        "GPU_AGENT_TOKEN": blueprint.agent_token,
        "GPU_VMS": json.dumps(listed),
        "IDENTITY_ENDPOINT": urls.identity,
        "IDENTITY_HEADER": blueprint.identity_header,
        "STORAGE_BLOB_URL": urls.blob,
        "STORAGE_TABLE_URL": urls.table,
    }


def draw_estate(blueprint: Blueprint) -> Estate:
    """Return what this deployment has besides its VMs."""
    urls = blueprint.urls
    first = blueprint.vms[0] if blueprint.vms else LocalVm()
    secret = f"{urls.arm}/secrets/gpu-agent-token"
    return Estate(
        resource_group=first.resource_group,
        location=first.region,
        app="coldforge-local",
        app_host=urls.app.removeprefix("http://"),
        # As in Azure: a reference to the secret, which the platform puts the value in place of.
        settings={
            **app_environ(blueprint),
            "GPU_AGENT_TOKEN": f"@Microsoft.KeyVault(SecretUri={secret})",
        },
        storage=ACCOUNT,
        endpoints={"blob": urls.blob, "table": urls.table, "queue": urls.queue},
        vault="coldforge-local",
        secrets={
            "gpu-agent-token": blueprint.agent_token,
            "gpu-agent-token-other": "the local cloud's agents know only the one",
        },
    )


def describe_deployment(blueprint: Blueprint) -> dict[str, Any]:
    """Return what ``coldforge doctor`` has to know, as a file of its own form says it."""
    estate = draw_estate(blueprint)
    return {
        "subscription_id": SUBSCRIPTION_ID,
        "app_id": estate.app_id(SUBSCRIPTION_ID),
        "app_url": blueprint.urls.app,
        "storage_account_id": estate.storage_id(SUBSCRIPTION_ID),
        "key_vault_id": estate.vault_id(SUBSCRIPTION_ID),
        "budget_id": estate.budget_id(SUBSCRIPTION_ID),
        "image_versions": {vm.name: vm.image_version for vm in blueprint.vms},
        "arm_url": blueprint.urls.arm,
    }


def list_vms(blueprint: Blueprint) -> dict[str, Any]:
    """Return the list of VMs that the stand-in for Azure Resource Manager reads."""
    return {
        "subscription_id": SUBSCRIPTION_ID,
        "estate": asdict(draw_estate(blueprint)),
        "vms": [
            {
                "name": vm.name,
                "resource_group": vm.resource_group,
                "size": vm.size,
                "location": vm.region,
                "zone": vm.zone,
                "price_per_hour_usd": vm.price_per_hour_usd,
                "image_version": vm.image_version,
                "boot_s": vm.boot_s,
                "deallocate_s": vm.deallocate_s,
                "restart_agent_after_s": vm.restart_agent_after_s,
                "start_during_deallocation": vm.start_during_deallocation,
                "agent": {
                    "command": list(blueprint.agent_command),
                    "env": {
                        **(vm.switch_environ or {}),
                        **_agent_environ(blueprint, vm),
                        **vm.agent_environ,
                    },
                    "cwd": str(ROOT),
                    "log": str(blueprint.log(vm.name)),
                },
                "switch": None
                if vm.switch_environ is None
                else {
                    "command": [sys.executable, "-m", "gpu_agent.switch"],
                    "env": {**_switch_environ(blueprint, vm), **vm.switch_environ},
                    "cwd": str(ROOT),
                    "log": str(blueprint.switch_log(vm.name)),
                },
            }
            for vm in blueprint.vms
        ],
    }


def write_environ(environ: Mapping[str, str]) -> str:
    """Return variables as a shell reads them; they are exported."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environ.items())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _agent_environ(blueprint: Blueprint, vm: LocalVm) -> dict[str, str]:
    return {
        "GPU_AGENT_TOKEN": blueprint.agent_token,
        "GPU_AGENT_HOST": "127.0.0.1",
        "GPU_AGENT_PORT": str(blueprint.agent_ports[vm.name]),
        "GPU_AGENT_DATA_DIR": str(blueprint.folder / "vms" / vm.name),
        "GPU_AGENT_VM_NAME": vm.name,
        "GPU_AGENT_MACHINE_BOOT_ID": BOOT_ID_PLACEHOLDER,
        "GPU_AGENT_ENGINE": "preview",
        # A VM that goes is given `stop_grace_s` and no more.
        "GPU_AGENT_DRAIN_S": "0",
        "GPU_AGENT_STORE_URL": blueprint.urls.blob,
        # The agent tells of the switch's cap, as in Azure, where both have the same settings.
        "GPU_SWITCH_BOOTED_AT": BOOTED_AT_PLACEHOLDER,
    }


def _switch_environ(blueprint: Blueprint, vm: LocalVm) -> dict[str, str]:
    # What systemctl does in a VM: the unit ends, and is not started again before the next boot.
    stop = [sys.executable, "-m", "localcloud.stop_agent", blueprint.urls.arm, vm.name]
    return {
        "GPU_AGENT_TOKEN": blueprint.agent_token,
        "GPU_SWITCH_AGENT_URL": blueprint.urls.agents[vm.name],
        "GPU_SWITCH_ARM_URL": blueprint.urls.arm,
        "GPU_SWITCH_STOP_COMMAND": shlex.join(stop),
        "GPU_SWITCH_BOOTED_AT": BOOTED_AT_PLACEHOLDER,
    }
