"""Everything the Durable engine must not lose, in one SQLite file.

The engine is the file's only writer. It describes a step as a `Changes` value; `Store.apply` makes
it so in one transaction, or not at all. With write-ahead logging and ``synchronous=NORMAL`` a
killed process loses nothing that was applied; a machine that loses power may lose the last moments
unless ``is_power_safe`` is set.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from localcloud.functions_host.errors import DataFolderError

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
OVER = frozenset({"Completed", "Failed", "Terminated", "Canceled"})
"""Statuses of an instance that has ended."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS instances (
    instance_id TEXT PRIMARY KEY,
    execution_id TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    status TEXT NOT NULL,
    input TEXT,
    output TEXT,
    custom_status TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    parent_instance_id TEXT,
    parent_execution_id TEXT,
    parent_name TEXT,
    parent_task_id INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS instances_by_status ON instances (status);
CREATE TABLE IF NOT EXISTS history (
    instance_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (instance_id, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inbox (
    id INTEGER PRIMARY KEY,
    instance_id TEXT NOT NULL,
    execution_id TEXT,
    visible_at REAL,
    event TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS inbox_by_instance ON inbox (instance_id);
CREATE TABLE IF NOT EXISTS activities (
    id INTEGER PRIMARY KEY,
    instance_id TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    task_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    input TEXT,
    lease TEXT,
    deliveries INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS schedules (
    name TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,
    last_at REAL,
    next_at REAL NOT NULL,
    updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blob_receipts (
    function TEXT NOT NULL,
    container TEXT NOT NULL,
    name TEXT NOT NULL,
    etag TEXT NOT NULL,
    failures INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (function, container, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_TEXT_FIELDS = (
    "instance_id",
    "execution_id",
    "name",
    "version",
    "status",
    "input",
    "output",
    "custom_status",
)
_INSTANCE_FIELDS = ", ".join(_TEXT_FIELDS) + (
    ", created_at, updated_at, parent_instance_id, parent_execution_id, parent_name, "
    "parent_task_id"
)


@dataclass(frozen=True, slots=True)
class Parent:
    """Who waits for a sub-orchestration.

    Attributes:
        instance_id: Its instance.
        execution_id: Its generation.
        name: Its orchestrator.
        task_id: Sequence number of the call.
    """

    instance_id: str
    execution_id: str
    name: str
    task_id: int


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """How an instance stands. An entity is an instance too; its id begins with ``@``.

    Attributes:
        instance_id: Its id.
        execution_id: Id of its present generation.
        name: Durable name of its function (of an entity: its id).
        version: Version given at the start, "" for none.
        status: Durable's runtime status.
        input: Raw input as JSON text; of an entity its existence and state.
        output: JSON text, or the bare reason of a termination.
        custom_status: JSON text.
        created_at: Start of this generation.
        updated_at: Last change.
        parent: Who waits for it.
    """

    instance_id: str
    execution_id: str
    name: str
    version: str
    status: str
    input: str | None
    output: str | None
    custom_status: str | None
    created_at: datetime
    updated_at: datetime
    parent: Parent | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in OVER


@dataclass(frozen=True, slots=True)
class Message:
    """A history event on its way to an instance.

    Attributes:
        id: Its number; a lower one was sent earlier.
        instance_id: Where it goes.
        execution_id: The only generation that may see it; None for any.
        visible_at: When it may be seen; None for at once.
        text: The event as JSON text.
    """

    id: int
    instance_id: str
    execution_id: str | None
    visible_at: datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """An activity that was ordered and has not answered.

    Attributes:
        id: Its number; a lower one was ordered earlier.
        instance_id: Who ordered it.
        execution_id: In which generation.
        task_id: Sequence number of the call.
        name: Durable name.
        input: Its input, as the action carried it.
        deliveries: How many times it was handed to a host, this one included.
    """

    id: int
    instance_id: str
    execution_id: str
    task_id: int
    name: str
    input: str | None
    deliveries: int = 1


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """Where a timer trigger stands.

    Attributes:
        name: Name of its function.
        schedule: The expression it was computed from.
        last_at: Its last run.
        next_at: Its next run.
        updated_at: When this was written.
    """

    name: str
    schedule: str
    last_at: datetime | None
    next_at: datetime
    updated_at: datetime


class BlobState(StrEnum):
    """How a function stands to a version of a blob."""

    TAKEN = "taken"
    FAILED = "failed"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class BlobReceipt:
    """What became of the newest version of a blob that a function was given.

    Attributes:
        function: Name of the function.
        container: Container of the blob.
        name: Name of the blob.
        etag: The version.
        failures: Deliveries of it that failed.
        state: What follows from that.
    """

    function: str
    container: str
    name: str
    etag: str
    failures: int
    state: BlobState


@dataclass
class Changes:
    """One step of the engine, applied as a whole.

    Attributes:
        rows: Instances to write, new or changed.
        wiped: Instances whose history vanishes first (a new generation, a new start).
        history: Per instance: first sequence number and the texts of its new events.
        consumed: Messages that were taken in.
        sent: New messages.
        ordered: New activities.
        answered: Activities that have answered.
        purged: Instances to forget altogether.
    """

    rows: list[InstanceRow] = field(default_factory=list)
    wiped: list[str] = field(default_factory=list)
    history: dict[str, tuple[int, Sequence[str]]] = field(default_factory=dict)
    consumed: list[int] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    ordered: list[ActivityRow] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    purged: list[str] = field(default_factory=list)


class _Step:
    """Changes on their way to the file."""

    __slots__ = ("changes", "error", "is_over")

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.is_over = False
        self.error: Exception | None = None


class Store:
    """The file. Safe to use from many threads."""

    def __init__(
        self,
        path: Path,
        *,
        lease: str,
        is_power_safe: bool = False,
        probe: Callable[[str], None] | None = None,
        pause: Callable[[], None] | None = None,
    ) -> None:
        """Open or make the file.

        Args:
            path: Where it lies; its folder exists.
            lease: Name of this run of the host, written to activities that it holds.
            is_power_safe: Sync every transaction to the disk.
            probe: Called with ``before`` and ``after`` around every commit. Tests end the host
                there by raising a `BaseException` that is no `Exception`.
            pause: Called before every read and every commit, once the file is open; None: storage
                as fast as it is.

        Raises:
            DataFolderError: The file is not ours, or of a newer version.
        """
        self._lease = lease
        self._probe = probe
        self._lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: list[_Step] = []
        self._reader_lock = threading.Lock()
        self._pause: Callable[[], None] = _no_pause
        try:
            self._writer = self._connect(path)
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute(f"PRAGMA synchronous={'FULL' if is_power_safe else 'NORMAL'}")
            self._writer.executescript(_SCHEMA)
            self._reader = self._connect(path)
            self._check_version()
        except sqlite3.DatabaseError as error:
            raise DataFolderError(f"{path} is not a data file of this host: {error}") from error
        self._pause = pause or _no_pause

    def close(self) -> None:
        """Close the file; calls after it fail."""
        with self._lock, self._reader_lock:
            self._writer.close()
            self._reader.close()

    def apply(self, changes: Changes) -> None:
        """Make a step so, or nothing of it.

        Steps that wait for each other are stored in one transaction by whoever comes first; each
        call returns when its own step is stored.
        """
        self._pause()
        step = _Step(changes)
        with self._queue_lock:
            self._queue.append(step)
        with self._lock:
            if not step.is_over:
                self._apply_queued()
        if step.error is not None:
            raise step.error

    def _apply_queued(self) -> None:
        with self._queue_lock:
            steps, self._queue = self._queue, []
        try:
            with self._transaction() as writer:
                for step in steps:
                    self._write(writer, step.changes)
        except Exception:  # noqa: BLE001 - whose step it was is found by storing each alone
            logger.debug("storing %d steps one by one", len(steps))
            for step in steps:
                self._apply_alone(step)
        for step in steps:
            step.is_over = True

    def _apply_alone(self, step: "_Step") -> None:
        try:
            with self._transaction() as writer:
                self._write(writer, step.changes)
        except Exception as error:  # noqa: BLE001 - it is raised by the call that waits for it
            step.error = error

    def _write(self, writer: sqlite3.Connection, changes: Changes) -> None:
        for instance_id in changes.wiped:
            writer.execute("DELETE FROM history WHERE instance_id = ?", (instance_id,))
        for instance_id in changes.purged:
            for table in ("instances", "history", "inbox"):
                writer.execute(
                    f"DELETE FROM {table} WHERE instance_id = ?",  # noqa: S608
                    (instance_id,),
                )
        if changes.rows:
            marks = ", ".join("?" * 14)
            writer.executemany(
                f"INSERT OR REPLACE INTO instances ({_INSTANCE_FIELDS}) "  # noqa: S608
                f"VALUES ({marks})",
                [_to_instance_values(row) for row in changes.rows],
            )
        for instance_id, (first, texts) in changes.history.items():
            writer.executemany(
                "INSERT INTO history (instance_id, seq, event) VALUES (?, ?, ?)",
                [(instance_id, first + n, text) for n, text in enumerate(texts)],
            )
        if changes.consumed:
            writer.executemany(
                "DELETE FROM inbox WHERE id = ?", [(key,) for key in changes.consumed]
            )
        if changes.answered:
            writer.executemany(
                "DELETE FROM activities WHERE id = ?", [(key,) for key in changes.answered]
            )
        if changes.sent:
            writer.executemany(
                "INSERT INTO inbox (id, instance_id, execution_id, visible_at, event) "
                "VALUES (?, ?, ?, ?, ?)",
                [_to_message_values(message) for message in changes.sent],
            )
        if changes.ordered:
            writer.executemany(
                "INSERT INTO activities "
                "(id, instance_id, execution_id, task_id, name, input, lease, deliveries) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [self._to_activity_values(row) for row in changes.ordered],
            )

    def take_over_activities(self) -> list[ActivityRow]:
        """Lease every unanswered activity to this run of the host.

        Called once at start: whoever held them is gone, so each is delivered again.

        Returns:
            The activities, in the order they were ordered.
        """
        with self._alone() as writer:
            writer.execute(
                "UPDATE activities SET lease = ?, deliveries = deliveries + 1", (self._lease,)
            )
        rows = self._read(
            "SELECT id, instance_id, execution_id, task_id, name, input, deliveries "
            "FROM activities ORDER BY id"
        )
        return [ActivityRow(*row) for row in rows]

    def read_inbox(self) -> list[Message]:
        """Read every message, in the order they were sent."""
        rows = self._read(
            "SELECT id, instance_id, execution_id, visible_at, event FROM inbox ORDER BY id"
        )
        return [
            Message(key, instance_id, execution_id, _to_moment(visible_at), text)
            for key, instance_id, execution_id, visible_at, text in rows
        ]

    def read_instance(self, instance_id: str) -> InstanceRow | None:
        """Read how an instance stands; None if there is none."""
        rows = self._read(
            f"SELECT {_INSTANCE_FIELDS} FROM instances WHERE instance_id = ?",  # noqa: S608
            (instance_id,),
        )
        return _from_instance_values(rows[0]) if rows else None

    def read_history(self, instance_id: str) -> list[str]:
        """Read the events of an instance's present generation, as JSON texts in order."""
        rows = self._read(
            "SELECT event FROM history WHERE instance_id = ? ORDER BY seq", (instance_id,)
        )
        return [text for (text,) in rows]

    def list_instances(
        self,
        *,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
        updated_from: datetime | None = None,
        updated_to: datetime | None = None,
        statuses: Sequence[str] = (),
        prefix: str = "",
        after: str = "",
        limit: int = 100,
    ) -> list[InstanceRow]:
        """List instances by ascending id.

        Args:
            created_from: Earliest start, included.
            created_to: Latest start, included.
            updated_from: Earliest change, included.
            updated_to: Latest change, included.
            statuses: Allowed statuses; empty for any.
            prefix: What the id begins with.
            after: Only ids behind this one.
            limit: Most rows.
        """
        wheres: list[str] = ["instance_id > ?"]
        values: list[str | float | int] = [after]
        for column, sign, moment in (
            ("created_at", ">=", created_from),
            ("created_at", "<=", created_to),
            ("updated_at", ">=", updated_from),
            ("updated_at", "<=", updated_to),
        ):
            if moment is not None:
                wheres.append(f"{column} {sign} ?")
                values.append(moment.timestamp())
        if statuses:
            wheres.append(f"status IN ({', '.join('?' * len(statuses))})")
            values.extend(statuses)
        if prefix:
            wheres.append("instance_id >= ? AND substr(instance_id, 1, ?) = ?")
            values.extend((prefix, len(prefix), prefix))
        rows = self._read(
            f"SELECT {_INSTANCE_FIELDS} FROM instances "  # noqa: S608
            f"WHERE {' AND '.join(wheres)} ORDER BY instance_id LIMIT ?",
            (*values, limit),
        )
        return [_from_instance_values(row) for row in rows]

    def read_highest_ids(self) -> tuple[int, int]:
        """Read the highest number of a message and of an activity, 0 for none."""
        (inbox,), (activities,) = (
            self._read("SELECT coalesce(max(id), 0) FROM inbox")[0],
            self._read("SELECT coalesce(max(id), 0) FROM activities")[0],
        )
        return inbox, activities

    def read_schedule(self, name: str) -> ScheduleRow | None:
        """Read where a timer trigger stands; None if it never was."""
        rows = self._read(
            "SELECT name, schedule, last_at, next_at, updated_at FROM schedules WHERE name = ?",
            (name,),
        )
        if not rows:
            return None
        key, schedule, last_at, next_at, updated_at = rows[0]
        return ScheduleRow(
            key, schedule, _to_moment(last_at), _moment(next_at), _moment(updated_at)
        )

    def write_schedule(self, row: ScheduleRow) -> None:
        """Write where a timer trigger stands."""
        last_at = None if row.last_at is None else row.last_at.timestamp()
        with self._alone() as writer:
            writer.execute(
                "INSERT OR REPLACE INTO schedules VALUES (?, ?, ?, ?, ?)",
                (
                    row.name,
                    row.schedule,
                    last_at,
                    row.next_at.timestamp(),
                    row.updated_at.timestamp(),
                ),
            )

    def read_blob_receipts(self, function: str, container: str) -> dict[str, BlobReceipt]:
        """Read the receipts of a function, by name of the blob."""
        rows = self._read(
            "SELECT name, etag, failures, state FROM blob_receipts "
            "WHERE function = ? AND container = ?",
            (function, container),
        )
        return {
            name: BlobReceipt(function, container, name, etag, failures, BlobState(state))
            for name, etag, failures, state in rows
        }

    def write_blob_receipt(self, receipt: BlobReceipt) -> None:
        """Write a receipt, in the place of that of an earlier version."""
        with self._alone() as writer:
            writer.execute(
                "INSERT OR REPLACE INTO blob_receipts VALUES (?, ?, ?, ?, ?, ?)",
                (
                    receipt.function,
                    receipt.container,
                    receipt.name,
                    receipt.etag,
                    receipt.failures,
                    receipt.state,
                ),
            )

    def drop_blob_receipts(self, function: str, container: str, names: Sequence[str]) -> None:
        """Forget the receipts of blobs that are gone: should one come back, it is a new version.

        Args:
            function: Whose receipts.
            container: Container of the blobs.
            names: Names of the blobs.
        """
        with self._alone() as writer:
            writer.executemany(
                "DELETE FROM blob_receipts WHERE function = ? AND container = ? AND name = ?",
                [(function, container, name) for name in names],
            )

    def read_or_write_fact(self, name: str, value: str) -> str:
        """Read a fact, or set it to a value if it was never set."""
        with self._alone() as writer:
            writer.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
            row = writer.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0])

    def _check_version(self) -> None:
        version = self.read_or_write_fact("schema_version", str(SCHEMA_VERSION))
        if version != str(SCHEMA_VERSION):
            raise DataFolderError(
                f"the data file is of version {version}, this host writes {SCHEMA_VERSION}"
            )

    def _read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        self._pause()
        with self._reader_lock:
            return self._reader.execute(query, values).fetchall()

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        """Write within one transaction of one's own."""
        self._pause()
        with self._lock, self._transaction() as writer:
            yield writer

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Write within one transaction; the caller holds the lock."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            if self._probe is not None:
                self._probe("before")
            self._writer.execute("COMMIT")
            if self._probe is not None:
                self._probe("after")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def _connect(self, path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)

    def _to_activity_values(self, row: ActivityRow) -> tuple[object, ...]:
        return (
            row.id,
            row.instance_id,
            row.execution_id,
            row.task_id,
            row.name,
            row.input,
            self._lease,
            row.deliveries,
        )


def _no_pause() -> None:
    """Take no time."""


def _to_instance_values(row: InstanceRow) -> tuple[object, ...]:
    parent = row.parent
    links = (
        (None,) * 4
        if parent is None
        else (parent.instance_id, parent.execution_id, parent.name, parent.task_id)
    )
    return (
        row.instance_id,
        row.execution_id,
        row.name,
        row.version,
        row.status,
        row.input,
        row.output,
        row.custom_status,
        row.created_at.timestamp(),
        row.updated_at.timestamp(),
        *links,
    )


def _from_instance_values(values: Sequence[Any]) -> InstanceRow:
    parent = None if values[10] is None else Parent(*values[10:14])
    texts: dict[str, Any] = dict(zip(_TEXT_FIELDS, values, strict=False))
    return InstanceRow(
        **texts, created_at=_moment(values[8]), updated_at=_moment(values[9]), parent=parent
    )


def _to_message_values(message: Message) -> tuple[object, ...]:
    visible_at = None if message.visible_at is None else message.visible_at.timestamp()
    return (message.id, message.instance_id, message.execution_id, visible_at, message.text)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _to_moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
