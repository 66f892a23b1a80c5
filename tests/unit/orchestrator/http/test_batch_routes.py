"""Many images, one call: every image is judged by itself."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from orchestrator.adapters.durable_client import DurableClient
from orchestrator.domain.job import JobState, request_path
from orchestrator.domain.pool import Enqueue
from tests.unit.orchestrator.http.desk import ORIGIN, PNG, Desk
from tests.unit.orchestrator.parts import run

BAD = b""


def sources(desk: Desk) -> list[str]:
    """Name the images that are stored as they were sent."""
    return [path for path in desk.parts.files.files if "/source-" in path]


class TestPost:
    def test_starts_one_workflow_for_all(self, desk: Desk):
        heard = desk.post_batch(PNG, PNG)

        batch_id = heard.body["id"]
        assert heard.status == 202
        assert heard.headers["location"] == f"{ORIGIN}/api/batches/{batch_id}"
        assert desk.parts.durable.started("run_batch") == [batch_id]
        items = desk.parts.durable.instances[batch_id].input_["items"]
        assert [item["job_id"] for item in items] == [f"{batch_id}-1", f"{batch_id}-2"]
        assert all(set(item) == {"number", "job_id"} for item in items)

    def test_gives_every_image_a_job_before_it_is_read(self, desk: Desk):
        heard = desk.post_batch(PNG, BAD, PNG)

        batch_id = heard.body["id"]
        assert heard.body["items"] == [
            {"number": n, "name": f"{n}.png", "job_id": f"{batch_id}-{n}"} for n in (1, 2, 3)
        ]
        assert [desk.get(f"{batch_id}-{n}").body["state"] for n in (1, 2, 3)] == ["queued"] * 3

    @pytest.mark.parametrize(("count", "code"), [(0, "image_missing"), (101, "too_many_images")])
    def test_takes_one_to_a_hundred(self, desk: Desk, count: int, code: str):
        heard = desk.post_batch(*[PNG] * count)

        assert (heard.status, heard.body["code"]) == (400, code)

    def test_the_same_key_finds_the_first_batch(self, desk: Desk):
        first, again = desk.post_batch(PNG, BAD, key="k"), desk.post_batch(PNG, BAD, key="k")

        assert first.body == again.body
        assert len(desk.parts.durable.started("run_batch")) == 1

    def test_a_batch_that_was_accepted_is_found_while_new_ones_are_refused(self):
        desk = Desk(max_open_jobs=1)
        first = desk.post_batch(PNG, key="k")
        desk.parts.apply(Enqueue(job_id=f"{first.body['id']}-1", fence=1))

        again = desk.post_batch(PNG, key="k")
        other = desk.post_batch(PNG, key="k2")

        assert (again.status, again.body) == (202, first.body)
        assert other.status == 429

    def test_a_batch_cut_off_before_it_was_stored_is_stored_under_its_id(self, desk: Desk):
        create = desk.parts.files.create
        desk.parts.files.create = lambda *args: 1 / 0
        cut = desk.post_batch(PNG, PNG, key="k")
        (first_id,) = (job_id for job_id, _ in desk.keys._first.values())
        desk.parts.files.create = create

        again = desk.post_batch(PNG, PNG, key="k")

        assert (cut.status, again.status) == (500, 202)
        assert again.body["id"] == first_id
        assert desk.parts.durable.started("run_batch") == [first_id]

    def test_two_requests_at_once_with_one_key_make_one_batch(self, desk: Desk):
        """The second finds nothing stored, and the first is faster."""
        create, answers = desk.parts.files.create, []

        def be_overtaken(*args) -> bool:
            desk.parts.files.create = create
            with ThreadPoolExecutor(1) as other:
                answers.append(other.submit(desk.post_batch, PNG, PNG, key="k").result())
            return create(*args)

        desk.parts.files.create = be_overtaken

        slower = desk.post_batch(PNG, PNG, key="k")

        assert slower.body == answers[0].body
        batch_id = slower.body["id"]
        assert len(sources(desk)) == 2
        assert [desk.prepare(batch_id, n)["outcome"] for n in (1, 2)] == ["stored"] * 2
        assert sources(desk) == []

    def test_a_lost_answer_of_storage_costs_no_image(self, desk: Desk):
        """The write is repeated and finds the file that it made itself."""
        create = desk.parts.files.create
        desk.parts.files.create = lambda *args: create(*args) and create(*args)

        batch_id = desk.post_batch(PNG, PNG).body["id"]

        assert [desk.prepare(batch_id, n)["outcome"] for n in (1, 2)] == ["stored"] * 2

    def test_the_key_of_a_batch_that_is_over_starts_nothing(self, desk: Desk):
        first = desk.post_batch(PNG, key="k")
        desk.ask(desk.jobs.delete, method="DELETE", id=f"{first.body['id']}-1")
        del desk.parts.durable.instances[first.body["id"]]

        again = desk.post_batch(PNG, key="k")

        assert again.body == first.body
        assert desk.parts.durable.started("run_batch") == []

    def test_the_key_of_a_batch_whose_workflow_has_ended_starts_nothing(self, desk: Desk):
        first = desk.post_batch(PNG, key="k")
        desk.parts.durable.instances[first.body["id"]].runtime_status = "Completed"

        desk.post_batch(PNG, key="k")

        assert desk.parts.durable.instances[first.body["id"]].runtime_status == "Completed"

    def test_a_batch_whose_workflow_is_gone_is_started_again(self, desk: Desk):
        batch_id = desk.post_batch(PNG, PNG).body["id"]
        desk.ask(desk.jobs.delete, method="DELETE", id=f"{batch_id}-1")
        del desk.parts.durable.instances[batch_id]

        run(desk.batch_service.start(batch_id, DurableClient(desk.parts.durable)))

        assert desk.parts.durable.started("run_batch") == [batch_id]
        assert desk.row(f"{batch_id}-1").state is JobState.CANCELLED

    def test_a_batch_of_an_older_version_is_started_and_shown(self, desk: Desk):
        batch_id = desk.post_batch(PNG, BAD).body["id"]
        del desk.parts.durable.instances[batch_id]
        row = replace(desk.row(f"{batch_id}-1"), awaits_image=False).to_json()
        del row["awaits_image"]
        error = {"code": "image_empty", "message": "…", "retryable": False, "stage": "intake"}
        refused = {"number": 2, "name": "2.png", "error": error}
        old = {"id": batch_id, "rows": [row], "refused": [refused]}
        desk.parts.files.files[request_path(batch_id)] = json.dumps(old).encode()

        run(desk.batch_service.start(batch_id, DurableClient(desk.parts.durable)))

        assert desk.parts.durable.instances[batch_id].input_["items"] == [
            {"number": 1, "job_id": f"{batch_id}-1"},
            refused,
        ]
        items = desk.ask(desk.batches.get, id=batch_id).body["items"]
        assert [item["state"] for item in items] == ["queued", "failed"]
        assert items[1]["error"]["code"] == "image_empty"

    def test_a_batch_cut_off_before_its_workflow_goes_on(self, desk: Desk):
        desk.parts.durable.errors["start_new"] = [Exception("cut off")]
        cut = desk.post_batch(PNG, PNG, key="k")

        again = desk.post_batch(PNG, PNG, key="k")

        assert (cut.status, again.status) == (500, 202)
        assert desk.parts.durable.started("run_batch") == [again.body["id"]]


class TestGet:
    def test_tells_what_became_of_each_image(self, desk: Desk):
        batch_id = desk.post_batch(PNG, BAD).body["id"]
        desk.ask(desk.jobs.delete, method="DELETE", id=f"{batch_id}-1")
        desk.prepare(batch_id, 2)

        heard = desk.ask(desk.batches.get, id=batch_id)

        assert heard.body["state"] == "over"
        assert [item["state"] for item in heard.body["items"]] == ["cancelled", "failed"]
        assert (heard.body["cancelled"], heard.body["failed"]) == (1, 1)
        assert heard.body["items"][1]["error"]["code"] == "image_empty"

    def test_runs_while_one_does(self, desk: Desk):
        batch_id = desk.post_batch(PNG, BAD).body["id"]

        heard = desk.ask(desk.batches.get, id=batch_id)

        assert heard.body["state"] == "running"
        assert heard.headers["retry-after"] == "2"

    def test_a_job_is_no_batch(self, desk: Desk):
        job_id = desk.post_form(PNG).body["id"]

        assert desk.ask(desk.batches.get, id=job_id).status == 404
        assert desk.ask(desk.batches.get, id="nothing").status == 404
