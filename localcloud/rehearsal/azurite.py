"""The product's own storage adapters on Azurite, behind the same trouble as storage in memory.

Nothing is drawn here, so a seed takes the same course on either: its digest is the same.
"""

from collections.abc import Callable, Iterator
from typing import Any, Self

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

from localcloud.lone_storage import LoneStorage
from localcloud.rehearsal.storage import MakeStores, OnChange, OnWrite, Stores, Trouble
from orchestrator.adapters.blob_files import BlobFileStore
from orchestrator.adapters.blob_pool_store import BlobPoolStore
from orchestrator.adapters.table_jobs import TableJobs, TableKeys, TableLedger
from orchestrator.domain.job import JobRow
from orchestrator.domain.pool import PoolState
from orchestrator.domain.ports import JobTable, KeyTable, PoolStore

CONTAINERS = ("jobs", "pool")
TABLES = ("jobs", "idempotency", "ledger")


def on_azurite(storage: LoneStorage) -> MakeStores:
    """Give what makes the stores of a rehearsal on an emulator, emptied."""

    def make(trouble: Trouble, on_write: OnWrite, on_change: OnChange) -> Stores:
        _empty(storage)
        return Stores(
            pool=_PoolStore(BlobPoolStore(storage.blobs), trouble, on_write),
            jobs=_Jobs(TableJobs(storage.tables), trouble, on_change),
            keys=_Keys(TableKeys(storage.tables), trouble),
            ledger=_Ledger(TableLedger(storage.tables), trouble),
            files=_Files(storage.blobs, trouble),
        )

    return make


def _empty(storage: LoneStorage) -> None:
    for name in CONTAINERS:
        container = storage.blobs.get_container_client(name)
        if not container.exists():
            container.create_container()
        for blob in list(container.list_blob_names()):
            container.delete_blob(blob)
    for name in TABLES:
        table = storage.tables.create_table_if_not_exists(name)
        for entity in list(table.list_entities(select=["PartitionKey", "RowKey"])):
            table.delete_entity(entity)


class _PoolStore:
    def __init__(self, store: PoolStore, trouble: Trouble, on_write: OnWrite) -> None:
        self._store = store
        self._trouble = trouble
        self._on_write = on_write

    def read(self) -> tuple[PoolState, str | None]:
        self._trouble.before("pool.read")
        return self._store.read()

    def write(self, state: PoolState, version: str | None) -> str:
        self._trouble.before("pool.write")
        written = self._store.write(state, version)
        self._on_write(state)
        self._trouble.after("pool.write")
        return written


class _Jobs:
    def __init__(self, table: JobTable, trouble: Trouble, on_change: OnChange) -> None:
        self._table = table
        self._trouble = trouble
        self._on_change = on_change

    def insert(self, row: JobRow) -> bool:
        self._trouble.before("jobs.insert")
        if not self._table.insert(row):
            return False
        self._on_change(None, row)
        self._trouble.after("jobs.insert")
        return True

    def read(self, job_id: str) -> JobRow | None:
        self._trouble.before("jobs.read")
        return self._table.read(job_id)

    def change(self, job_id: str, change: Callable[[JobRow], JobRow | None]) -> JobRow | None:
        self._trouble.before("jobs.change")
        seen: list[JobRow] = []

        def change_seen(row: JobRow) -> JobRow | None:
            seen.append(row)
            return change(row)

        changed = self._table.change(job_id, change_seen)
        if changed is None or changed == seen[-1]:
            return changed
        self._on_change(seen[-1], changed)
        self._trouble.after("jobs.change")
        return changed

    def list_page(
        self, *, state: str | None, limit: int, token: str | None
    ) -> tuple[list[JobRow], str | None]:
        self._trouble.before("jobs.list_page")
        return self._table.list_page(state=state, limit=limit, token=token)


class _Keys:
    def __init__(self, table: KeyTable, trouble: Trouble) -> None:
        self._table = table
        self._trouble = trouble

    def find(self, key: str) -> tuple[str, str] | None:
        self._trouble.before("keys.find")
        return self._table.find(key)

    def claim(self, key: str, job_id: str, body_hash: str) -> tuple[str, str]:
        self._trouble.before("keys.claim")
        return self._table.claim(key, job_id, body_hash)


class _Ledger:
    def __init__(self, table: TableLedger, trouble: Trouble) -> None:
        self._table = table
        self._trouble = trouble

    def record(self, interval: dict[str, Any]) -> None:
        self._trouble.before("ledger.record")
        self._table.record(interval)
        self._trouble.after("ledger.record")

    def list_intervals(self, vm: str) -> list[dict[str, Any]]:
        self._trouble.before("ledger.list")
        return self.look(vm)

    def look(self, vm: str) -> list[dict[str, Any]]:
        """List them as a judge does."""
        return self._table.list_intervals(vm)


class _Files:
    def __init__(self, service: BlobServiceClient, trouble: Trouble) -> None:
        self._service = service
        self._store = BlobFileStore(service)
        self._trouble = trouble

    def write(self, path: str, data: bytes, content_type: str) -> None:
        self._trouble.before("files.write")
        self._store.write(path, data, content_type)
        self._trouble.after("files.write")

    def create(self, path: str, data: bytes, content_type: str) -> bool:
        self._trouble.before("files.write")
        is_first = self._store.create(path, data, content_type)
        self._trouble.after("files.write")
        return is_first

    def delete(self, path: str) -> None:
        self._trouble.before("files.delete")
        self._store.delete(path)
        self._trouble.after("files.delete")

    def exists(self, path: str) -> bool:
        self._trouble.before("files.exists")
        return self._store.exists(path)

    def read(self, path: str) -> bytes | None:
        self._trouble.before("files.read")
        return self._store.read(path)

    def chunks(self, path: str) -> Iterator[bytes] | None:
        self._trouble.before("files.chunks")
        return self._store.chunks(path)

    def link(self, path: str, *, valid_s: float, name: str) -> str:
        self._trouble.before("files.link")
        return self._store.link(path, valid_s=valid_s, name=name)

    def write_if_absent(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one, as the agent's own store does."""
        self._trouble.before("files.write")
        container, _, name = path.partition("/")
        try:
            self._service.get_blob_client(container, name).upload_blob(data, overwrite=False)
        except ResourceExistsError:
            return False
        self._trouble.after("files.write")
        return True

    def seen_through(self, trouble: Trouble) -> Self:
        """Give the same files behind other trouble."""
        return type(self)(self._service, trouble)

    def look(self, path: str) -> bytes | None:
        """Read a file as a judge does."""
        return self._store.read(path)
