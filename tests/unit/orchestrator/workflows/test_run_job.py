"""The workflow of one job, driven step by step: which activities, in what order, with what."""

from typing import Any

import pytest

from orchestrator.domain.fence import fence_of
from orchestrator.workflows.run_job import JobFailedError, run_job
from tests.fakes.workflow import BEGIN, Drive, script

JOB = "01hf000000000000000000000a"
ORDER = {
    "id": JOB,
    "options": {"seed": 7},
    "priority": 0,
    "start_within_s": 3600.0,
    "job_timeout_s": 600.0,
    "unreachable_s": 60.0,
}
FENCE = fence_of(int(BEGIN.timestamp() * 1000), 1)
MANIFEST = {"artifacts": []}
ERROR = {"code": "no_subject", "message": "Nothing found.", "retryable": False, "stage": "shape"}

SLOT = {"answer": "slot", "vm": "gpu-1", "epoch": 9}
WAIT = {"answer": "wait", "position": 3, "waiting_for": "vm", "vm": {"name": "gpu-1"}}
ACCEPTED = {"outcome": "accepted", "seq": 1, "stage": None}
REFUSED = {"outcome": "refused", "code": "full"}
SILENT = {"outcome": "unreachable"}
UNKNOWN = {"outcome": "unknown"}
NOTHING = {"manifest": None}
TASK = ["apply_pool_command", "submit_job", "follow_job"]


def news(state: str = "running", stage: str | None = "shape", seq: int = 2, **more) -> dict:
    view = {"state": state, "stage": stage, "percent": 30, "seq": seq, "error": None}
    return {"outcome": "news", "view": {"manifest": None, **view, **more}}


DONE = news("succeeded", "upload", 9, percent=100, manifest=MANIFEST)


def finished(order: dict[str, Any]) -> dict[str, Any]:
    return {"id": JOB, "state": order["state"]}


def drive(order: dict[str, Any] = ORDER, **how: Any) -> Drive:
    """Run the workflow over answers that go well unless a test says otherwise."""
    race = {name: how.pop(name) for name in ("happens", "takes_s") if name in how}
    answers = {
        "apply_pool_command": [SLOT],
        "submit_job": [ACCEPTED],
        "follow_job": [DONE],
        "recover_job": [NOTHING],
        "stop_job": [{"outcome": "stopped"}],
        "finish_job": [finished],
    }
    return Drive(run_job, order, script(**{**answers, **how}), **race)


class TestHappyPath:
    def test_asks_submits_follows_and_finishes(self):
        ran = drive(follow_job=[news(), news(stage="texture", seq=3), DONE])

        assert ran.names == [*TASK, "follow_job", "follow_job", "finish_job"]
        assert ran.output == {"id": JOB, "state": "succeeded"}
        assert ran.error is None

    def test_every_step_carries_job_and_fence(self):
        ran = drive()

        assert {given["job_id"] for _, given in ran.calls} == {JOB}
        assert {given["fence"] for _, given in ran.calls} == {FENCE}

    def test_hands_over_what_the_pool_granted(self):
        ran = drive()

        assert ran.calls[1][1] == {
            "job_id": JOB,
            "fence": FENCE,
            "vm": "gpu-1",
            "epoch": 9,
            "options": {"seed": 7},
            "timeout_s": 600.0,
        }

    def test_follows_from_where_it_was(self):
        ran = drive(follow_job=[news(seq=5), DONE])

        follows = [given for name, given in ran.calls if name == "follow_job"]
        assert [(given["after"], given["stage"]) for given in follows] == [(1, None), (5, "shape")]

    def test_shows_enough_for_a_backend_that_polls_nothing_else(self):
        ran = drive(follow_job=[news(seconds_left=12.5), DONE])

        assert [s["estimated_seconds_left"] for s in ran.context.statuses] == [None, 12.5, None]
        assert [(s["state"], s["percent"]) for s in ran.context.statuses] == [
            ("running", 0),
            ("running", 30),
            ("succeeded", 100),
        ]
        assert ran.status.keys() == {
            "state",
            "stage",
            "percent",
            "queue_position",
            "waiting_for",
            "vm",
            "estimated_seconds_left",
            "error",
        }

    def test_carries_no_secret_and_only_plain_values(self):
        import json

        ran = drive(follow_job=[news(), DONE])

        json.dumps([ran.calls, ran.context.statuses, ran.output])


class TestWaiting:
    def test_claims_when_the_offer_comes(self):
        ran = drive(
            apply_pool_command=[WAIT, SLOT], happens=lambda name: name == f"slot-{FENCE}-1"
        )

        kinds = [given["kind"] for name, given in ran.calls if name == "apply_pool_command"]
        assert kinds == ["Enqueue", "Acquire"]
        assert ran.waits == []
        assert all(timer.is_cancelled for timer in ran.context.timers)

    def test_every_wait_has_an_event_name_of_its_own(self):
        names = []
        ran = drive(
            apply_pool_command=[WAIT, WAIT, SLOT], happens=lambda name: bool(names.append(name))
        )

        rounds = [given["round"] for name, given in ran.calls if name == "apply_pool_command"]
        assert rounds == [1, 2, 3]
        assert names == [f"slot-{FENCE}-1", f"slot-{FENCE}-2"]

    def test_asks_again_when_no_offer_comes_and_less_and_less_often(self):
        ran = drive(apply_pool_command=[*[WAIT] * 7, SLOT])

        assert ran.waits == [30, 60, 120, 240, 480, 600, 600]

    def test_shows_the_place_in_the_queue(self):
        ran = drive(apply_pool_command=[WAIT, SLOT])

        queued = ran.context.statuses[0]
        assert (queued["state"], queued["queue_position"], queued["waiting_for"]) == (
            "queued",
            3,
            "vm",
        )
        assert queued["vm"] == {"name": "gpu-1"}

    def test_gives_up_a_job_that_could_not_start_in_time(self):
        ran = drive({**ORDER, "start_within_s": 100.0}, apply_pool_command=[WAIT])

        assert ran.waits == [30, 60, 10]
        assert ran.names[-1] == "finish_job"
        assert isinstance(ran.error, JobFailedError)
        assert ran.status["error"]["code"] == "not_started_in_time"
        assert ran.status["error"]["retryable"] is True

    def test_ends_quietly_when_it_was_cancelled(self):
        ran = drive(apply_pool_command=[WAIT, {"answer": "cancelled"}])

        assert ran.output == {"id": JOB, "state": "cancelled"}
        assert "finish_job" not in ran.names

    def test_a_slot_whose_time_was_over_is_another_attempt(self):
        ran = drive(apply_pool_command=[{"answer": "over"}, SLOT])

        assert ran.names == ["apply_pool_command", "recover_job", *TASK, "finish_job"]
        assert ran.calls[-1][1]["fence"] == FENCE + 1


class TestLosses:
    def test_a_silent_agent_gets_a_minute(self):
        ran = drive(follow_job=[news(), SILENT, SILENT, DONE])

        assert ran.output["state"] == "succeeded"
        assert ran.waits == [2, 2]
        assert "recover_job" not in ran.names

    def test_a_minute_of_silence_is_a_loss_and_the_job_runs_again(self):
        ran = drive(follow_job=[news(), *[SILENT] * 31, DONE])

        recover = next(given for name, given in ran.calls if name == "recover_job")
        assert recover == {"job_id": JOB, "fence": FENCE, "vm_unreachable": True}
        assert ran.output["state"] == "succeeded"
        assert ran.calls[-1][1]["fence"] == FENCE + 1

    def test_an_answer_in_between_begins_the_minute_anew(self):
        silences = [SILENT] * 20
        ran = drive(follow_job=[*silences, news(), *silences, DONE])

        assert "recover_job" not in ran.names

    def test_a_finished_model_found_after_a_loss_is_success(self):
        ran = drive(
            follow_job=[news(), UNKNOWN, DONE], recover_job=[{"manifest": {"artifacts": [1]}}]
        )

        assert ran.names == [*TASK, "follow_job", "recover_job", "finish_job"]
        assert ran.calls[-1][1]["manifest"] == {"artifacts": [1]}
        assert ran.output["state"] == "succeeded"

    def test_the_slot_is_released_before_the_workflow_fails(self):
        ran = drive(follow_job=[news("failed", error=ERROR)])

        assert ran.names[-1] == "finish_job"
        assert ran.calls[-1][1]["error"] == ERROR
        assert str(ran.error) == "no_subject: Nothing found."
        assert ran.status["state"] == "failed"

    def test_an_error_that_would_come_again_is_final(self):
        ran = drive(follow_job=[news("failed", error=ERROR)])

        assert ran.names.count("submit_job") == 1

    def test_an_error_that_may_pass_is_tried_again(self):
        passing = {**ERROR, "code": "out_of_memory", "retryable": True}
        ran = drive(follow_job=[news("failed", error=passing), DONE])

        assert ran.output["state"] == "succeeded"
        assert ran.names.count("submit_job") == 2


class TestRule07RealRuns:
    """Only what really ran uses up one of the three; of others there may be eight."""

    def test_three_runs_that_were_cut_off_are_the_end(self):
        ran = drive(follow_job=[news("interrupted")])

        assert ran.names.count("submit_job") == 3
        assert ran.names[-2:] == ["recover_job", "finish_job"]
        assert ran.calls[-1][1]["error"]["code"] == "job_interrupted"
        assert isinstance(ran.error, JobFailedError)

    def test_a_lost_job_that_had_not_begun_is_not_charged(self):
        ran = drive(follow_job=[UNKNOWN])

        assert ran.names.count("submit_job") == 8

    def test_a_lost_job_that_had_begun_is_charged(self):
        ran = drive(follow_job=[*[news(), UNKNOWN] * 3])

        assert ran.names.count("submit_job") == 3

    def test_cancelled_on_the_agent_is_not_charged(self):
        ran = drive(follow_job=[*[news("cancelled")] * 4, DONE])

        assert ran.output["state"] == "succeeded"

    def test_a_refusal_is_not_charged_and_eight_tries_are_the_end(self):
        ran = drive(submit_job=[REFUSED])

        assert ran.names.count("submit_job") == 8
        assert ran.names.count("recover_job") == 8
        assert ran.status["error"]["code"] == "agent_refused"
        assert "full" in ran.status["error"]["message"]


class TestRefusals:
    def test_pauses_longer_after_every_refusal(self):
        ran = drive(submit_job=[REFUSED])

        assert ran.waits == [1, 2, 4, 8, 16, 30, 30]

    def test_every_try_has_a_higher_fence(self):
        ran = drive(submit_job=[REFUSED])

        fences = [given["fence"] for name, given in ran.calls if name == "submit_job"]
        assert fences == [FENCE + n for n in range(8)]

    def test_an_agent_silent_at_the_handover_gets_a_minute_and_is_then_lost(self):
        ran = drive(submit_job=[*[SILENT] * 31, ACCEPTED])

        recover = next(given for name, given in ran.calls if name == "recover_job")
        assert recover["vm_unreachable"] is True
        assert ran.output["state"] == "succeeded"

    def test_an_agent_that_sets_up_again_is_waited_for(self):
        setting_up = {"outcome": "not_ready", "code": "not_ready"}
        ran = drive(submit_job=[setting_up, setting_up, ACCEPTED])

        assert "recover_job" not in ran.names
        assert ran.output["state"] == "succeeded"


class TestTimeout:
    def test_a_job_that_runs_too_long_is_stopped_and_fails_for_good(self):
        ran = drive(follow_job=[news()], takes_s=lambda name: 25.0 * (name == "follow_job"))

        assert ran.names[-2:] == ["stop_job", "finish_job"]
        assert ran.names.count("follow_job") == 24
        assert ran.status["error"]["code"] == "job_timed_out"


class TestReplay:
    @pytest.mark.parametrize("follow", [[DONE], [news(), SILENT, DONE], [UNKNOWN, news(), DONE]])
    def test_equal_answers_give_equal_steps(self, follow: list):
        first, again = drive(follow_job=list(follow)), drive(follow_job=list(follow))

        assert first.calls == again.calls
        assert first.context.statuses == again.context.statuses
