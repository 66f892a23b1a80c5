"""Fan-out and fan-in: one image that fails never fails the others."""

from orchestrator.workflows.run_batch import run_batch
from tests.fakes.workflow import Drive

BATCH = "01hf000000000000000000000b"
REFUSAL = {"code": "image_unreadable", "message": "…", "retryable": False, "stage": "intake"}


def drive(*outcomes) -> Drive:
    """Run a batch whose items end as told; an item that was refused is told as None."""
    items = []
    for number, outcome in enumerate(outcomes, start=1):
        job_id = f"{BATCH}-{number}"
        if outcome is None:
            items.append({"number": number, "name": None, "error": REFUSAL})
        else:
            items.append({"number": number, "job_id": job_id, "order": {"id": job_id}})
    ends = {f"{BATCH}-{n}": outcome for n, outcome in enumerate(outcomes, start=1)}
    return Drive(
        run_batch, {"id": BATCH, "items": items}, lambda _, given: ends[given["instance_id"]]
    )


GOOD = {"state": "succeeded", "artifacts": ["model.glb"]}


class TestRunBatch:
    def test_runs_every_item_under_an_id_of_the_batch(self):
        ran = drive(GOOD, GOOD)

        assert [given["instance_id"] for _, given in ran.calls] == [f"{BATCH}-1", f"{BATCH}-2"]
        assert ran.names == ["run_job", "run_job"]

    def test_a_failing_child_and_a_refused_image_leave_the_others_alone(self):
        ran = drive(GOOD, Exception("it failed"), None, GOOD)

        assert ran.error is None
        assert (ran.output["succeeded"], ran.output["failed"]) == (2, 2)
        assert [item["state"] for item in ran.output["items"]] == [
            "succeeded",
            "failed",
            "failed",
            "succeeded",
        ]

    def test_gives_the_items_in_the_order_of_the_input(self):
        ran = drive(None, GOOD, None)

        assert [item["number"] for item in ran.output["items"]] == [1, 2, 3]

    def test_ends_at_once_when_every_image_was_refused(self):
        ran = drive(None, None)

        assert ran.calls == []
        assert ran.output["failed"] == 2

    def test_a_cancelled_item_is_no_success(self):
        ran = drive({"state": "cancelled"})

        assert ran.output["succeeded"] == 0

    def test_counts_as_they_end(self):
        ran = drive(GOOD, Exception("it failed"))

        assert [(s["state"], s["succeeded"], s["failed"]) for s in ran.context.statuses] == [
            ("running", 0, 0),
            ("running", 1, 0),
            ("over", 1, 1),
        ]
