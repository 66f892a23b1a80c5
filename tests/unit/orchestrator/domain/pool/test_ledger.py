from datetime import UTC, datetime

import pytest

from orchestrator.domain.pool import (
    Candidate,
    Deallocated,
    DeallocationAccepted,
    Drained,
    Enqueue,
    PoolPolicy,
    PoolState,
    RecordInterval,
    Release,
    StartAccepted,
    StartFailed,
    Tick,
    VmReady,
    VmRunning,
    decide,
)
from orchestrator.domain.pool.view import view_pool

PRICE = 3.6
"""USD an hour: a tenth of a cent a second."""
POLICY = PoolPolicy(
    candidates=(
        Candidate(
            name="gpu",
            resource_group="r",
            size="s",
            region="e",
            zone=None,
            price_per_hour_usd=PRICE,
            agent_url="http://gpu",
        ),
    ),
    idle_window_s=300.0,
)


class Pool:
    """One VM's pool, told one command after the other at stated moments."""

    def __init__(self, now: float = 1.8e9) -> None:
        self.began_at = self.now = now
        self.state, self.intervals = PoolState(), []

    def at(self, second: float, command) -> dict:
        self.now = self.began_at + second
        decision = decide(self.state, command, self.now, POLICY)
        self.state = PoolState.from_json(decision.state.to_json())
        self.intervals += [e for e in decision.effects if isinstance(e, RecordInterval)]
        return decision.reply

    @property
    def epoch(self) -> int:
        return self.state.vms["gpu"].epoch

    def wake(self, *jobs: str) -> None:
        """Start at 0, running at 60, ready at 100."""
        for job in jobs:
            self.at(0, Enqueue(job_id=job, fence=101))
        self.at(0, StartAccepted(vm="gpu", epoch=self.epoch, at=self.now))
        self.at(60, VmRunning(vm="gpu", epoch=self.epoch))
        self.at(100, VmReady(vm="gpu", epoch=self.epoch))
        for job in jobs:
            self.at(100, Enqueue(job_id=job, fence=101))

    def stop(self, second: float) -> None:
        self.at(second, Tick(generation=1))
        self.at(second + 1, Drained(vm="gpu", epoch=self.epoch, drain=1, receipt="r"))
        accepted = DeallocationAccepted(vm="gpu", epoch=self.epoch, at=self.began_at + second + 2)
        self.at(second + 3, accepted)
        self.at(second + 30, Deallocated(vm="gpu", epoch=self.epoch))


class TestLedger:
    def test_gives_every_second_of_a_wake_to_one_part(self):
        pool = Pool()
        pool.wake("a")
        pool.at(150, Release(job_id="a", fence=101, ran=True))

        pool.stop(450)

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.parts == {"cold_start": 100, "job": 50, "idle": 302}
        assert interval.ended_at - interval.began_at == sum(interval.parts.values()) == 452
        assert interval.cost_usd == pytest.approx(0.452)
        account = pool.state.accounts["gpu"]
        assert (account.billed_s, account.estimated_s) == (452, 0)

    def test_tells_a_job_what_it_cost(self):
        pool = Pool()
        pool.wake("a")

        first = pool.at(150, Release(job_id="a", fence=101, ran=True))["cost"]
        pool.at(200, Enqueue(job_id="b", fence=101))
        second = pool.at(230, Release(job_id="b", fence=101, ran=True))["cost"]
        again = pool.at(240, Release(job_id="b", fence=101, ran=True))["cost"]

        assert first == {
            "usd": pytest.approx(0.150),
            "compute_seconds": 50,
            "cold_start_seconds": 100,
            "idle_seconds": 0,
        }
        assert second == {
            "usd": pytest.approx(0.080),
            "compute_seconds": 30,
            "cold_start_seconds": 0,
            "idle_seconds": 50,
        }
        assert again == second

    def test_shares_the_time_of_jobs_that_run_side_by_side(self):
        pool = Pool()
        pool.wake("a", "b")

        first = pool.at(140, Release(job_id="a", fence=101, ran=True))["cost"]
        second = pool.at(160, Release(job_id="b", fence=101, ran=True))["cost"]

        assert (first["compute_seconds"], second["compute_seconds"]) == (20, 40)
        assert (first["cold_start_seconds"], second["cold_start_seconds"]) == (50, 50)

    def test_calls_a_wake_that_came_to_nothing_a_failed_start(self):
        pool = Pool()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.at(0, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.now))
        pool.at(
            50, StartFailed(vm="gpu", epoch=pool.epoch, code="agent_not_ready", may_be_on=True)
        )
        pool.at(52, DeallocationAccepted(vm="gpu", epoch=pool.epoch, at=pool.now + 2))

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.parts["failed_start"] == 50
        assert "cold_start" not in interval.parts

    def test_charges_nothing_for_a_start_that_found_no_host(self):
        pool = Pool()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.at(0, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.now))
        pool.at(
            9, StartFailed(vm="gpu", epoch=pool.epoch, code="AllocationFailed", is_capacity=True)
        )

        assert pool.intervals == []
        assert pool.state.accounts["gpu"].billed_s == 0

    def test_parts_a_wake_at_the_end_of_the_month(self):
        pool = Pool(datetime(2026, 11, 30, 23, 59, 0, tzinfo=UTC).timestamp())
        pool.wake("a")
        pool.at(150, Release(job_id="a", fence=101, ran=True))
        pool.stop(450)

        months = view_pool(pool.state, pool.now, POLICY)["vms"][0]["months"]

        assert months == {
            "2026-11": {"cold_start": 60},
            "2026-12": {"cold_start": 40, "job": 50, "idle": 302},
        }

    def test_shows_an_open_interval_as_it_grows(self):
        pool = Pool()
        pool.wake("a")

        view = view_pool(pool.state, pool.began_at + 130, POLICY)["vms"][0]

        assert view["billed_seconds"] == 130
        assert sum(view["months"]["2027-01"].values()) == 130

    def test_writes_nothing_for_a_command_that_changes_nothing_but_time(self):
        pool = Pool()
        pool.wake("a")

        decision = decide(pool.state, VmRunning(vm="gpu", epoch=1), pool.now + 5, POLICY)

        assert decision.state is pool.state
