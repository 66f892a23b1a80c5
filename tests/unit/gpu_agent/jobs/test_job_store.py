import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_agent.errors import LedgerError
from gpu_agent.jobs import agent_state as books
from gpu_agent.jobs.agent_state import Book
from gpu_agent.jobs.job import JobKey, advance_job, begin_job, cancel_job, succeed_job
from gpu_agent.jobs.job_store import Ledger
from gpu_agent.wire import DrainRequest, Stage, Submission


def full_book() -> Book:
    asked = Submission(
        epoch=4,
        input_path="jobs/a/input.png",
        output_prefix="jobs/a/1/",
        manifest_path="jobs/a/manifest.json",
        options={"detail": "high"},
    )
    book = Book(epoch=4)
    book, done = books.submit(book, JobKey("done", 3), asked, slots=4, now=0.0)
    done = advance_job(begin_job(done), Stage.SHAPE, 40.0, now=1.0)
    book = books.with_jobs(book, [succeed_job(done, {"faces": 9}, now=2.0)])
    book, _ = books.submit(book, JobKey("live", 1), asked, slots=4, now=0.0)
    book, _ = books.cancel(book, JobKey("tomb", 2), now=0.0)
    book, _ = books.drain(book, DrainRequest(epoch=4, drain=1), lambda *_: "signed")
    return book


def views(book: Book):
    return [job.view() for job in book.jobs.values()]


class TestLedger:
    def test_gives_back_what_was_saved(self, tmp_path: Path):
        book = full_book()
        ledger = Ledger(tmp_path / "ledger", machine_boot="one")
        ledger.load()
        ledger.save(book, is_durable=True)
        ledger.close()

        found = Ledger(tmp_path / "ledger", machine_boot="one").load()

        assert views(found) == views(book)
        assert found.answers == book.answers
        assert (found.epoch, found.is_drained) == (4, False)
        assert found.jobs[JobKey("live", 1)].submission.options == {"detail": "high"}

    def test_writes_what_an_earlier_save_could_not(self, tmp_path: Path):
        book = full_book()
        ledger = Ledger(tmp_path / "ledger", machine_boot="one")
        unfit = books.with_jobs(
            book, [replace(book.jobs[JobKey("live", 1)], stage_seconds={"x": object()})]
        )
        with pytest.raises(LedgerError):
            ledger.save(unfit, is_durable=False)

        ledger.save(book, is_durable=False)
        ledger.close()

        assert views(Ledger(tmp_path / "ledger", machine_boot="one").load()) == views(book)

    def test_forgets_what_the_book_forgot(self, tmp_path: Path):
        book = full_book()
        ledger = Ledger(tmp_path / "ledger", machine_boot="one")
        ledger.save(book, is_durable=True)
        kept = {JobKey("live", 1): cancel_job(book.jobs[JobKey("live", 1)], now=1.0)}
        ledger.save(replace(book, jobs=kept, answers={}), is_durable=True)
        ledger.close()

        found = Ledger(tmp_path / "ledger", machine_boot="one").load()

        assert list(found.jobs) == [JobKey("live", 1)]
        assert found.answers == {}

    @pytest.mark.parametrize(("boot", "is_closed"), [("one", True), ("two", False)])
    def test_stays_closed_until_the_machine_boots(
        self, tmp_path: Path, boot: str, is_closed: bool
    ):
        ledger = Ledger(tmp_path / "ledger", machine_boot="one")
        ledger.save(Book(epoch=1, is_drained=True, is_closed=True), is_durable=True)
        ledger.close()

        found = Ledger(tmp_path / "ledger", machine_boot=boot).load()

        assert found.is_closed is is_closed
        assert found.is_drained

    def test_refuses_a_second_owner(self, tmp_path: Path):
        first = Ledger(tmp_path / "ledger", machine_boot="one")

        with pytest.raises(LedgerError, match="locked"):
            Ledger(tmp_path / "ledger", machine_boot="one", wait_s=0.01)

        first.close()

    @pytest.mark.parametrize("damage", ["garbage", "cut", "schema"])
    def test_sets_a_damaged_file_aside(self, tmp_path: Path, damage: str):
        path = tmp_path / "ledger"
        ledger = Ledger(path, machine_boot="one")
        ledger.save(full_book(), is_durable=True)
        ledger.close()
        if damage == "garbage":
            path.write_bytes(b"no database at all, " * 500)
        elif damage == "cut":
            path.write_bytes(path.read_bytes()[:5000])
        else:
            db = sqlite3.connect(path)
            db.execute("PRAGMA user_version = 99")
            db.close()

        found = Ledger(path, machine_boot="one").load()

        assert found == Book()
        assert len(list(tmp_path.glob("ledger.damaged-*"))) == 1
