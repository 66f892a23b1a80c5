"""Real services for the contract suites, started once and only when a suite asks for them."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from localcloud.certificate import Certificate, prepare_certificate
from localcloud.lone_storage import LoneStorage, run_lone_storage


@pytest.fixture(scope="session")
def local_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for every server of the contract suites."""
    return prepare_certificate(tmp_path_factory.mktemp("tls"), now=datetime.now(UTC))


@pytest.fixture(scope="session")
def storage(
    tmp_path_factory: pytest.TempPathFactory, local_certificate: Certificate
) -> Iterator[LoneStorage]:
    """Run the storage emulator over https, in memory, without account keys."""
    with run_lone_storage(tmp_path_factory.mktemp("emulator"), local_certificate) as storage:
        yield storage


@pytest.fixture
def clean_storage(storage: LoneStorage) -> LoneStorage:
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
