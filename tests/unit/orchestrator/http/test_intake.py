"""What a POST meets before its image is read, and which threads its calls run in."""

import pytest

from orchestrator import lanes
from orchestrator.intake import body
from orchestrator.intake.admission import Admission, AdmissionLimits
from orchestrator.intake.image_rules import ImageLimits
from tests.unit.orchestrator.http.desk import PNG, Desk
from tests.unit.orchestrator.parts import MANIFEST, run

OF_CALLERS = ("FakeJobTable.", "FakeKeyTable.", "FakeFileStore.")


@pytest.fixture(name="ran")
def _ran(monkeypatch):
    """Count what the reserve runs in this test alone."""
    monkeypatch.setattr(lanes.RESERVE, "ran", type(lanes.RESERVE.ran)())
    return lanes.RESERVE.ran


class TestPost:
    def test_never_uses_the_reserve_for_what_a_caller_sent(self, ran):
        desk = Desk()

        desk.post_form(PNG, key="once")
        desk.post_form(PNG, key="once")
        desk.post_json({"image_url": "https://images.invalid/cup.jpg"})
        desk.post_form(b"")
        job_id = desk.post_batch(PNG, PNG).body["items"][0]["job_id"]
        desk.get(job_id)

        assert not [name for name in ran if name.startswith(OF_CALLERS)]

    def test_is_told_to_come_back_while_too_much_waits(self):
        desk = Desk(admission=Admission(AdmissionLimits(requests=0)))

        heard = desk.post_form(PNG)

        assert (heard.status, heard.body["code"]) == (503, "intake_busy")
        assert heard.body["retryable"] is True
        assert int(heard.headers["retry-after"]) >= 1
        assert desk.parts.files.files == {}

    @pytest.mark.parametrize("post", ["post_form", "post_batch", "post_json"])
    def test_is_told_of_a_body_that_is_too_large_whatever_waits(self, post, monkeypatch):
        monkeypatch.setattr(body, "MAX_BATCH_BYTES", 1000)
        desk = Desk(admission=Admission(AdmissionLimits(requests=0)))
        desk.reader.limits = ImageLimits(max_bytes=1000)
        sent = bytes(300_000) if post != "post_json" else {"image_base64": "A" * 300_000}

        heard = getattr(desk, post)(sent)

        assert (heard.status, heard.body["code"]) == (413, "image_too_large")

    def test_gives_its_place_back(self):
        desk = Desk(admission=Admission(AdmissionLimits(requests=1)))

        answers = [desk.post_form(PNG), desk.post_form(b""), desk.post_batch(PNG, b"", PNG)]

        assert [answer.status for answer in answers] == [202, 400, 202]

    def test_fetches_no_url_of_a_batch(self):
        desk = Desk()

        heard = desk.post_urls(*["https://images.invalid/cup.jpg"] * 100)

        assert (heard.status, len(heard.body["items"])) == (202, 100)
        assert desk.fetcher.fetched == []


class TestNotes:
    def test_on_the_image_stand_before_those_on_the_model(self):
        desk = Desk()
        desk.reader.notes = ["The colour profile was left aside."]
        job_id = desk.post_form(PNG).body["id"]
        made = {**MANIFEST, "result": {"notes": ["The mesh is coarse."]}}
        order = {"job_id": job_id, "fence": 1, "vm": "gpu-1", "state": "succeeded"}

        output = run(
            desk.parts.job_activities.finish_job({**order, "manifest": made}, desk.parts.durable)
        )

        notes = ["The colour profile was left aside.", "The mesh is coarse."]
        assert output["figures"]["notes"] == notes
        assert desk.get(job_id).body["figures"]["notes"] == notes


class TestHealth:
    def test_says_that_no_image_can_be_read(self):
        desk = Desk()
        desk.reader.is_failing = True

        heard = desk.ask(desk.pool.health, "health")

        assert (heard.status, heard.body["code"]) == (503, "intake_failing")

    def test_tries_by_itself_whether_images_can_be_read_again(self):
        desk = Desk()
        desk.reader.is_failing = desk.reader.is_mended = True

        assert desk.ask(desk.pool.health, "health").status == 200
