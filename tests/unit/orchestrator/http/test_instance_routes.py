"""Durable's built-in status of one job, in Durable's own shape and with its status codes."""

from dataclasses import replace

import pytest

from orchestrator.domain.job import JobState
from tests.unit.orchestrator.http.desk import ORIGIN, Desk
from tests.unit.orchestrator.parts import JOB

URL = "https://images.invalid/cup.jpg"


@pytest.fixture
def job_id(desk: Desk) -> str:
    """A job whose workflow runs."""
    return str(desk.post_json({"image_url": URL}).body["id"])


@pytest.fixture
def over(desk: Desk, job_id: str) -> str:
    """A job that has succeeded."""
    instance = desk.parts.durable.instances[job_id]
    instance.runtime_status, instance.output = "Completed", {"id": job_id}
    desk.parts.jobs.change(job_id, lambda row: replace(row, state=JobState.SUCCEEDED))
    return job_id


class TestGet:
    @pytest.mark.parametrize("name", ["Running", "Pending", "Suspended", "ContinuedAsNew"])
    def test_is_202_with_location_while_it_lives(self, desk: Desk, job_id: str, name: str):
        desk.parts.durable.instances[job_id].runtime_status = name

        heard = desk.ask(desk.instance.get, id=job_id)

        assert heard.status == 202
        assert heard.headers["location"] == f"{ORIGIN}/api/jobs/{job_id}/instance"
        assert heard.headers["retry-after"] == "5"
        assert heard.body["runtimeStatus"] == name

    def test_is_200_with_the_output_when_it_is_over(self, desk: Desk, over: str):
        heard = desk.ask(desk.instance.get, id=over)

        assert heard.status == 200
        assert heard.body["output"] == {"id": over}
        assert set(heard.body) == {
            "name",
            "instanceId",
            "runtimeStatus",
            "input",
            "customStatus",
            "output",
            "createdTime",
            "lastUpdatedTime",
        }
        assert heard.body["createdTime"] == "2026-01-02T03:04:05Z"

    def test_a_failed_one_is_200_or_500_as_the_caller_asks(self, desk: Desk, job_id: str):
        desk.parts.durable.instances[job_id].runtime_status = "Failed"
        asks = {"returnInternalServerErrorOnFailure": "true"}

        assert desk.ask(desk.instance.get, id=job_id).status == 200
        assert desk.ask(desk.instance.get, id=job_id, params=asks).status == 500

    def test_hides_the_input_when_asked(self, desk: Desk, job_id: str):
        heard = desk.ask(desk.instance.get, id=job_id, params={"showinput": "false"})

        assert heard.body["input"] is None

    @pytest.mark.parametrize("other", ["pool-reconciler-1", "wake-gpu-1-1", JOB])
    def test_shows_no_instance_but_a_jobs(self, desk: Desk, job_id: str, other: str):
        assert desk.ask(desk.instance.get, id=other).status == 404

    def test_is_404_once_its_history_was_purged(self, desk: Desk, job_id: str):
        desk.parts.durable.instances.clear()

        assert desk.ask(desk.instance.get, id=job_id).status == 404


class TestTerminate:
    def test_cancels_the_job(self, desk: Desk, job_id: str):
        heard = desk.ask(desk.instance.terminate, method="POST", id=job_id)

        assert heard.status == 202
        assert desk.row(job_id).state is JobState.CANCELLED

    def test_is_410_when_it_is_over(self, desk: Desk, over: str):
        assert desk.ask(desk.instance.terminate, method="POST", id=over).status == 410


class TestRaiseEvent:
    def test_hands_the_event_on(self, desk: Desk, job_id: str):
        heard = desk.ask(
            desk.instance.raise_event, method="POST", id=job_id, event="hello", body=b'{"a": 1}'
        )

        assert heard.status == 202
        assert (job_id, "hello", {"a": 1}) in desk.parts.durable.events

    @pytest.mark.parametrize(
        "name",
        [
            "x?taskHub=Other&connection=Else",
            "a/b",
            "a b",
            ".",
            "..",
            ".a",
            "",
            "a" * 129,
            "\u00e9",
            "a\n",
            "\ud800",
            "a%3Fb",
        ],
    )
    def test_refuses_a_name_that_could_lead_elsewhere(self, desk: Desk, job_id: str, name: str):
        events = list(desk.parts.durable.events)

        heard = desk.ask(desk.instance.raise_event, method="POST", id=job_id, event=name)

        assert (heard.status, heard.body["code"]) == (400, "event_name_invalid")
        assert desk.parts.durable.events == events

    @pytest.mark.parametrize("name", ["look", "slot-1-2", "A.b_C-9", "a" * 128])
    def test_takes_a_name_of_plain_letters(self, desk: Desk, job_id: str, name: str):
        heard = desk.ask(desk.instance.raise_event, method="POST", id=job_id, event=name)

        assert heard.status == 202
        assert (job_id, name, None) in desk.parts.durable.events

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"[" * 33 + b"]" * 33, 400),
            (b'"\\ud800"', 400),
            (b"9" * 5000, 400),
            (b'"' + b"a" * 70_000 + b'"', 413),
        ],
    )
    def test_refuses_data_that_cannot_be_stored(
        self, desk: Desk, job_id: str, body: bytes, status: int
    ):
        heard = desk.ask(
            desk.instance.raise_event, method="POST", id=job_id, event="hello", body=body
        )

        assert heard.status == status

    def test_does_not_take_a_chunked_body_for_none(self, desk: Desk, job_id: str):
        heard = desk.ask(
            desk.instance.raise_event,
            method="POST",
            id=job_id,
            event="hello",
            headers={"Transfer-Encoding": "chunked"},
        )

        assert (heard.status, heard.body["code"]) == (411, "length_required")

    def test_is_404_or_410_as_the_instance_is(self, desk: Desk, job_id: str):
        """The row is behind: the workflow ended, or was purged, a moment ago."""
        desk.parts.durable.instances[job_id].runtime_status = "Completed"
        ended = desk.ask(desk.instance.raise_event, method="POST", id=job_id, event="hello")
        desk.parts.durable.instances.clear()
        gone = desk.ask(desk.instance.raise_event, method="POST", id=job_id, event="hello")

        assert (ended.status, ended.body["code"]) == (410, "instance_over")
        assert (gone.status, gone.body["code"]) == (404, "not_found")

    def test_is_400_for_what_is_no_json(self, desk: Desk, job_id: str):
        heard = desk.ask(
            desk.instance.raise_event, method="POST", id=job_id, event="hello", body=b"{"
        )

        assert heard.status == 400

    def test_is_410_when_it_is_over(self, desk: Desk, over: str):
        heard = desk.ask(desk.instance.raise_event, method="POST", id=over, event="hello")

        assert heard.status == 410


class TestSuspendAndResume:
    def test_holds_and_goes_on(self, desk: Desk, job_id: str):
        held = desk.ask(desk.instance.suspend, method="POST", id=job_id)
        status = desk.parts.durable.instances[job_id].runtime_status
        gone_on = desk.ask(desk.instance.resume, method="POST", id=job_id)

        assert (held.status, status, gone_on.status) == (202, "Suspended", 202)

    def test_is_410_when_it_is_over(self, desk: Desk, over: str):
        heard = desk.ask(desk.instance.suspend, method="POST", id=over)

        assert (heard.status, heard.body["code"]) == (410, "instance_over")

    def test_suspending_twice_is_409(self, desk: Desk, job_id: str):
        desk.ask(desk.instance.suspend, method="POST", id=job_id)
        heard = desk.ask(desk.instance.suspend, method="POST", id=job_id)

        assert (heard.status, heard.body["code"]) == (409, "instance_suspended")

    def test_resuming_one_that_runs_is_409(self, desk: Desk, job_id: str):
        heard = desk.ask(desk.instance.resume, method="POST", id=job_id)

        assert (heard.status, heard.body["code"]) == (409, "instance_not_suspended")

    @pytest.mark.parametrize("reason", ["r" * 257, "\ud800"])
    def test_refuses_a_reason_that_fits_no_url(self, desk: Desk, job_id: str, reason: str):
        params = {"reason": reason}

        heard = desk.ask(desk.instance.suspend, method="POST", id=job_id, params=params)

        assert heard.status == 400

    def test_takes_the_longest_reason(self, desk: Desk, job_id: str):
        params = {"reason": "\U0001f600" * 256}

        heard = desk.ask(desk.instance.suspend, method="POST", id=job_id, params=params)

        assert heard.status == 202


class TestPurge:
    def test_is_412_while_the_instance_outlives_its_row(self, desk: Desk, over: str):
        desk.parts.durable.instances[over].runtime_status = "Running"

        assert desk.ask(desk.instance.purge, method="DELETE", id=over).status == 412

    def test_is_412_while_it_lives(self, desk: Desk, job_id: str):
        assert desk.ask(desk.instance.purge, method="DELETE", id=job_id).status == 412

    def test_deletes_the_history_of_one_that_is_over(self, desk: Desk, over: str):
        first = desk.ask(desk.instance.purge, method="DELETE", id=over)
        second = desk.ask(desk.instance.purge, method="DELETE", id=over)

        assert (first.status, first.body) == (200, {"instancesDeleted": 1})
        assert second.status == 404
