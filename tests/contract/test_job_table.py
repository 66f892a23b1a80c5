"""What every `JobTable` keeps, the fake included."""

import base64
import threading
from dataclasses import replace

import pytest

from orchestrator.adapters.table_jobs import TableJobs
from orchestrator.domain.errors import InvalidRequestError
from orchestrator.domain.job import JobRow, JobState, new_id
from orchestrator.domain.ports import JobTable
from tests.fakes.job_table import FakeJobTable


@pytest.fixture(params=["fake", pytest.param("table", marks=pytest.mark.azurite)])
def table(request: pytest.FixtureRequest) -> JobTable:
    """Give an empty table of each kind."""
    if request.param == "fake":
        return FakeJobTable()
    return TableJobs(request.getfixturevalue("clean_storage").tables)


def make_row(number: int = 0, **more) -> JobRow:
    """Make a row; a higher number is a newer job."""
    job_id = new_id(1_700_000_000_000 + number, 7)
    return JobRow(job_id=job_id, created_at=1_700_000_000.0 + number, **more)


FULL = make_row(
    state=JobState.FAILED,
    stage="shape",
    percent=40,
    fence=170000000000001,
    vm="gpu-1",
    started_at=1.5,
    attempt_at=2.5,
    ended_at=3.5,
    metadata={"größe": [1, None, {"a": True}]},
    order={"id": "x", "start_within_s": 60.0},
    result={"artifacts": []},
    error={"code": "x", "message": "“quoted”", "retryable": False, "stage": None},
)


class TestRows:
    def test_gives_back_all_of_a_row(self, table: JobTable):
        assert table.insert(FULL) is True

        assert table.read(FULL.job_id) == FULL

    def test_knows_no_other(self, table: JobTable):
        assert table.read(FULL.job_id) is None

    def test_leaves_the_first_of_two_inserts(self, table: JobTable):
        table.insert(make_row(percent=1))

        assert table.insert(make_row(percent=2)) is False
        assert table.read(make_row().job_id).percent == 1

    def test_lets_exactly_one_of_a_crowd_insert(self, table: JobTable):
        barrier, won = threading.Barrier(6), []

        def insert(number: int) -> None:
            barrier.wait(10.0)
            if table.insert(make_row(percent=number)):
                won.append(number)

        run_all(insert, 6)

        assert won == [table.read(make_row().job_id).percent]


class TestChange:
    def test_replaces_and_gives_the_new_row(self, table: JobTable):
        table.insert(make_row())

        changed = table.change(make_row().job_id, lambda row: replace(row, percent=9))

        assert changed == make_row(percent=9)
        assert table.read(make_row().job_id) == changed

    def test_leaves_a_row_alone_that_is_not_to_be_changed(self, table: JobTable):
        table.insert(make_row(percent=3))

        assert table.change(make_row().job_id, lambda row: None) == make_row(percent=3)

    def test_makes_no_row_out_of_nothing(self, table: JobTable):
        assert table.change(make_row().job_id, lambda row: row) is None
        assert table.read(make_row().job_id) is None

    def test_loses_no_change_of_a_crowd(self, table: JobTable):
        table.insert(make_row())
        barrier = threading.Barrier(4)

        def count(_: int) -> None:
            barrier.wait(10.0)
            for _ in range(3):
                table.change(make_row().job_id, lambda r: replace(r, percent=r.percent + 1))

        run_all(count, 4)

        assert table.read(make_row().job_id).percent == 12


class TestListPage:
    def test_is_newest_first_and_complete_over_its_pages(self, table: JobTable):
        for number in (3, 1, 5, 2, 4):
            table.insert(make_row(number))

        listed, token, pages = [], None, 0
        while token is not None or pages == 0:
            rows, token = table.list_page(state=None, limit=2, token=token)
            listed += rows
            pages += 1

        assert listed == [make_row(number) for number in (5, 4, 3, 2, 1)]
        assert pages == 3

    def test_a_page_that_is_just_full_is_the_last(self, table: JobTable):
        for number in (1, 2):
            table.insert(make_row(number))

        rows, token = table.list_page(state=None, limit=2, token=None)

        assert (len(rows), token) == (2, None)

    def test_filters_by_state(self, table: JobTable):
        for number in range(6):
            state = JobState.QUEUED if number % 2 else JobState.FAILED
            table.insert(make_row(number, state=state))

        first, token = table.list_page(state="queued", limit=2, token=None)
        second, end = table.list_page(state="queued", limit=2, token=token)

        assert [*first, *second] == [make_row(n) for n in (5, 3, 1)]
        assert end is None

    def test_a_changed_state_is_found_under_the_new_one(self, table: JobTable):
        table.insert(make_row())
        table.change(make_row().job_id, lambda row: replace(row, state=JobState.RUNNING))

        assert table.list_page(state="queued", limit=9, token=None)[0] == []
        assert len(table.list_page(state="running", limit=9, token=None)[0]) == 1

    def test_is_empty_at_first(self, table: JobTable):
        assert table.list_page(state=None, limit=2, token=None) == ([], None)

    def test_refuses_a_token_that_is_none_of_ours(self, table: JobTable):
        with pytest.raises(InvalidRequestError):
            table.list_page(state=None, limit=2, token="x")

    @pytest.mark.parametrize("length", [3, 25, 27, 5250])
    def test_refuses_a_token_of_any_other_length(self, table: JobTable, length: int):
        """7,000 letters would make a query longer than Table Storage takes."""
        token = base64.urlsafe_b64encode(b"a" * length).decode()

        with pytest.raises(InvalidRequestError):
            table.list_page(state=None, limit=2, token=token)

    @pytest.mark.parametrize("token", ["!", "ä"])
    def test_refuses_a_token_of_other_letters(self, table: JobTable, token: str):
        with pytest.raises(InvalidRequestError):
            table.list_page(state=None, limit=2, token=token)

    @pytest.mark.parametrize("state", ["' or 1 eq 1 or state eq '", "nonsense"])
    def test_finds_nothing_under_a_state_that_is_none(self, table: JobTable, state: str):
        table.insert(make_row())

        assert table.list_page(state=state, limit=2, token=None)[0] == []


def run_all(work, count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
