"""A failed activity costs nobody a job: it is called again."""

from orchestrator.domain.names import Activity
from orchestrator.workflows.call_with_retry import MAX_FAILURES, call_with_retry
from orchestrator.workflows.reconcile_pool import reconcile_pool
from orchestrator.workflows.run_job import run_job
from tests.fakes.workflow import Drive, script

FAILURE = RuntimeError("Activity function 'tick_pool' failed: no answer from storage")
ORDER = {
    "id": "j",
    "options": {},
    "priority": 0,
    "start_within_s": 3600.0,
    "job_timeout_s": 600.0,
    "unreachable_s": 60.0,
}


def tick(context):
    return (yield from call_with_retry(context, Activity.TICK_POOL, {"generation": 1}))


class TestCallWithRetry:
    def test_calls_again_with_the_same_order_after_longer_and_longer_pauses(self):
        answers = [FAILURE] * 8 + [{"answer": "sleep"}]

        ran = Drive(tick, None, script(tick_pool=answers))

        assert ran.output == {"answer": "sleep"}
        assert ran.waits == [2, 4, 8, 16, 32, 60, 60, 60]
        assert ran.calls == [("tick_pool", {"generation": 1})] * 9

    def test_gives_up_in_the_end_with_the_last_failure(self):
        ran = Drive(tick, None, script(tick_pool=[FAILURE]))

        assert ran.error is FAILURE
        assert len(ran.calls) == MAX_FAILURES


class TestWorkflowsInsist:
    def test_a_job_outlives_storage_that_is_away(self):
        manifest = {"fence": 1, "artifacts": []}
        over = {"state": "succeeded", "seq": 9, "stage": "upload", "manifest": manifest}
        ran = Drive(
            run_job,
            ORDER,
            script(
                apply_pool_command=[FAILURE, {"answer": "slot", "vm": "gpu-1", "epoch": 1}],
                submit_job=[FAILURE, {"outcome": "accepted", "seq": 1, "stage": None}],
                follow_job=[
                    FAILURE,
                    {"outcome": "news", "view": {**over, "percent": 100}},
                ],
                finish_job=[FAILURE, {"id": "j", "state": "succeeded"}],
            ),
        )

        assert ran.error is None
        assert ran.output == {"id": "j", "state": "succeeded"}

    def test_the_reconciler_goes_on_after_a_tick_that_failed(self):
        ran = Drive(
            reconcile_pool,
            {"generation": 3},
            script(tick_pool=[FAILURE, {"answer": "sleep", "until": 0.0}]),
        )

        assert ran.context.began_anew_with == {"generation": 3}
