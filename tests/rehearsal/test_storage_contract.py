"""The rehearsal's storage keeps the contracts that fakes and Azure's keep."""

import pytest

from localcloud.rehearsal.storage import (
    MemoryFileStore,
    MemoryJobTable,
    MemoryKeyTable,
    MemoryLedgerTable,
    MemoryPoolStore,
)
from tests.contract.test_file_store import TestFileStore
from tests.contract.test_job_table import TestChange, TestListPage, TestRows
from tests.contract.test_key_table import TestClaim
from tests.contract.test_ledger_table import TestRecord
from tests.contract.test_pool_store import TestPoolStore

__all__ = [
    "TestChange",
    "TestClaim",
    "TestFileStore",
    "TestListPage",
    "TestPoolStore",
    "TestRecord",
    "TestRows",
]


@pytest.fixture
def store() -> MemoryPoolStore:
    """Give an empty store of the pool's state."""
    return MemoryPoolStore()


@pytest.fixture
def table() -> MemoryJobTable:
    """Give an empty table of jobs."""
    return MemoryJobTable()


@pytest.fixture
def keys() -> MemoryKeyTable:
    """Give an empty table of keys."""
    return MemoryKeyTable()


@pytest.fixture
def ledger() -> MemoryLedgerTable:
    """Give an empty ledger."""
    return MemoryLedgerTable()


@pytest.fixture
def files() -> MemoryFileStore:
    """Give an empty store of files."""
    return MemoryFileStore()
