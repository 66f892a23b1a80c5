"""How long until there is room: what a POST is told that comes while too many jobs are open."""

import pytest

from orchestrator.domain.pool import Release, StartFailed
from orchestrator.domain.pool.scale_up import median, seconds_until_room
from tests.unit.orchestrator.domain.pool.bench import Bench

JOB_S = 80.0
WAKE_S = 200.0
FULL_STOP = "AllocationFailed"


@pytest.fixture(name="pool")
def _pool() -> Bench:
    """A pool that has seen jobs and cold starts, with everything off."""
    pool = Bench()
    pool.tick()
    pool.state.learned = {"job_s": [JOB_S] * 3, "wake_s": [WAKE_S] * 3}
    return pool


def until_room(pool: Bench, jobs: int) -> int:
    return seconds_until_room(pool.state, jobs, pool.now, pool.policy)


class TestSecondsUntilRoom:
    def test_is_when_so_many_jobs_are_over_in_truth(self, pool: Bench):
        """Jobs that take as long as those before end two by two, and the claim comes true."""
        for job_id in "abcdef":
            pool.enqueue(job_id)
        pool.bring_up()
        claimed_s, began_at = until_room(pool, 4), pool.now

        while pool.state.open_jobs() > 2:
            for job_id in list(pool.vm().slots):
                pool.acquire(job_id)
            pool.now += JOB_S
            for job_id in list(pool.vm().slots):
                pool.tell(Release(job_id=job_id, fence=1, ran=True))

        assert claimed_s == pool.now - began_at == 160

    def test_counts_a_whole_cold_start_when_all_is_off(self, pool: Bench):
        assert until_room(pool, 1) == WAKE_S + JOB_S / 2

    def test_counts_what_is_left_of_a_cold_start(self, pool: Bench):
        pool.enqueue("a")
        pool.now += 150

        assert until_room(pool, 1) == 50 + JOB_S / 2

    def test_counts_the_cool_down_when_no_host_has_room(self, pool: Bench):
        pool.enqueue("a")
        pool.tell(StartFailed(vm="gpu-1", epoch=pool.vm().epoch, code=FULL_STOP, is_capacity=True))
        cool_down_s = pool.vm().retry_at - pool.now

        assert cool_down_s >= 60
        assert until_room(pool, 1) == pytest.approx(cool_down_s + WAKE_S + JOB_S / 2, abs=1)

    def test_is_never_at_once(self, pool: Bench):
        pool.enqueue("a")
        pool.bring_up()

        assert until_room(pool, 0) == 1

    def test_takes_the_defaults_before_anything_was_seen(self):
        pool = Bench()
        pool.tick()

        assert until_room(pool, 2) == pool.policy.default_wake_s + pool.policy.default_job_s


class TestEstimateQueued:
    def test_is_told_to_a_job_that_asks(self, pool: Bench):
        answers = [pool.enqueue(job_id) for job_id in "abc"]

        # Two places: the third job waits for a round of the others.
        assert [answer["estimated_seconds_left"] for answer in answers] == [
            WAKE_S + JOB_S,
            WAKE_S + JOB_S,
            WAKE_S + 2 * JOB_S,
        ]

    def test_counts_the_places_of_all_vms_that_are_up(self):
        pool = Bench("gpu-1", "gpu-2")
        pool.enqueue("a")
        pool.bring_up()
        pool.tick(pool.see("gpu-2", power="running"))
        pool.bring_up("gpu-2")
        pool.state.learned = {"job_s": [JOB_S], "wake_s": [WAKE_S]}
        answers = [pool.enqueue(job_id) for job_id in "bcdefghi"]

        waits = [one["estimated_seconds_left"] for one in answers if one["answer"] == "wait"]

        assert waits == [JOB_S] * 4 + [2 * JOB_S]

    def test_is_unknown_before_anything_was_seen(self):
        assert Bench().enqueue("a")["estimated_seconds_left"] is None


class TestMedian:
    def test_is_the_upper_one_or_nothing(self):
        assert median([]) is None
        assert median([3.0, 1.0]) == 3.0
        assert median([3.0, 1.0, 2.0]) == 2.0
