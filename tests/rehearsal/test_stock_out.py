"""No host for any candidate, for a virtual hour: the job waits, and is told until when."""

import asyncio
import contextlib
import json
import random
import warnings

import pytest

from localcloud.rehearsal import region, run
from localcloud.rehearsal.faults import FaultName
from localcloud.rehearsal.run import Plan, Rehearsal, remembered_moments

HOUR_S = 3600.0
ARRIVAL_S = 10.0
LOOKS_EVERY_S = 60.0
ACT_S = 5.0
"""From a stated time of the next try to the start, in virtual seconds."""


class StockedOut:
    """A rehearsal of one job for which there is no room for an hour.

    Attributes:
        starts: Virtual time and name of each start that Azure was asked for.
        views: What the job's status said every minute, by virtual time.
    """

    def __init__(self, folder) -> None:
        self.rehearsal = Rehearsal(Plan(seed=1, faults=frozenset(), arrivals=(ARRIVAL_S,)), folder)
        self.starts: list[tuple[float, str]] = []
        self.views: dict[float, dict] = {}
        self._start = self.rehearsal.region.start
        self.rehearsal.region.start = self._note_start

    def to_virtual(self, moment: float) -> float:
        """Give the virtual time of a moment on the app's clock."""
        loop = self.rehearsal.loop
        return moment - loop.wall() + loop.time()

    def play(self) -> None:
        loop = self.rehearsal.loop
        with (
            contextlib.closing(loop),
            remembered_moments(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            self.rehearsal.faults.begin(FaultName.STOCK_OUT, None, HOUR_S)
            loop.run_until_complete(self._play())

    async def _play(self) -> None:
        asking = self.rehearsal.loop.create_task(self._ask())
        await self.rehearsal.play()
        asking.cancel()

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(LOOKS_EVERY_S)
            (job_id,) = self.rehearsal.customers.job_ids
            now = self.rehearsal.loop.time()
            answer = await self.rehearsal.host.request(
                "get_job", "GET", f"jobs/{job_id}", params={"id": job_id}
            )
            if now < HOUR_S:
                self.views[now] = json.loads(answer.get_body())

    def _note_start(self, name: str) -> None:
        self.starts.append((self.rehearsal.loop.time(), name))
        self._start(name)


@pytest.fixture(name="stocked_out")
def _stocked_out(tmp_path, monkeypatch: pytest.MonkeyPatch) -> StockedOut:
    # Longer than the hour, so that it is the region that ends the stock-out.
    monkeypatch.setattr(run, "FAULTS_GO_ON_S", 2 * HOUR_S)
    # What no waiting mends is not tried again: another test's matter.
    codes = [code for code in region.CAPACITY_CODES if code != "SkuNotAvailable"]
    monkeypatch.setattr(region, "CAPACITY_CODES", codes)
    random.seed(1)
    stocked_out = StockedOut(tmp_path)
    stocked_out.play()
    return stocked_out


class TestStockOutOfAll:
    def test_ends_in_a_start_as_soon_as_one_has_room(self, stocked_out: StockedOut):
        """At the very time that was stated for the next try, and by one start."""
        rehearsal = stocked_out.rehearsal
        (row,) = rehearsal.judge.rows.values()
        longest_s = 1.2 * rehearsal.settings.pool.cool_down_s[-1]

        (next_try,) = [at for at, _ in stocked_out.starts if at >= HOUR_S]
        *_, last_seen = stocked_out.views.values()

        assert rehearsal.judge.breaches == []
        assert row.state == "succeeded"
        assert next_try == pytest.approx(stocked_out.to_virtual(last_seen["retry_at"]), abs=ACT_S)
        assert next_try < HOUR_S + longest_s + ACT_S
        assert {name for _, name in stocked_out.starts} == set(rehearsal.region.names)

    def test_tells_the_job_what_it_waits_for_and_until_when(self, stocked_out: StockedOut):
        """Unless a candidate is being tried at that moment."""
        views = stocked_out.views.items()
        waiting = [(at, view) for at, view in views if view["vm"]["phase"] == "no_capacity"]

        assert {view["state"] for _, view in views} == {"queued"}
        assert len(waiting) > len(views) / 2
        for at, view in waiting:
            assert view["waiting_for"] == "capacity"
            assert at < stocked_out.to_virtual(view["retry_at"])
