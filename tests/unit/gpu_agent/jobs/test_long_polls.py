import threading
import time

import pytest

from gpu_agent.errors import (
    UnknownJobError,
)
from gpu_agent.jobs.job import JobKey
from gpu_agent.wire import JobState, JobView, Stage

KEY = JobKey("a", 1)


def hold_job(bench) -> JobView:
    """Let job a run into the engine's shape stage and stay there."""
    bench.engine.may_finish.clear()
    bench.submit("a")
    assert bench.engine.entered.acquire(timeout=10)
    return bench.core.jobs.look(KEY)


def start_poll(bench, *, after: int) -> tuple[threading.Thread, list[JobView]]:
    """Follow job a in a thread; gives it, and where its answer comes."""
    answers: list[JobView] = []
    poll = threading.Thread(
        target=lambda: answers.append(bench.core.polls.follow(KEY, after=after, wait_s=20.0))
    )
    poll.start()
    return poll, answers


class TestFollow:
    def test_answers_when_the_job_is_cancelled(self, bench):
        seen = hold_job(bench)
        poll, answers = start_poll(bench, after=seen.seq)

        bench.core.jobs.cancel(KEY)
        poll.join(5.0)

        assert [view.state for view in answers] == [JobState.CANCELLED]

    def test_answers_when_the_wait_is_over(self, bench):
        seen = hold_job(bench)

        began = time.monotonic()
        view = bench.core.polls.follow(KEY, after=seen.seq, wait_s=0.1)

        assert view == seen
        assert time.monotonic() - began >= 0.1

    def test_does_not_answer_for_a_percent_alone_before_five_seconds(self, bench):
        seen = hold_job(bench)
        bench.core.jobs.advance(KEY, Stage.SHAPE, 90.0)

        began = time.monotonic()
        view = bench.core.polls.follow(KEY, after=seen.seq, wait_s=0.1)

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
        bench.await_true(lambda: KEY in bench.core.polls._news)

        bench.core.jobs.advance(KEY, Stage.UPLOAD, 0.0)
        poll.join(5.0)

        assert [view.stage for view in answers] == [Stage.UPLOAD]

    def test_answers_everybody_when_the_agent_ends(self, bench):
        seen = hold_job(bench)
        poll, answers = start_poll(bench, after=seen.seq)

        bench.core.lifecycle.end()
        poll.join(5.0)

        assert [view.state for view in answers] == [JobState.INTERRUPTED]

    def test_says_that_it_knows_nothing(self, bench):
        with pytest.raises(UnknownJobError):
            bench.core.polls.follow(JobKey("nobody", 1), after=0, wait_s=0.0)
