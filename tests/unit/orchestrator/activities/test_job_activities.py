"""Effects of one job: what the agent is asked, and what the job's row remembers."""

import asyncio
import json
from typing import ClassVar

import pytest

from gpu_agent.wire import Stage
from orchestrator.domain.errors import AgentError
from orchestrator.domain.job import JobRow, JobState, manifest_path
from tests.unit.orchestrator.parts import JOB, MANIFEST, Parts

PERCENT_OF_TEXTURE = 60


@pytest.fixture
def submit(ready: Parts, do):
    """Return a function that submits an attempt."""

    def submit(fence: int = 1, **more) -> dict:
        order = {
            "job_id": JOB,
            "fence": fence,
            "vm": "gpu-1",
            "epoch": ready.vm().epoch,
            "options": {"seed": 7},
            "timeout_s": 60.0,
            **more,
        }
        return do(ready.job_activities.submit_job(order))

    return submit


@pytest.fixture
def follow(ready: Parts, do):
    """Return a function that follows an attempt whose last stage was seen."""

    def follow(fence: int = 1, *, after: int = 0, stage: str | None = None) -> dict:
        order = {"job_id": JOB, "fence": fence, "vm": "gpu-1", "after": after, "stage": stage}
        return do(ready.job_activities.follow_job({**order, "quiet_s": 0.0}))

    return follow


def row_of(parts: Parts) -> JobRow:
    row = parts.jobs.read(JOB)
    assert row is not None
    return row


class TestSubmitJob:
    def test_tells_the_agent_where_everything_is(self, ready: Parts, submit):
        answer = submit()

        asked = ready.agent().job(JOB, 1).submission
        assert answer == {"outcome": "accepted", "seq": 1, "stage": None}
        assert asked.input_path == f"jobs/{JOB}/input.png"
        assert asked.output_prefix == f"jobs/{JOB}/1/"
        assert asked.manifest_path == f"jobs/{JOB}/manifest.json"
        assert (asked.options, asked.timeout_s) == ({"seed": 7}, 60.0)

    def test_notes_that_the_job_runs(self, ready: Parts, submit):
        submit()

        row = row_of(ready)
        assert (row.state, row.vm, row.fence) == (JobState.RUNNING, "gpu-1", 1)
        assert row.started_at == row.attempt_at == ready.now

    def test_twice_joins_the_same_attempt(self, ready: Parts, submit):
        submit()
        ready.now += 9

        again = submit()

        assert again["outcome"] == "accepted"
        assert ready.agent().live() == [(JOB, 1)]
        assert row_of(ready).attempt_at == ready.now - 9

    def test_a_later_attempt_keeps_when_the_job_first_ran(self, ready: Parts, submit):
        submit()
        began_at = ready.now
        ready.now += 50

        submit(fence=2)

        assert (row_of(ready).started_at, row_of(ready).attempt_at) == (began_at, ready.now)

    @pytest.mark.parametrize(
        ("code", "outcome"),
        [("full", "refused"), ("stale_epoch", "refused"), ("not_ready", "not_ready")],
    )
    def test_tells_a_refusal_by_its_code(self, ready: Parts, submit, code: str, outcome: str):
        ready.agents.errors["submit"] = [AgentError(code, "no", status=409)]

        assert submit() == {"outcome": outcome, "code": code}
        assert row_of(ready).state is JobState.QUEUED

    def test_tells_of_silence(self, ready: Parts, submit):
        ready.agents.silent.add("gpu-1")

        assert submit() == {"outcome": "unreachable"}

    def test_refuses_a_vm_that_is_not_configured(self, submit):
        assert submit(vm="gone") == {"outcome": "refused", "code": "unknown_vm"}

    def test_an_older_attempt_overwrites_nothing(self, ready: Parts, submit):
        ready.jobs.change(JOB, lambda row: JobRow(**{**row.to_json(), "fence": 5, "percent": 40}))

        submit(fence=1)

        assert (row_of(ready).fence, row_of(ready).percent) == (5, 40)

    def test_a_row_that_is_over_stays_over(self, ready: Parts, submit):
        over = {"state": JobState.CANCELLED, "ended_at": 1.0}
        ready.jobs.change(JOB, lambda row: JobRow(**{**row.to_json(), **over}))

        submit()

        assert row_of(ready).state is JobState.CANCELLED


class TestFollowJob:
    def test_gives_the_end_at_once(self, ready: Parts, submit, follow):
        submit()
        ready.agent().succeed(JOB, 1, MANIFEST)

        answer = follow()

        assert answer["outcome"] == "news"
        assert answer["view"]["state"] == "succeeded"
        assert answer["view"]["manifest"] == MANIFEST

    def test_gives_a_change_of_stage(self, ready: Parts, submit, follow):
        submit()
        ready.agent().advance(JOB, 1, Stage.TEXTURE)

        answer = follow()

        assert (answer["view"]["stage"], answer["view"]["percent"]) == (
            "texture",
            PERCENT_OF_TEXTURE,
        )

    def test_writes_percent_into_the_row_while_it_waits(self, ready: Parts, submit):
        submit()
        ready.agent().advance(JOB, 1, Stage.SHAPE, 50)
        clock = iter([0.0, *[1.0] * 4, *[99.0] * 9])
        ready.job_activities._clock = lambda: next(clock)
        order = {"job_id": JOB, "fence": 1, "vm": "gpu-1", "after": 1, "stage": "shape"}

        asyncio.run(ready.job_activities.follow_job({**order, "quiet_s": 2.0}))

        row = row_of(ready)
        assert (row.stage, row.percent) == ("shape", 36)

    def test_knows_an_attempt_that_the_agent_does_not(self, ready: Parts, submit, follow):
        submit()
        ready.agent().forget()

        assert follow() == {"outcome": "unknown"}

    @pytest.mark.parametrize("error", [AgentError("internal", "it broke", status=500), None])
    def test_takes_a_broken_agent_for_a_silent_one(self, ready: Parts, submit, follow, error):
        submit()
        if error is None:
            ready.agents.silent.add("gpu-1")
        else:
            ready.agents.errors["follow"] = [error]

        assert follow() == {"outcome": "unreachable"}

    def test_knows_nothing_of_a_vm_that_is_not_configured(self, ready: Parts, do):
        order = {"job_id": JOB, "fence": 1, "vm": "gone", "after": 0, "stage": None}

        assert do(ready.job_activities.follow_job(order)) == {"outcome": "unknown"}


class TestProgress:
    """What an attempt writes into the row while it is followed."""

    @pytest.fixture
    def note(self, ready: Parts, submit):
        submit(fence=3)

        def note(fence: int, percent: int, **more: float) -> JobRow:
            view = ready.agent().job(JOB, 3).view()
            seen = type(view)(**{**view.to_json(), "stage": "shape", "percent": percent, **more})
            ready.job_activities._note_progress(JOB, fence, seen)
            return row_of(ready)

        return note

    def test_percent_never_falls(self, note):
        assert note(3, 40).percent == 40
        assert note(3, 39).percent == 40

    def test_the_end_is_when_the_agent_expects_it(self, ready: Parts, note):
        assert note(3, 40, seconds_left=30.0).expected_end_at == ready.now + 30
        ready.now += 10
        assert note(3, 50, seconds_left=25.0).expected_end_at == ready.now + 25
        assert note(3, 60).expected_end_at is None

    def test_an_older_attempt_tells_nothing(self, note):
        assert note(2, 90).percent == 0

    def test_submitting_again_does_not_turn_percent_back(self, ready: Parts, note, submit):
        note(3, 40)

        submit(fence=3)

        assert row_of(ready).percent == 40


class TestStopJob:
    def test_cancels_on_the_agent(self, ready: Parts, submit, do):
        submit()
        order = {"job_id": JOB, "fence": 1, "vm": "gpu-1"}

        answers = [do(ready.job_activities.stop_job(order)) for _ in range(2)]

        assert answers == [{"outcome": "stopped"}] * 2
        assert ready.agent().live() == []

    def test_tells_of_silence(self, ready: Parts, do):
        ready.agents.silent.add("gpu-1")
        order = {"job_id": JOB, "fence": 1, "vm": "gpu-1"}

        assert do(ready.job_activities.stop_job(order)) == {"outcome": "unreachable"}


class TestRecoverJob:
    ORDER: ClassVar = {"job_id": JOB, "fence": 1, "vm_unreachable": False}

    def test_frees_the_slot_and_queues_the_row(self, ready: Parts, submit, do):
        submit()

        answer = do(ready.job_activities.recover_job(self.ORDER, ready.durable))

        row = row_of(ready)
        assert answer == {"manifest": None}
        assert ready.vm().slots == {}
        assert (row.state, row.stage, row.percent, row.vm) == (JobState.QUEUED, None, 0, None)

    def test_finds_the_manifest_of_an_attempt_that_was_lost_after_its_end(
        self, ready: Parts, submit, do
    ):
        submit()
        ready.files.write(manifest_path(JOB), json.dumps(MANIFEST).encode(), "application/json")

        answer = do(ready.job_activities.recover_job(self.ORDER, ready.durable))

        assert answer == {"manifest": MANIFEST}
        assert row_of(ready).state is JobState.RUNNING

    def test_gives_a_silent_vm_up(self, ready: Parts, do):
        order = {**self.ORDER, "vm_unreachable": True}

        for _ in range(2):
            do(ready.job_activities.recover_job(order, ready.durable))

        assert ready.vm().phase == "deallocating"
        assert ready.vm().drain == 1

    def test_does_not_touch_a_newer_attempt(self, ready: Parts, submit, do):
        submit(fence=2)

        do(ready.job_activities.recover_job(self.ORDER, ready.durable))

        assert row_of(ready).state is JobState.RUNNING


class TestFinishJob:
    def finish(self, ready: Parts, do, **more) -> dict:
        order = {"job_id": JOB, "fence": 1, "vm": "gpu-1", "manifest": None, "error": None}
        return do(ready.job_activities.finish_job({**order, **more}, ready.durable))

    def test_writes_success_down_and_gives_artifacts_as_paths_of_the_api(
        self, ready: Parts, submit, do
    ):
        submit()
        ready.now += 10

        output = self.finish(ready, do, state="succeeded", manifest=MANIFEST)

        row = row_of(ready)
        assert (row.state, row.percent, row.ended_at) == (JobState.SUCCEEDED, 100, ready.now)
        assert row.cost["usd"] == pytest.approx(10 * 3.6 / 3600)
        assert output["artifacts"][0]["url"] == f"/api/jobs/{JOB}/artifacts/model.glb"
        assert output["manifest"] == f"/api/jobs/{JOB}/artifacts/manifest.json"
        assert ready.vm().slots == {}
        assert ready.state.learned["job_s"] == [10.0]

    def test_writes_failure_down_with_its_error(self, ready: Parts, do):
        error = {"code": "no_subject", "message": "…", "retryable": False, "stage": "background"}

        output = self.finish(ready, do, state="failed", error=error)

        assert output == {"id": JOB, "state": "failed"}
        assert (row_of(ready).state, row_of(ready).error) == (JobState.FAILED, error)
        assert "job_s" not in ready.state.learned

    def test_twice_is_once(self, ready: Parts, do):
        first = self.finish(ready, do, state="succeeded", manifest=MANIFEST)
        ended_at = row_of(ready).ended_at
        ready.now += 100

        again = self.finish(ready, do, state="succeeded", manifest=MANIFEST)

        assert first == again
        assert row_of(ready).ended_at == ended_at
        assert ready.state.learned["job_s"] == [0.0]

    def test_a_row_never_goes_back_from_over(self, ready: Parts, do):
        self.finish(ready, do, state="succeeded", manifest=MANIFEST)
        error = {"code": "x", "message": "", "retryable": False, "stage": None}

        self.finish(ready, do, state="failed", error=error)

        assert row_of(ready).state is JobState.SUCCEEDED

    def test_an_older_attempt_does_not_end_a_newer_one(self, ready: Parts, submit, do):
        submit(fence=2)
        error = {"code": "x", "message": "", "retryable": False, "stage": None}

        self.finish(ready, do, state="failed", error=error)

        assert row_of(ready).state is JobState.RUNNING


class TestUnlistedVm:
    def test_keeps_the_job_that_it_has(self, ready: Parts, submit, follow, do):
        submit()
        ready.agent().succeed(JOB, 1, MANIFEST)
        ready.unlist()

        assert follow()["outcome"] == "news"
        assert submit()["outcome"] == "accepted"
        stop = {"job_id": JOB, "fence": 1, "vm": "gpu-1"}
        assert do(ready.job_activities.stop_job(stop))["outcome"] == "stopped"

    def test_that_was_never_woken_is_unknown(self, ready: Parts, do):
        order = {"job_id": JOB, "fence": 1, "vm": "gpu-9", "after": 0, "stage": None}

        assert do(ready.job_activities.follow_job(order))["outcome"] == "unknown"
