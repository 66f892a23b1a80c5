import pytest

from gpu_agent.jobs.job import (
    Job,
    JobKey,
    accept_job,
    advance_job,
    begin_job,
    bury_key,
    cancel_job,
    end_stage,
    fail_job,
    interrupt_job,
    is_news,
    succeed_job,
    time_out_job,
)
from gpu_agent.jobs.stage_estimates import FIRST_SPANS
from gpu_agent.wire import JobState, Stage, Submission


def running_job(timeout_s: float = 60.0) -> Job:
    asked = Submission(
        epoch=1,
        input_path="jobs/a/input.png",
        output_prefix="jobs/a/1/",
        manifest_path="jobs/a/manifest.json",
        timeout_s=timeout_s,
    )
    return begin_job(accept_job(JobKey("a", 1), asked, now=0.0))


class TestAdvanceJob:
    def test_maps_a_stage_percent_onto_the_whole_job(self):
        job = advance_job(running_job(), Stage.SHAPE, 50.0, now=1.0)

        assert (job.stage, job.percent) == (Stage.SHAPE, 36)

    def test_returns_the_same_object_when_nothing_visible_changes(self):
        job = advance_job(running_job(), Stage.SHAPE, 50.0, now=1.0)

        assert advance_job(job, Stage.SHAPE, 50.1, now=2.0) is job

    def test_never_goes_back_to_an_earlier_stage(self):
        job = advance_job(running_job(), Stage.TEXTURE, 0.0, now=1.0)

        assert advance_job(job, Stage.SHAPE, 99.0, now=2.0) is job

    def test_never_falls_within_a_stage(self):
        job = advance_job(running_job(), Stage.SHAPE, 50.0, now=1.0)

        assert advance_job(job, Stage.SHAPE, 20.0, now=2.0) is job

    @pytest.mark.parametrize("percent", [-5.0, float("nan"), float("-inf")])
    def test_takes_a_senseless_percent_as_none(self, percent: float):
        assert advance_job(running_job(), Stage.SHAPE, percent, now=1.0).percent == 12

    def test_keeps_one_hundred_for_what_has_succeeded(self):
        job = advance_job(running_job(), Stage.UPLOAD, 1000.0, now=1.0)

        assert job.percent == 99
        assert succeed_job(job, {}, now=2.0).percent == 100

    def test_counts_the_seconds_of_each_stage_and_not_of_the_waiting_between(self):
        job = advance_job(running_job(), Stage.FETCH, 0.0, now=1.0)
        job = end_stage(job, now=3.0)
        job = advance_job(job, Stage.SHAPE, 0.0, now=10.0)
        job = succeed_job(job, {}, now=14.5)

        assert job.stage_seconds == {"fetch": 2.0, "shape": 4.5}

    def test_leaves_a_queued_job_alone(self):
        job = accept_job(JobKey("a", 1), running_job().submission, now=0.0)

        assert advance_job(job, Stage.FETCH, 0.0, now=1.0) is job

    def test_knows_where_every_stage_lies_without_a_gap(self):
        edges = [FIRST_SPANS[stage] for stage in Stage]

        assert edges[0][0] == 0
        assert [low for low, _ in edges[1:]] == [high for _, high in edges[:-1]]


class TestEnding:
    def test_never_changes_what_is_over(self):
        job = cancel_job(running_job(), now=1.0)

        assert succeed_job(job, {}, now=2.0) is job
        assert fail_job(job, code="x", message="", retryable=False, now=2.0) is job
        assert interrupt_job(job, now=2.0) is job
        assert advance_job(job, Stage.FETCH, 0.0, now=2.0) is job
        assert time_out_job(job, now=1e9) is job

    def test_names_the_stage_in_the_error(self):
        job = advance_job(running_job(), Stage.TEXTURE, 0.0, now=1.0)

        job = fail_job(job, code="no_subject", message="Nothing.", retryable=False, now=2.0)

        assert job.view().error == {
            "code": "no_subject",
            "message": "Nothing.",
            "retryable": False,
            "stage": "texture",
        }

    def test_counts_the_time_out_from_acceptance(self):
        job = running_job(timeout_s=10.0)

        assert time_out_job(job, now=9.9) is job
        assert time_out_job(job, now=10.0).view().error["code"] == "timeout"

    def test_shows_a_seq_beyond_any_that_a_kill_can_have_lost(self):
        job = running_job()
        shown = job
        for percent in range(101):
            shown = advance_job(shown, Stage.SHAPE, percent, now=1.0)

        assert interrupt_job(job, now=2.0).seq > shown.seq

    def test_buries_an_unknown_key_as_cancelled(self):
        view = bury_key(JobKey("a", 1), epoch=3, now=0.0).view()

        assert (view.state, view.epoch, view.seq) == (JobState.CANCELLED, 3, 1)


class TestIsNews:
    def test_answers_a_stage_that_the_asker_has_not_seen(self):
        job = advance_job(running_job(), Stage.FETCH, 0.0, now=1.0)

        assert is_news(job, after=job.seq - 1, percent_then=0, waited_s=0.0)
        assert not is_news(job, after=job.seq, percent_then=0, waited_s=0.0)

    def test_answers_what_is_over_at_once(self):
        job = cancel_job(running_job(), now=1.0)

        assert is_news(job, after=job.seq, percent_then=0, waited_s=0.0)

    @pytest.mark.parametrize(
        ("points", "waited_s", "expected"),
        [(10, 5.0, True), (10, 4.9, False), (9, 20.0, False)],
    )
    def test_answers_ten_points_after_five_seconds(
        self, points: float, waited_s: float, expected: bool
    ):
        job = advance_job(running_job(), Stage.SHAPE, 0.0, now=1.0)
        moved = advance_job(job, Stage.SHAPE, 100 * points / 48 + 0.01, now=2.0)

        answer = is_news(moved, after=job.seq, percent_then=job.percent, waited_s=waited_s)

        assert moved.percent - job.percent == points
        assert answer is expected
