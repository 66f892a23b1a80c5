"""Real services for the contract suites, started once and only when a suite asks for them."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from azure.core.credentials import AccessToken
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from localcloud.arm.identity import TokenIssuer
from localcloud.blueprint import ROOT, base_environ
from localcloud.certificate import Certificate, prepare_certificate
from localcloud.ports import choose_free_ports
from localcloud.storage import blob_url, build_storage, table_url


class SignedTokens:
    """Tokens that the emulator takes for Entra ID's, as it checks claims and no signature."""

    def __init__(self, folder: Path) -> None:
        self._issuer = TokenIssuer(folder / "key.pem")

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        token = self._issuer.issue(
            resource=scopes[0].removesuffix("/.default"),
            subject="app",
            client_id="app",
            now=time.time(),
        )
        return AccessToken(token, int(time.time()) + 3600)


class Storage(NamedTuple):
    """Clients of the emulator, as the function app builds them."""

    blobs: BlobServiceClient
    tables: TableServiceClient
    certificate: Certificate


@pytest.fixture(scope="session")
def local_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for every server of the contract suites."""
    return prepare_certificate(tmp_path_factory.mktemp("tls"), now=datetime.now(UTC))


@pytest.fixture(scope="session")
def storage(
    tmp_path_factory: pytest.TempPathFactory, local_certificate: Certificate
) -> Iterator[Storage]:
    """Run the storage emulator over https, in memory, without account keys."""
    folder = tmp_path_factory.mktemp("emulator")
    ports = choose_free_ports(3)
    component = build_storage(
        root=ROOT,
        ports=ports,
        data=None,
        certificate=local_certificate,
        environ=base_environ(os.environ, local_certificate),
        log=folder / "log",
    )
    options = {
        "credential": SignedTokens(folder),
        "connection_verify": str(local_certificate.bundle),
    }
    try:
        component.start()
        component.wait_until_ready()
        with (
            BlobServiceClient(blob_url(ports[0]), **options) as blobs,
            TableServiceClient(endpoint=table_url(ports[1]), **options) as tables,
        ):
            yield Storage(blobs, tables, local_certificate)
    finally:
        component.stop()


@pytest.fixture
def clean_storage(storage: Storage) -> Storage:
    """Give the emulator with empty containers and tables, as the infrastructure makes them."""
    for name in ("jobs", "pool"):
        container = storage.blobs.get_container_client(name)
        if container.exists():
            for blob in list(container.list_blob_names()):
                container.delete_blob(blob)
        else:
            container.create_container()
    for name in ("jobs", "idempotency", "ledger"):
        table = storage.tables.create_table_if_not_exists(name)
        for entity in list(table.list_entities(select=["PartitionKey", "RowKey"])):
            table.delete_entity(entity)
    return storage
