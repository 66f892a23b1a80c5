"""Fan-out and fan-in: one image that fails never fails the others."""

import json
from concurrent.futures import Executor, Future

import azure.durable_functions as df
import pytest
from azure.functions.meta import Datum

from localcloud.clock import VirtualClock
from localcloud.functions_host import bindings
from localcloud.functions_host.engine import Engine, EngineOptions
from localcloud.functions_host.store import Store
from orchestrator.workflows.run_batch import AT_ONCE, PATIENCE, run_batch
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


def drive_urls(count: int, prepare, *, run_child=lambda job_id: GOOD) -> Drive:
    """Run a batch whose images are still to be prepared.

    Args:
        count: How many images there are.
        prepare: Gives the answer of `prepare_image` by its order.
        run_child: Gives the end of a job by its id.
    """
    items = [{"number": n, "job_id": f"{BATCH}-{n}"} for n in range(1, count + 1)]

    def answer(name, given):
        if name == "prepare_image":
            return prepare(given)
        assert given["order"] == {"id": given["instance_id"]}
        return run_child(given["instance_id"])

    return Drive(run_batch, {"id": BATCH, "items": items}, answer)


def stored(order) -> dict:
    return {"outcome": "stored", "order": {"id": f"{BATCH}-{order['number']}"}}


class TestImages:
    def test_are_each_prepared_before_their_job_runs(self):
        ran = drive_urls(3, stored)

        assert ran.names == ["prepare_image"] * 3 + ["run_job"] * 3
        assert [given for name, given in ran.calls if name == "prepare_image"] == [
            {"batch_id": BATCH, "number": n, "is_last": False} for n in (1, 2, 3)
        ]
        assert ran.output["succeeded"] == 3

    def test_that_are_refused_leave_the_others_alone(self):
        def prepare(order):
            if order["number"] == 2:
                return {"outcome": "refused", "error": REFUSAL}
            return stored(order)

        ran = drive_urls(3, prepare)

        assert ran.names.count("run_job") == 2
        assert [item["state"] for item in ran.output["items"]] == [
            *("succeeded", "failed", "succeeded"),
        ]
        assert ran.output["items"][1]["error"] == REFUSAL

    def test_of_jobs_that_are_over_start_nothing(self):
        over = {"outcome": "over", "error": None}
        ends = [
            {**over, "state": "cancelled", "artifacts": []},
            {**over, "state": "succeeded", "artifacts": ["model.glb"]},
        ]

        ran = drive_urls(2, lambda order: ends[order["number"] - 1])

        assert "run_job" not in ran.names
        assert [item["state"] for item in ran.output["items"]] == ["cancelled", "succeeded"]
        assert (ran.output["succeeded"], ran.output["failed"]) == (1, 1)

    def test_wait_while_intake_is_busy(self):
        answers = [{"outcome": "busy"}] * 3

        ran = drive_urls(1, lambda order: answers.pop() if answers else stored(order))

        assert ran.waits == [2.0, 4.0, 8.0]
        assert ran.output["succeeded"] == 1

    def test_wait_while_storage_does_not_answer(self):
        answers = [Exception("no answer")] * 2

        ran = drive_urls(1, lambda order: answers.pop() if answers else stored(order))

        assert ran.waits == [2.0, 4.0]
        assert ran.output["succeeded"] == 1

    def test_are_refused_when_intake_was_busy_for_too_long(self):
        def prepare(order):
            refused = {"outcome": "refused", "error": REFUSAL}
            return refused if order["is_last"] else {"outcome": "busy"}

        ran = drive_urls(1, prepare)

        assert PATIENCE.total_seconds() <= sum(ran.waits) <= PATIENCE.total_seconds() + 60
        assert max(ran.waits) == 60.0
        assert ran.output["items"][0]["error"] == REFUSAL

    def test_fail_alone_when_storage_never_answers(self):
        ran = drive_urls(
            2, lambda order: Exception("no") if order["number"] == 1 else stored(order)
        )

        assert sum(ran.waits) <= PATIENCE.total_seconds() + 60
        assert [item["state"] for item in ran.output["items"]] == ["failed", "succeeded"]


class Host(Executor):
    """The engine with the real SDK, on the test's own thread; the test answers activities."""

    def __init__(self, tmp_path) -> None:
        def run_job(context):
            return (yield context.call_activity("work", context.get_input()))

        handles = {"run_batch": run_batch, "run_job": run_job}
        self._handles = {name: df.Orchestrator.create(one) for name, one in handles.items()}
        self.rows = []
        self._episodes = []
        self._store = Store(tmp_path / "durable.sqlite", lease="run")
        self._engine = Engine(
            self._store, self, VirtualClock(), EngineOptions(is_strict=True), executor=self
        )
        self._engine.start(self)

    def call_entity(self, name, context):
        raise NotImplementedError

    def has_activity(self, name) -> bool:
        return name in ("prepare_image", "work")

    def has_orchestrator(self, name) -> bool:
        return name in self._handles

    def has_entity(self, name) -> bool:
        return False

    def call_orchestrator(self, name, context) -> str:
        value = bindings.decode("orchestrationTrigger", Datum(context, "json"))
        return self._handles[name](context=value)

    def dispatch(self, rows) -> None:
        self.rows.extend(rows)

    def submit(self, call, /, *args, **kwargs) -> Future:
        self._episodes.append(lambda: call(*args, **kwargs))
        return Future()

    def post(self, count: int) -> None:
        items = [{"number": n, "job_id": f"{BATCH}-{n}"} for n in range(1, count + 1)]
        order = json.dumps({"id": BATCH, "items": items})
        self._engine.start_instance("run_batch", BATCH, order)
        self.settle()

    def settle(self) -> None:
        """Run episodes until none is left."""
        while self._episodes:
            self._episodes.pop(0)()

    def open(self, name: str) -> list:
        return [row for row in self.rows if row.name == name]

    def finish(self, row, result) -> None:
        self.rows.remove(row)
        self._engine.finish_activity(row, {"Result": json.dumps(result)})
        self.settle()

    def output(self):
        return json.loads(self._store.read_instance(BATCH).output)

    def stop(self) -> None:
        self._engine.stop()
        self._store.close()


@pytest.fixture(name="host")
def _host(tmp_path):
    host = Host(tmp_path)
    yield host
    host.stop()


# The SDK says so once in a process, of its own calls.
@pytest.mark.filterwarnings("ignore:azure.functions df_loads was called")
class TestOnTheHost:
    """The host starts nothing new before one of the tasks that were new before has ended."""

    def prepare_wave(self, host: Host) -> None:
        for row in host.open("prepare_image"):
            host.finish(row, stored(json.loads(row.input)))

    def test_no_more_images_are_under_way_than_the_limit(self, host: Host):
        host.post(3 * AT_ONCE)

        for _ in range(3):
            assert len(host.open("prepare_image")) == AT_ONCE
            self.prepare_wave(host)
        assert host.open("prepare_image") == []

    def test_jobs_under_way_hold_up_no_image_and_no_other_job(self, host: Host):
        count = 2 * AT_ONCE + 1
        host.post(count)

        while host.open("prepare_image"):
            self.prepare_wave(host)

        assert len(host.open("work")) == count
        for row in host.open("work"):
            host.finish(row, GOOD)
        assert host.output()["succeeded"] == count

    def test_jobs_that_end_while_images_are_prepared_count(self, host: Host):
        host.post(AT_ONCE + 1)
        self.prepare_wave(host)

        for row in host.open("work"):
            host.finish(row, GOOD)
        self.prepare_wave(host)
        for row in host.open("work"):
            host.finish(row, GOOD)

        assert host.output()["succeeded"] == AT_ONCE + 1
