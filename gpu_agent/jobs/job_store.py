"""The state on disk: one SQLite file that a kill at any moment leaves whole.

One process owns the file for as long as it lives. A save is one transaction of what has changed
since the last one, so what was promised over HTTP is there after a restart.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_agent.errors import JobStoreError
from gpu_agent.jobs.agent_state import AgentState
from gpu_agent.jobs.job import Job, JobKey
from gpu_agent.jobs.stage_estimates import StageEstimates
from gpu_agent.wire import DrainAnswer, JobState, Stage, Submission

logger = logging.getLogger(__name__)

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT NOT NULL, fence INTEGER NOT NULL, body TEXT NOT NULL,
    place INTEGER PRIMARY KEY AUTOINCREMENT, UNIQUE (job_id, fence)
);
CREATE TABLE IF NOT EXISTS answers (
    epoch INTEGER NOT NULL, drain INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (epoch, drain)
);
"""


class JobStore:
    """Reads and saves the state. Not for several threads at once: `SharedState.lock` is around it.

    Args:
        path: The file; made if it is not there, set aside if it is damaged.
        machine_boot: Identity of the machine's boot, to which closing is bound.
        wait_s: How long to wait for a process before this one to let go of the file.

    Raises:
        JobStoreError: Another process has the file, or the disk refuses.
    """

    def __init__(self, path: Path, *, machine_boot: str, wait_s: float = 15.0) -> None:
        self._machine_boot = machine_boot
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _open_or_set_aside(path, wait_s)
        except (sqlite3.Error, OSError) as error:
            raise JobStoreError(f"{path}: {error}") from error
        self._saved = AgentState()

    def load(self) -> AgentState:
        """Read the state as the last process left it.

        Raises:
            JobStoreError: The file can't be read.
        """
        try:
            notes = dict(self._db.execute("SELECT name, value FROM notes"))
            jobs = [
                _job_from_row(*row)
                for row in self._db.execute("SELECT job_id, fence, body FROM jobs ORDER BY place")
            ]
            answers = [
                DrainAnswer.from_json(json.loads(body))
                for (body,) in self._db.execute("SELECT body FROM answers ORDER BY epoch, drain")
            ]
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise JobStoreError(f"The ledger can't be read: {error}") from error
        closed_in = notes.get("closed_in", "")
        self._saved = AgentState(
            epoch=int(notes.get("epoch", "0")),
            is_drained=notes.get("is_drained") == "1",
            is_closed=bool(closed_in) and closed_in == self._machine_boot,
            jobs={job.key: job for job in jobs},
            answers={(answer.epoch, answer.drain): answer for answer in answers},
            estimates=StageEstimates.from_text(notes.get("pace", "{}")),
        )
        return self._saved

    def save(self, state: AgentState, *, is_durable: bool) -> None:
        """Write what differs from the last save, all or nothing.

        Args:
            state: The state as it now is.
            is_durable: Wait until the disk has it, so that even a power cut can't undo it.
                Otherwise it survives the end of the process only.

        Raises:
            JobStoreError: Nothing was written.
        """
        try:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._write_notes(state)
                self._write_jobs(state)
                self._write_answers(state)
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise JobStoreError(f"The ledger can't be written: {error}") from error
        self._saved = state

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _write_notes(self, state: AgentState) -> None:
        for name, was, now in (
            ("epoch", str(self._saved.epoch), str(state.epoch)),
            ("is_drained", str(int(self._saved.is_drained)), str(int(state.is_drained))),
            ("closed_in", self._closed_in(self._saved), self._closed_in(state)),
        ):
            if was != now:
                self._write_note(name, now)
        if state.estimates is not self._saved.estimates:
            self._write_note("pace", state.estimates.to_text())

    def _write_note(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def _closed_in(self, state: AgentState) -> str:
        return self._machine_boot if state.is_closed else ""

    def _write_jobs(self, state: AgentState) -> None:
        for key, job in state.jobs.items():
            if self._saved.jobs.get(key) is not job:
                self._db.execute(
                    "INSERT INTO jobs (job_id, fence, body) VALUES (?, ?, ?)"
                    " ON CONFLICT (job_id, fence) DO UPDATE SET body = excluded.body",
                    (key.job_id, key.fence, _job_body(job)),
                )
        for key in self._saved.jobs.keys() - state.jobs.keys():
            self._db.execute(
                "DELETE FROM jobs WHERE job_id = ? AND fence = ?", (key.job_id, key.fence)
            )

    def _write_answers(self, state: AgentState) -> None:
        if state.answers is self._saved.answers:
            return
        for number in state.answers.keys() - self._saved.answers.keys():
            body = json.dumps(state.answers[number].to_json())
            self._db.execute("INSERT INTO answers VALUES (?, ?, ?)", (*number, body))
        for number in self._saved.answers.keys() - state.answers.keys():
            self._db.execute("DELETE FROM answers WHERE epoch = ? AND drain = ?", number)


def restart_ages(state: AgentState, now: float) -> AgentState:
    """Count the age of what is over from now: the boot clock of before says nothing any more."""
    jobs = {
        key: job if job.is_live else replace(job, ended_at=now) for key, job in state.jobs.items()
    }
    return replace(state, jobs=jobs)


def _open_or_set_aside(path: Path, wait_s: float) -> sqlite3.Connection:
    try:
        return _open(path, wait_s)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        # An agent that can't start keeps its VM billed for nothing; the control plane copes with
        # one that has forgotten its jobs.
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        logger.exception("The ledger is damaged; set aside as %s", aside.name)
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _open(path, wait_s)


def _open(path: Path, wait_s: float) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False)
    try:
        # Held until the connection closes or the process ends: a second agent on the same folder
        # must not run, and with no shared memory file nothing is left to clean up after a kill.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        _check(db)
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection) -> None:
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, _SCHEMA_VERSION):
        raise sqlite3.DatabaseError(f"written by another version (schema {version})")


def _job_body(job: Job) -> str:
    body = {
        "epoch": job.epoch,
        "submission": job.submission.to_json() if job.submission is not None else None,
        "state": job.state,
        "seq": job.seq,
        "turn_seq": job.turn_seq,
        "stage": job.stage,
        "percent": job.percent,
        "error": job.error,
        "manifest": job.manifest,
        "stage_seconds": job.stage_seconds,
        "ended_at": job.ended_at,
    }
    return json.dumps(body, separators=(",", ":"))


def _job_from_row(job_id: str, fence: int, text: str) -> Job:
    body: Mapping[str, Any] = json.loads(text)
    submission, stage = body["submission"], body["stage"]
    return Job(
        key=JobKey(job_id, fence),
        epoch=body["epoch"],
        submission=Submission.from_json(submission) if submission is not None else None,
        state=JobState(body["state"]),
        seq=body["seq"],
        turn_seq=body["turn_seq"],
        stage=Stage(stage) if stage is not None else None,
        percent=body["percent"],
        error=body["error"],
        manifest=body["manifest"],
        stage_seconds=body["stage_seconds"],
        ended_at=body["ended_at"],
    )
