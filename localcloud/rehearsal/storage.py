"""Storage in memory, with the contracts of `orchestrator.domain.ports` and the agent's store.

Values are kept as the JSON that real storage would hold, so that what cannot be stored fails here
too. One thread only. A `Trouble` stands before every call, and behind every write.
"""

import base64
import binascii
import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

import orjson

from orchestrator.domain.errors import InvalidRequestError, StoreConflictError
from orchestrator.domain.job import JobRow, is_job_id, row_key
from orchestrator.domain.pool import PoolState
from orchestrator.domain.ports import FileStore, JobTable, KeyTable, LedgerTable, PoolStore

OnWrite = Callable[[PoolState], None]
"""Called with each state of the pool that was written."""
OnChange = Callable[[JobRow | None, JobRow], None]
"""Called with a job's row before, or None, and after."""
CHUNK_BYTES = 64 * 1024


class Trouble:
    """What may go wrong with a call to storage; here nothing does."""

    def before(self, name: str) -> None:
        """Fail before anything is done, by raising."""

    def after(self, name: str) -> None:
        """Lose the answer to what was done, by raising."""


NONE = Trouble()


class SeenLedger(LedgerTable, Protocol):
    """A ledger that a judge may look into."""

    def look(self, vm: str) -> list[dict[str, Any]]:
        """List a VM's intervals; nothing stands before it."""


class SeenFiles(FileStore, Protocol):
    """Files that agents write, too, and that a judge may look at."""

    def write_if_absent(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one; False if there is."""

    def seen_through(self, trouble: Trouble) -> Self:
        """Give the same files behind other trouble."""

    def look(self, path: str) -> bytes | None:
        """Read a file; nothing stands before it."""


@dataclass(frozen=True, slots=True)
class Stores:
    """All that the app stores."""

    pool: PoolStore
    jobs: JobTable
    keys: KeyTable
    ledger: SeenLedger
    files: SeenFiles


MakeStores = Callable[[Trouble, OnWrite, OnChange], Stores]


def in_memory(trouble: Trouble, on_write: OnWrite, on_change: OnChange) -> Stores:
    """Make empty stores in memory."""
    return Stores(
        pool=MemoryPoolStore(trouble, on_write),
        jobs=MemoryJobTable(trouble, on_change),
        keys=MemoryKeyTable(trouble),
        ledger=MemoryLedgerTable(trouble),
        files=MemoryFileStore(trouble),
    )


class MemoryPoolStore:
    """`PoolStore` in memory.

    Args:
        trouble: What goes wrong.
        on_write: Called with each state that was written.
    """

    def __init__(
        self, trouble: Trouble = NONE, on_write: Callable[[PoolState], None] | None = None
    ) -> None:
        self._trouble = trouble
        self._on_write = on_write
        self._data: bytes | None = None
        self._version = 0

    def read(self) -> tuple[PoolState, str | None]:
        """Read the state and its version."""
        self._trouble.before("pool.read")
        if self._data is None:
            return PoolState(), None
        return PoolState.from_json(orjson.loads(self._data)), str(self._version)

    def write(self, state: PoolState, version: str | None) -> str:
        """Replace the state if it still has this version."""
        self._trouble.before("pool.write")
        if version != (None if self._data is None else str(self._version)):
            raise StoreConflictError("the pool's state was changed meanwhile")
        # As the real store writes it: json would take keys that orjson does not.
        self._data = orjson.dumps(state.to_json())
        self._version += 1
        if self._on_write is not None:
            self._on_write(state)
        self._trouble.after("pool.write")
        return str(self._version)


class MemoryJobTable:
    """`JobTable` in memory.

    Args:
        trouble: What goes wrong.
        on_change: Called with the row before, or None, and the row after.
    """

    def __init__(
        self,
        trouble: Trouble = NONE,
        on_change: Callable[[JobRow | None, JobRow], None] | None = None,
    ) -> None:
        self._trouble = trouble
        self._on_change = on_change
        self._rows: dict[str, str] = {}

    def insert(self, row: JobRow) -> bool:
        """Add a row if there is none."""
        self._trouble.before("jobs.insert")
        if row_key(row.job_id) in self._rows:
            return False
        self._put(None, row)
        self._trouble.after("jobs.insert")
        return True

    def read(self, job_id: str) -> JobRow | None:
        """Read a row."""
        self._trouble.before("jobs.read")
        return self._get(row_key(job_id))

    def change(self, job_id: str, change: Callable[[JobRow], JobRow | None]) -> JobRow | None:
        """Replace a row by what is made of it."""
        self._trouble.before("jobs.change")
        row = self._get(row_key(job_id))
        changed = None if row is None else change(row)
        if changed is None or changed == row:
            return row
        self._put(row, changed)
        self._trouble.after("jobs.change")
        return changed

    def list_page(
        self, *, state: str | None, limit: int, token: str | None
    ) -> tuple[list[JobRow], str | None]:
        """List rows, newest first."""
        self._trouble.before("jobs.list_page")
        after = "" if token is None else _from_token(token)
        matching = (
            (key, row)
            for key in sorted(self._rows)
            if key > after and (row := self._get(key)) and state in (None, row.state.value)
        )
        page = list(itertools.islice(matching, limit + 1))
        rows = [row for _, row in page[:limit]]
        return rows, _to_token(page[limit - 1][0]) if len(page) > limit else None

    def _get(self, key: str) -> JobRow | None:
        text = self._rows.get(key)
        return None if text is None else JobRow.from_json(json.loads(text))

    def _put(self, before: JobRow | None, row: JobRow) -> None:
        self._rows[row_key(row.job_id)] = json.dumps(row.to_json())
        if self._on_change is not None:
            self._on_change(before, row)


class MemoryKeyTable:
    """`KeyTable` in memory."""

    def __init__(self, trouble: Trouble = NONE) -> None:
        self._trouble = trouble
        self._first: dict[str, tuple[str, str]] = {}

    def find(self, key: str) -> tuple[str, str] | None:
        """Give what a key is tied to, None if it is free."""
        self._trouble.before("keys.find")
        return self._first.get(key)

    def claim(self, key: str, job_id: str, body_hash: str) -> tuple[str, str]:
        """Tie a key to a job, if it is not tied yet."""
        self._trouble.before("keys.claim")
        return self._first.setdefault(key, (job_id, body_hash))


class MemoryLedgerTable:
    """`LedgerTable` in memory."""

    def __init__(self, trouble: Trouble = NONE) -> None:
        self._trouble = trouble
        self._texts: dict[tuple[str, float], str] = {}

    def record(self, interval: dict[str, Any]) -> None:
        """Write an interval; one that is there already stays."""
        self._trouble.before("ledger.record")
        key = interval["vm"], round(interval["began_at"], 3)
        if key not in self._texts:
            self._texts[key] = json.dumps(interval)
        self._trouble.after("ledger.record")

    def list_intervals(self, vm: str) -> list[dict[str, Any]]:
        """List a VM's intervals, oldest first."""
        self._trouble.before("ledger.list")
        return self.look(vm)

    def look(self, vm: str) -> list[dict[str, Any]]:
        """List them as a judge does: nothing stands before it."""
        texts = [text for (name, _), text in sorted(self._texts.items()) if name == vm]
        intervals = [json.loads(text) for text in texts]
        return [{k: v for k, v in one.items() if k != "kind"} for one in intervals]


class MemoryFileStore:
    """`FileStore` in memory, and the few calls of the agent's store that a rehearsal makes."""

    def __init__(self, trouble: Trouble = NONE) -> None:
        self._trouble = trouble
        self._files: dict[str, bytes] = {}

    def write(self, path: str, data: bytes, content_type: str) -> None:
        """Write a file."""
        self._trouble.before("files.write")
        self._files[path] = data
        self._trouble.after("files.write")

    def create(self, path: str, data: bytes, content_type: str) -> bool:
        """Write a file unless there is one; False if there is."""
        return self.write_if_absent(path, data)

    def delete(self, path: str) -> None:
        """Delete a file."""
        self._trouble.before("files.delete")
        self._files.pop(path, None)
        self._trouble.after("files.delete")

    def exists(self, path: str) -> bool:
        """Tell whether there is a file."""
        self._trouble.before("files.exists")
        return path in self._files

    def read(self, path: str) -> bytes | None:
        """Read a file, None if there is none."""
        self._trouble.before("files.read")
        return self._files.get(path)

    def chunks(self, path: str) -> Iterator[bytes] | None:
        """Read a file in pieces, None if there is none."""
        self._trouble.before("files.chunks")
        data = self._files.get(path)
        if data is None:
            return None
        return (data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES))

    def link(self, path: str, *, valid_s: float, name: str) -> str:
        """Give a link that nothing serves."""
        self._trouble.before("files.link")
        return f"https://files.invalid/{path}?valid_s={valid_s:.0f}&name={name}"

    def write_if_absent(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one; False if there is."""
        self._trouble.before("files.write")
        if path in self._files:
            return False
        self._files[path] = data
        self._trouble.after("files.write")
        return True

    def seen_through(self, trouble: Trouble) -> Self:
        """Give the same files behind other trouble."""
        other = type(self)(trouble)
        other._files = self._files
        return other

    def look(self, path: str) -> bytes | None:
        """Read a file as a judge does: nothing stands before it."""
        return self._files.get(path)


def _to_token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _from_token(token: str) -> str:
    with contextlib.suppress(binascii.Error, UnicodeError):
        key = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode("ascii")
        if is_job_id(key):
            return key
    raise InvalidRequestError(
        "page is not a token of ours: take it from next_page", code="invalid_page"
    )
