import hashlib
import hmac
import threading
import time

import pytest

from gpu_agent.errors import (
    ClosedError,
    DrainingError,
    JobStoreError,
    StaleEpochError,
    UnknownJobError,
)
from gpu_agent.jobs.job import JobKey
from gpu_agent.wire import DrainRequest, JobState, JobView, LeaseRequest, Stage

KEY = JobKey("a", 1)


def hold_job(bench) -> JobView:
    """Let job a run into the engine's shape stage and stay there."""
    bench.engine.may_finish.clear()
    bench.submit("a")
    assert bench.engine.entered.acquire(timeout=10)
    return bench.desk.look(KEY)


def start_poll(bench, *, after: int) -> tuple[threading.Thread, list[JobView]]:
    """Follow job a in a thread; gives it, and where its answer comes."""
    answers: list[JobView] = []
    poll = threading.Thread(
        target=lambda: answers.append(bench.desk.follow(KEY, after=after, wait_s=20.0))
    )
    poll.start()
    return poll, answers


class TestFollow:
    def test_answers_when_the_job_is_cancelled(self, bench):
        seen = hold_job(bench)
        poll, answers = start_poll(bench, after=seen.seq)

        bench.desk.cancel(KEY)
        poll.join(5.0)

        assert [view.state for view in answers] == [JobState.CANCELLED]

    def test_answers_when_the_wait_is_over(self, bench):
        seen = hold_job(bench)

        began = time.monotonic()
        view = bench.desk.follow(KEY, after=seen.seq, wait_s=0.1)

        assert view == seen
        assert time.monotonic() - began >= 0.1

    def test_does_not_answer_for_a_percent_alone_before_five_seconds(self, bench):
        seen = hold_job(bench)
        bench.desk.advance(KEY, Stage.SHAPE, 90.0)

        began = time.monotonic()
        view = bench.desk.follow(KEY, after=seen.seq, wait_s=0.1)

        assert time.monotonic() - began >= 0.1
        assert view.percent > seen.percent

    def test_answers_whoever_follows_when_a_stage_begins(
        self, bench, monkeypatch: pytest.MonkeyPatch
    ):
        # After so long it would look by itself.
        monkeypatch.setattr("gpu_agent.jobs.job.NEWS_AFTER_S", 20.0)
        seen = hold_job(bench)
        poll, answers = start_poll(bench, after=seen.seq)
        # It lets go of the lock only to wait.
        bench.await_true(lambda: KEY in bench.desk._news)

        bench.desk.advance(KEY, Stage.UPLOAD, 0.0)
        poll.join(5.0)

        assert [view.stage for view in answers] == [Stage.UPLOAD]

    def test_answers_everybody_when_the_agent_ends(self, bench):
        seen = hold_job(bench)
        poll, answers = start_poll(bench, after=seen.seq)

        bench.desk.end()
        poll.join(5.0)

        assert [view.state for view in answers] == [JobState.INTERRUPTED]

    def test_says_that_it_knows_nothing(self, bench):
        with pytest.raises(UnknownJobError):
            bench.desk.follow(JobKey("nobody", 1), after=0, wait_s=0.0)


class TestCap:
    """The clock stands still here; what it reads is the seconds since the machine booted."""

    @pytest.mark.parametrize(
        ("now", "left_s"), [(100.0, 43200.0), (43000.0, 300.0), (50_000.0, 0.0)]
    )
    def test_is_told_as_what_is_left_of_it(self, make_bench, now, left_s):
        cap = {"max_uptime_s": 43200.0, "booted_at": 100.0, "clock": lambda: now}

        status = make_bench(cap=cap).desk.status()

        assert (status.cap_left_s, status.max_uptime_s) == (left_s, 43200.0)

    def test_is_told_with_a_lease(self, make_bench):
        cap = {"max_uptime_s": 43200.0, "clock": lambda: 3200.0}

        status = make_bench(cap=cap).desk.renew_lease(LeaseRequest(epoch=1, ttl_s=60.0))

        assert status.cap_left_s == 40_000.0

    def test_is_unknown_where_none_is_set(self, make_bench):
        status = make_bench().desk.status()

        assert (status.cap_left_s, status.max_uptime_s) == (None, None)


class TestLease:
    def test_counts_down_from_now(self, bench):
        assert bench.desk.status().lease_left_s is None

        left = bench.desk.renew_lease(LeaseRequest(epoch=1, ttl_s=60.0)).lease_left_s

        assert 50.0 < left <= 60.0

    def test_cancels_the_jobs_of_an_older_epoch(self, bench):
        bench.engine.may_finish.clear()
        bench.submit("a", epoch=1)

        status = bench.desk.renew_lease(LeaseRequest(epoch=2, ttl_s=60.0))

        assert status.epoch == 2
        assert [job["state"] for job in status.jobs] == [JobState.CANCELLED]

    def test_refuses_an_older_epoch(self, bench):
        bench.desk.renew_lease(LeaseRequest(epoch=2, ttl_s=60.0))

        with pytest.raises(StaleEpochError):
            bench.desk.renew_lease(LeaseRequest(epoch=1, ttl_s=60.0))

    def test_is_refused_once_closed(self, bench):
        bench.desk.drain(DrainRequest(epoch=1, drain=1, final=True))

        with pytest.raises(ClosedError):
            bench.desk.renew_lease(LeaseRequest(epoch=9, ttl_s=60.0))
        assert bench.desk.readiness().phase == "closed"


class TestDrain:
    def test_does_not_close_for_good_what_has_just_got_a_lease(self, bench):
        bench.desk.renew_lease(LeaseRequest(epoch=1, ttl_s=60.0))

        answer = bench.desk.drain(DrainRequest(epoch=1, drain=1, final=True))

        assert not answer.drained
        assert bench.desk.readiness().phase != "closed"

    def test_signs_for_this_vm_boot_epoch_and_drain(self, bench):
        answer = bench.desk.drain(DrainRequest(epoch=5, drain=2))

        text = f"gpu-1\n{bench.desk.boot_id}\n5\n2".encode()
        assert answer.receipt == hmac.new(b"token", text, hashlib.sha256).hexdigest()

    def test_gives_the_same_answer_after_a_restart(self, make_bench):
        first = make_bench()
        answer = first.desk.drain(DrainRequest(epoch=5, drain=2))
        first.desk.close()

        second = make_bench()

        assert second.desk.drain(DrainRequest(epoch=5, drain=2)) == answer

    def test_does_not_make_the_next_process_unready_but_still_refuses_its_epoch(self, make_bench):
        first = make_bench()
        first.start()
        first.desk.drain(DrainRequest(epoch=5, drain=1))
        unready = first.desk.readiness()
        first.desk.close()

        second = make_bench()
        second.start()

        assert (unready.ready, unready.phase) == (False, "draining")
        assert second.desk.readiness().ready
        with pytest.raises(DrainingError):
            second.submit("a", epoch=5)
        assert second.submit("a", epoch=6).state == JobState.QUEUED

    def test_is_one_step_with_submissions(self, make_bench):
        bench = make_bench(slots=1)
        bench.start()
        bench.engine.may_finish.clear()
        barrier = threading.Barrier(2)
        taken: set[int] = set()

        def ask(epoch: int) -> None:
            barrier.wait(5.0)
            try:
                bench.submit(f"job-{epoch}", epoch=epoch)
            except DrainingError:
                return
            taken.add(epoch)

        for epoch in range(1, 30):
            thread = threading.Thread(target=ask, args=(epoch,))
            thread.start()
            barrier.wait(5.0)
            drained = bench.desk.drain(DrainRequest(epoch=epoch, drain=1)).drained
            thread.join()

            assert drained == (epoch not in taken)


class TestRestart:
    def test_finds_its_jobs_interrupted(self, make_bench):
        first = make_bench()
        first.start()
        first.engine.may_finish.clear()
        first.submit("a")
        first.desk.cancel(JobKey("tomb", 4))
        first.desk.close()

        second = make_bench()

        assert second.desk.look(KEY).state == JobState.INTERRUPTED
        assert second.desk.look(JobKey("tomb", 4)).state == JobState.CANCELLED
        assert second.desk.boot_id != first.desk.boot_id

    def test_remembers_the_stage_and_counts_on_from_what_was_told(self, make_bench):
        first = make_bench()
        first.start()
        first.engine.may_finish.clear()
        first.submit("a")
        assert first.engine.entered.acquire(timeout=10)
        first.desk.advance(KEY, Stage.TEXTURE, 0.0)
        for percent in range(100):
            first.desk.advance(KEY, Stage.TEXTURE, percent)
        told = first.desk.look(KEY)
        first.desk.close()

        found = make_bench().desk.look(KEY)

        assert found.stage is Stage.TEXTURE
        assert found.seq > told.seq
        # Percents are shown, not written: no disk is asked for them.
        assert found.percent < told.percent

    def test_promises_nothing_that_the_disk_does_not_have(self, bench):
        bench.desk.renew_lease(LeaseRequest(epoch=1, ttl_s=60.0))
        bench.desk.close()

        with pytest.raises(JobStoreError):
            bench.submit("a")

        assert bench.desk.status().jobs == []
