"""Many images, one call: every image is judged by itself."""

import pytest

from orchestrator.domain.pool import Enqueue
from tests.unit.orchestrator.triggers.desk import ORIGIN, PNG, Desk

BAD = b""


class TestPost:
    def test_starts_one_workflow_for_all(self, desk: Desk):
        heard = desk.post_batch(PNG, PNG)

        batch_id = heard.body["id"]
        assert heard.status == 202
        assert heard.headers["location"] == f"{ORIGIN}/api/batches/{batch_id}"
        assert desk.parts.durable.started("run_batch") == [batch_id]
        items = desk.parts.durable.instances[batch_id].input_["items"]
        assert [item["job_id"] for item in items] == [f"{batch_id}-1", f"{batch_id}-2"]
        assert items[0]["order"]["id"] == f"{batch_id}-1"

    def test_an_image_that_is_refused_is_an_item_with_an_error(self, desk: Desk):
        heard = desk.post_batch(PNG, BAD, PNG)

        items = heard.body["items"]
        assert [item["number"] for item in items] == [1, 2, 3]
        assert items[1]["error"]["code"] == "image_empty"
        assert desk.parts.jobs.read(f"{heard.body['id']}-2") is None

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

        heard = desk.ask(desk.batches.get, id=batch_id)

        assert heard.body["state"] == "over"
        assert [item["state"] for item in heard.body["items"]] == ["cancelled", "failed"]
        assert (heard.body["cancelled"], heard.body["failed"]) == (1, 1)

    def test_runs_while_one_does(self, desk: Desk):
        batch_id = desk.post_batch(PNG, BAD).body["id"]

        heard = desk.ask(desk.batches.get, id=batch_id)

        assert heard.body["state"] == "running"
        assert heard.headers["retry-after"] == "2"

    def test_a_job_is_no_batch(self, desk: Desk):
        job_id = desk.post_form(PNG).body["id"]

        assert desk.ask(desk.batches.get, id=job_id).status == 404
        assert desk.ask(desk.batches.get, id="nothing").status == 404
