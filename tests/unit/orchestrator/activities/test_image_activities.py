"""Reading an image of a batch: twice, too late, refused, without room."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from orchestrator.activities import images
from orchestrator.domain.job import JobRow, JobState, input_path, request_path
from orchestrator.intake.admission import Admission, AdmissionLimits
from tests.unit.orchestrator.http.desk import PNG, Desk
from tests.unit.orchestrator.parts import MANIFEST

URL = "https://images.invalid/cup.jpg"
SECRET_URL = "https://images.invalid/mug.jpg?sig=secret"


def sources(desk: Desk) -> list[str]:
    """Name the images that are stored as they were sent."""
    return [path for path in desk.parts.files.files if "/source-" in path]


def change(desk: Desk, job_id: str, **values) -> JobRow:
    row = desk.parts.jobs.change(job_id, lambda row: replace(row, **values))
    assert row is not None
    return row


@pytest.fixture(name="desk")
def _desk() -> Desk:
    return Desk()


class TestPrepareImage:
    def test_fetches_a_url_and_gives_the_order_of_the_job(self, desk: Desk):
        batch_id = desk.post_urls(URL).body["id"]
        job_id = f"{batch_id}-1"

        answer = desk.prepare(batch_id, 1)

        assert answer == {"outcome": "stored", "order": desk.row(job_id).order}
        assert answer["order"]["id"] == job_id
        assert desk.parts.files.files[input_path(job_id)] == b"normalised " + PNG
        assert json.loads(desk.parts.files.files[request_path(job_id)])["batch_id"] == batch_id
        assert not desk.row(job_id).awaits_image

    def test_normalises_what_was_sent_and_removes_it(self, desk: Desk):
        batch_id = desk.post_batch(PNG).body["id"]
        (sent,) = sources(desk)

        answer = desk.prepare(batch_id, 1)

        assert sent.startswith(f"jobs/{batch_id}-1/")
        assert answer["outcome"] == "stored"
        assert sources(desk) == []

    def test_keeps_the_notes_on_the_image(self, desk: Desk):
        desk.reader.notes = ["The colour profile was left aside."]
        batch_id = desk.post_batch(PNG).body["id"]

        desk.prepare(batch_id, 1)

        assert desk.row(f"{batch_id}-1").notes == ["The colour profile was left aside."]

    def test_a_refused_image_is_a_failed_job_with_its_code(self, desk: Desk):
        batch_id = desk.post_batch(b"").body["id"]

        answer = desk.prepare(batch_id, 1)

        job = desk.get(f"{batch_id}-1").body
        assert answer == {"outcome": "refused", "error": job["error"]}
        assert job["state"] == "failed"
        assert (job["error"]["code"], job["error"]["stage"]) == ("image_empty", "intake")
        assert job["timings"]["ended_at"] == desk.parts.now
        assert sources(desk) == []

    def test_run_again_gives_the_same_answer_and_reads_nothing(self, desk: Desk):
        batch_id = desk.post_urls(URL, SECRET_URL).body["id"]
        first = [desk.prepare(batch_id, number) for number in (1, 2)]

        again = [desk.prepare(batch_id, number) for number in (1, 2)]

        assert again == first
        assert [answer["outcome"] for answer in again] == ["stored", "refused"]
        assert desk.fetcher.fetched == [URL, SECRET_URL]

    def test_a_second_run_does_not_fail_what_the_first_has_stored(self, desk: Desk):
        """A URL that gives its image once."""
        batch_id = desk.post_urls(URL).body["id"]

        def another_run_stores_it():
            del desk.fetcher.images[URL]
            change(desk, f"{batch_id}-1", awaits_image=False)

        desk.fetcher.meanwhile = another_run_stores_it

        assert desk.prepare(batch_id, 1)["outcome"] == "stored"
        assert desk.row(f"{batch_id}-1").state is JobState.QUEUED

    def test_removes_what_was_sent_if_a_run_was_cut_off_before_that(self, desk: Desk):
        batch_id = desk.post_batch(PNG).body["id"]
        (sent,) = sources(desk)
        desk.prepare(batch_id, 1)
        desk.parts.files.files[sent] = PNG

        desk.prepare(batch_id, 1)

        assert sources(desk) == []

    def test_leaves_a_cancelled_job_alone(self, desk: Desk):
        batch_id = desk.post_batch(PNG).body["id"]
        desk.ask(desk.jobs.delete, method="DELETE", id=f"{batch_id}-1")

        answer = desk.prepare(batch_id, 1)

        assert (answer["outcome"], answer["state"]) == ("over", "cancelled")
        assert input_path(f"{batch_id}-1") not in desk.parts.files.files
        assert sources(desk) == []

    def test_starts_no_job_that_was_cancelled_while_its_image_was_fetched(self, desk: Desk):
        batch_id = desk.post_urls(URL).body["id"]
        desk.fetcher.meanwhile = lambda: change(desk, f"{batch_id}-1", state=JobState.CANCELLED)

        answer = desk.prepare(batch_id, 1)

        assert (answer["outcome"], answer["state"]) == ("over", "cancelled")
        assert desk.row(f"{batch_id}-1").state is JobState.CANCELLED

    def test_tells_the_end_of_a_job_that_is_over(self, desk: Desk):
        batch_id = desk.post_batch(PNG, PNG).body["id"]
        for number in (1, 2):
            desk.prepare(batch_id, number)
        change(desk, f"{batch_id}-1", state=JobState.SUCCEEDED, result=MANIFEST)
        change(desk, f"{batch_id}-2", state=JobState.FAILED, error={"code": "vm_lost"})

        made, lost = desk.prepare(batch_id, 1), desk.prepare(batch_id, 2)

        assert (made["outcome"], made["state"]) == ("over", "succeeded")
        assert made["artifacts"][0]["url"] == f"/api/jobs/{batch_id}-1/artifacts/model.glb"
        assert (lost["outcome"], lost["state"], lost["error"]["code"]) == (
            *("over", "failed", "vm_lost"),
        )

    def test_starts_nothing_once_the_job_was_removed(self, desk: Desk):
        assert desk.prepare("01hf000000000000000000000b", 1)["outcome"] == "over"

    def test_an_image_that_storage_lost_is_refused(self, desk: Desk):
        batch_id = desk.post_batch(PNG).body["id"]
        desk.parts.files.delete(sources(desk)[0])

        answer = desk.prepare(batch_id, 1)

        assert answer["error"]["code"] == "image_lost"

    def test_an_image_of_an_older_version_is_stored_already(self, desk: Desk):
        batch_id = desk.post_batch(PNG).body["id"]
        row = change(desk, f"{batch_id}-1", awaits_image=False)
        old = {"id": batch_id, "rows": [row.to_json()], "refused": []}
        desk.parts.files.files[request_path(batch_id)] = json.dumps(old).encode()

        assert desk.prepare(batch_id, 1) == {"outcome": "stored", "order": row.order}

    def test_tells_nobody_the_url(self, desk: Desk):
        """Not the workflow, not the row: only the request has it."""
        batch_id = desk.post_urls(SECRET_URL).body["id"]

        answer = desk.prepare(batch_id, 1)

        started = desk.parts.durable.instances[batch_id].input_
        told = json.dumps([answer, started, desk.row(f"{batch_id}-1").to_json()])
        assert "mug.jpg" not in told
        assert "secret" not in told
        assert b"secret" in desk.parts.files.files[request_path(batch_id)]


class TestBusy:
    @pytest.fixture(name="full")
    def _full(self) -> Desk:
        """A desk whose intake has no room once a batch was posted."""
        desk = Desk()
        desk.batch_id = desk.post_batch(PNG).body["id"]
        desk.intake._admission = Admission(AdmissionLimits(requests=0))
        return desk

    def test_is_an_answer_and_no_end(self, full: Desk):
        assert full.prepare(full.batch_id, 1) == {"outcome": "busy"}
        assert full.row(f"{full.batch_id}-1").state is JobState.QUEUED
        assert len(sources(full)) == 1

    def test_for_too_long_is_a_refusal(self, full: Desk):
        answer = full.prepare(full.batch_id, 1, is_last=True)

        assert (answer["outcome"], answer["error"]["code"]) == ("refused", "intake_busy")
        assert answer["error"]["retryable"] is True
        assert full.row(f"{full.batch_id}-1").state is JobState.FAILED

    def test_is_every_image_beyond_a_share_of_the_activities(self, desk: Desk, monkeypatch):
        monkeypatch.setattr(images, "MAX_AT_ONCE", 1)
        batch_id = desk.post_urls(URL, URL).body["id"]
        answers = []

        def another_comes():
            desk.fetcher.meanwhile = lambda: None
            with ThreadPoolExecutor(1) as other:
                answers.append(other.submit(desk.prepare, batch_id, 2).result())

        desk.fetcher.meanwhile = another_comes

        assert desk.prepare(batch_id, 1)["outcome"] == "stored"
        assert answers == [{"outcome": "busy"}]
        assert desk.prepare(batch_id, 2)["outcome"] == "stored"
