"""Posting, asking, listing, cancelling, downloading."""

import base64
import json
from dataclasses import replace

import pytest

from orchestrator.domain.job import JobState, input_path, request_path
from orchestrator.domain.pool import Enqueue
from tests.unit.orchestrator.http.desk import ORIGIN, PNG, Desk
from tests.unit.orchestrator.parts import JOB, MANIFEST

URL = "https://images.invalid/cup.jpg"
BASE64 = base64.b64encode(PNG).decode()
UNKNOWN_ID = JOB[:-1] + "z"


class TestPostBodies:
    @pytest.mark.parametrize(
        "body",
        [
            {"image_url": URL},
            {"image_base64": BASE64},
            {"image_base64": f"data:image/png;base64,{BASE64}"},
        ],
    )
    def test_takes_json_that_names_or_holds_an_image(self, desk: Desk, body: dict):
        heard = desk.post_json(body)

        assert heard.status == 202
        stored = desk.parts.files.files[input_path(heard.body["id"])]
        assert stored == b"normalised " + PNG

    def test_takes_a_form_with_a_file(self, desk: Desk):
        heard = desk.post_form(
            PNG,
            options='{"seed": 7}',
            metadata='{"sku": "x"}',
            priority="high",
            start_within_s="60",
        )

        row = desk.row(heard.body["id"])
        assert heard.status == 202
        assert row.metadata == {"sku": "x"}
        assert row.order["options"] == {"seed": 7}
        assert (row.order["priority"], row.order["start_within_s"]) == (1, 60.0)

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"nothing", "body_unreadable"),
            (b"[]", "body_unreadable"),
            ({}, "image_missing"),
            ({"image_url": URL, "image_base64": BASE64}, "image_missing"),
            ({"image_url": 7}, "invalid_request"),
            ({"image_base64": "%%%"}, "image_base64_invalid"),
            ({"image_base64": ""}, "image_empty"),
            ({"image_url": "https://10.0.0.1/x"}, "image_url_forbidden"),
            ({"image_url": URL, "colour": "red"}, "invalid_request"),
            ({"image_url": URL, "options": {"seed": -1}}, "invalid_option"),
            ({"image_url": URL, "options": {"seed": True}}, "invalid_option"),
            ({"image_url": URL, "options": {"texture": "yes"}}, "invalid_option"),
            ({"image_url": URL, "options": {"speed": 3}}, "invalid_option"),
            ({"image_url": URL, "options": []}, "invalid_request"),
            ({"image_url": URL, "options": False}, "invalid_request"),
            ({"image_url": URL, "metadata": False}, "invalid_request"),
            ({"image_url": URL, "metadata": ""}, "invalid_request"),
            ({"image_url": URL, "options": {"guidance_scale": 10**299}}, "invalid_option"),
            ({"image_url": URL, "start_within_s": 10**299}, "invalid_request"),
            ({"image_url": URL, "start_within_s": 10**400}, "invalid_request"),
            ({"image_url": "https://images.invalid/\ud800"}, "invalid_request"),
            ({"image_url": URL, "metadata": {"a": {"\ud800": 1}}}, "invalid_request"),
            (b"", "body_empty"),
            ({"image_url": URL, "options": "fast"}, "invalid_request"),
            ({"image_url": URL, "metadata": "mine"}, "invalid_request"),
            ({"image_url": URL, "metadata": {"x": "y" * 4096}}, "invalid_request"),
            ({"image_url": URL, "priority": "urgent"}, "invalid_request"),
            ({"image_url": URL, "start_within_s": 0}, "invalid_request"),
            ({"image_url": URL, "start_within_s": True}, "invalid_request"),
            (b'{"image_url": "' + URL.encode() + b'", "start_within_s": NaN}', "body_unreadable"),
        ],
    )
    def test_refuses_what_is_wrong_and_stores_nothing(self, desk: Desk, body, code: str):
        heard = desk.post_json(body)

        assert (heard.status, heard.body["code"]) == (400, code)
        assert heard.media_type == "application/problem+json"
        assert heard.body["status"] == 400
        assert desk.parts.files.files == {}
        assert desk.parts.durable.instances == {}

    @pytest.mark.parametrize(
        ("files", "code"), [([], "image_missing"), ([PNG, PNG], "too_many_images")]
    )
    def test_refuses_a_form_without_exactly_one_file(self, desk: Desk, files: list, code: str):
        heard = desk.post_form(*files)

        assert (heard.status, heard.body["code"]) == (400, code)

    def test_refuses_a_form_field_that_holds_no_json(self, desk: Desk):
        heard = desk.post_form(PNG, options="fast")

        assert (heard.status, heard.body["code"]) == (400, "invalid_request")

    def test_refuses_a_body_larger_than_any_image_makes_it(self, desk: Desk):
        heard = desk.post_form(b"x" * (41 * 1024 * 1024))

        assert (heard.status, heard.body["code"]) == (413, "image_too_large")

    @pytest.mark.parametrize("depth", [32, 494, 700, 950, 2000])
    def test_refuses_metadata_nested_too_deep_and_stores_nothing(self, desk: Desk, depth: int):
        nested = '{"a":' * depth + "1" + "}" * depth

        heard = desk.post_json(f'{{"image_url": "{URL}", "metadata": {nested}}}'.encode())

        assert (heard.status, heard.body["code"]) == (400, "invalid_request")
        assert desk.parts.files.files == {}

    def test_takes_null_as_not_given_and_3_0_as_3(self, desk: Desk):
        options = {"seed": 3.0, "steps": None, "preset": None, "texture": None}
        fields = {"metadata": None, "priority": None, "start_within_s": None}

        heard = desk.post_json({"image_url": URL, "options": options, **fields}, key="k")
        again = desk.post_json({"image_url": URL, "options": {"seed": 3}}, key="k")

        assert desk.row(heard.body["id"]).order["options"] == {"seed": 3}
        assert again.body["id"] == heard.body["id"]

    def test_asks_for_a_length_when_a_chunked_body_did_not_arrive(self, desk: Desk):
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}

        for post in (desk.jobs.post, desk.batches.post):
            heard = desk.ask(post, method="POST", headers=headers)

            assert (heard.status, heard.body["code"]) == (411, "length_required")

    def test_says_that_the_body_was_empty(self, desk: Desk):
        for content_type in ("application/json", "multipart/form-data; boundary=x", ""):
            headers = {"Content-Type": content_type}
            heard = desk.ask(desk.jobs.post, method="POST", headers=headers)

            assert (heard.status, heard.body["code"]) == (400, "body_empty")

    def test_refuses_a_key_that_is_not_utf_8(self, desk: Desk):
        heard = desk.post_json({"image_url": URL}, key="k\udcff")

        assert heard.status == 400
        assert desk.parts.files.files == {}

    def test_refuses_a_malformed_host_and_stores_nothing(self, desk: Desk):
        body = json.dumps({"image_url": URL}).encode()

        heard = desk.ask(desk.jobs.post, method="POST", body=body, origin="https://[x")

        assert heard.status == 400
        assert desk.parts.files.files == {}


class TestPostOddities:
    def test_refuses_a_priority_that_is_no_text(self, desk: Desk):
        assert desk.post_json({"image_url": URL, "priority": []}).status == 400

    def test_gives_no_status_that_is_no_json(self, desk: Desk):
        body = b'{"image_url": "' + URL.encode() + b'", "metadata": {"a": NaN}}'

        heard = desk.post_json(body)

        assert heard.status == 400 or b"NaN" not in desk.get(heard.body["id"]).data

    def test_refuses_a_form_field_nested_without_end(self, desk: Desk):
        assert desk.post_form(PNG, metadata="[" * 60_000).status == 400

    def test_a_key_of_a_job_is_none_of_a_batch(self, desk: Desk):
        desk.post_form(PNG, key="k")

        assert desk.post_batch(PNG, key="k").status == 422


class TestPostAnswer:
    def test_is_durables_202_fenced_to_this_job(self, desk: Desk):
        heard = desk.post_json({"image_url": URL})

        job_id = heard.body["id"]
        base = f"{ORIGIN}/api/jobs/{job_id}/instance"
        assert heard.headers["location"] == heard.body["statusQueryGetUri"] == base
        assert heard.headers["retry-after"] == "2"
        assert heard.body["status_url"] == f"{ORIGIN}/api/jobs/{job_id}"
        assert heard.body["terminatePostUri"] == f"{base}/terminate?reason={{text}}"
        assert "code=" not in heard.data.decode()

    def test_starts_the_workflow_with_plain_values_and_no_url(self, desk: Desk):
        desk.fetcher.images[URL + "?token=secret"] = PNG
        heard = desk.post_json({"image_url": URL + "?token=secret", "priority": "low"})

        instance = desk.parts.durable.instances[heard.body["id"]]
        assert instance.name == "run_job"
        assert instance.input_ == {
            "id": heard.body["id"],
            "options": {},
            "priority": -1,
            "job_timeout_s": 600.0,
            "unreachable_s": 60.0,
            "start_within_s": 3600.0,
        }

    def test_refuses_new_jobs_while_too_many_are_open(self):
        desk = Desk(max_open_jobs=0)

        heard = desk.post_json({"image_url": URL})

        assert (heard.status, heard.body["code"]) == (429, "too_many_open_jobs")
        assert heard.headers["retry-after"] == "270"
        assert heard.body["retryable"] is True

    def test_tells_when_to_come_back_by_what_jobs_have_taken_here(self):
        desk = Desk(max_open_jobs=1)
        desk.parts.apply(Enqueue(job_id=JOB, fence=1))
        state, version = desk.parts.store.read()
        state.learned = {"job_s": [30.0], "wake_s": [100.0]}
        desk.parts.store.write(state, version)

        heard = desk.post_json({"image_url": URL})

        # One VM with two places is on its way up, and one job has to be over before.
        assert (heard.status, heard.headers["retry-after"]) == (429, str(100 + 30 // 2))

    def test_tells_nothing_of_what_was_not_anticipated(self, desk: Desk):
        desk.parts.durable.errors["start_new"] = [Exception("password=hunter2")]

        heard = desk.post_json({"image_url": URL})

        assert (heard.status, heard.body["code"]) == (500, "internal")
        assert b"hunter2" not in heard.data


class TestIdempotencyKey:
    def test_the_same_key_and_body_find_the_first_job(self, desk: Desk):
        first = desk.post_json({"image_url": URL}, key="k")
        again = desk.post_json({"image_url": URL}, key="k")

        assert first.body["id"] == again.body["id"]
        assert again.status == 202
        assert len(desk.parts.durable.started("run_job")) == 1

    def test_a_job_that_was_accepted_is_found_while_new_ones_are_refused(self):
        desk = Desk(max_open_jobs=1)
        first = desk.post_json({"image_url": URL}, key="k")
        desk.parts.apply(Enqueue(job_id=first.body["id"], fence=1))

        again = desk.post_json({"image_url": URL}, key="k")
        other = desk.post_json({"image_url": URL}, key="k2")

        assert (again.status, again.body["id"]) == (202, first.body["id"])
        assert other.status == 429

    def test_a_form_is_the_same_however_it_is_bounded(self, desk: Desk):
        as_json = desk.post_json({"image_base64": BASE64}, key="k")
        as_form = desk.post_form(PNG, key="k")

        assert as_json.body["id"] == as_form.body["id"]

    @pytest.mark.parametrize(
        "other", [{"image_base64": ""}, {"options": {"seed": 2}}, {"metadata": {"a": 1}}]
    )
    def test_the_same_key_with_another_body_is_refused(self, desk: Desk, other: dict):
        desk.post_json({"image_url": URL}, key="k")
        body = {"image_url": URL, **other}
        if "image_base64" in other:
            body = {"image_base64": base64.b64encode(b"another").decode()}

        heard = desk.post_json(body, key="k")

        assert (heard.status, heard.body["code"]) == (422, "idempotency_key_reused")
        assert len(desk.parts.durable.started("run_job")) == 1

    def test_without_a_key_every_post_is_a_job(self, desk: Desk):
        first, second = desk.post_json({"image_url": URL}), desk.post_json({"image_url": URL})

        assert first.body["id"] != second.body["id"]

    @pytest.mark.parametrize("key", ["", "k" * 201])
    def test_refuses_a_key_that_is_none(self, desk: Desk, key: str):
        heard = desk.post_json({"image_url": URL}, key=key)

        assert heard.status == 400

    def test_a_request_cut_off_before_its_row_goes_on(self, desk: Desk):
        real_insert = desk.parts.jobs.insert
        desk.parts.jobs.insert = cut_off
        cut = desk.post_json({"image_url": URL}, key="k")
        desk.parts.jobs.insert = real_insert

        again = desk.post_json({"image_url": URL}, key="k")

        assert cut.status == 500
        assert again.status == 202
        assert desk.row(again.body["id"]).state is JobState.QUEUED

    def test_a_request_cut_off_before_its_workflow_goes_on(self, desk: Desk):
        desk.parts.durable.errors["start_new"] = [Exception("cut off")]
        cut = desk.post_json({"image_url": URL}, key="k")

        again = desk.post_json({"image_url": URL}, key="k")

        assert cut.status == 500
        assert desk.parts.durable.started("run_job") == [again.body["id"]]

    def test_a_job_that_is_over_is_not_started_again(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}, key="k").body["id"]
        desk.parts.jobs.change(job_id, lambda row: replace(row, state=JobState.SUCCEEDED))
        desk.parts.durable.instances.clear()

        heard = desk.post_json({"image_url": URL}, key="k")

        assert heard.body["state"] == "succeeded"
        assert desk.parts.durable.instances == {}


def cut_off(*_: object) -> bool:
    raise OSError("cut off")


class TestGet:
    def test_shows_a_queued_job_with_its_place(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL, "metadata": {"sku": 1}}).body["id"]
        desk.parts.apply(Enqueue(job_id=job_id, fence=1))

        heard = desk.get(job_id)

        assert heard.status == 200
        assert heard.headers["retry-after"] == "2"
        assert heard.headers["cache-control"] == "no-store"
        assert heard.body["state"] == "queued"
        assert heard.body["queue_position"] == 1
        assert heard.body["waiting_for"] == "vm"
        assert heard.body["vm"]["phase"] == "starting"
        assert heard.body["metadata"] == {"sku": 1}

    def test_counts_down_what_the_agent_expects_of_a_running_job(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}).body["id"]
        running = {"state": JobState.RUNNING, "expected_end_at": desk.parts.now + 40}
        desk.parts.jobs.change(job_id, lambda row: replace(row, **running))
        seen = []
        for pause_s in (0, 30, 30):
            desk.parts.now += pause_s
            seen.append(desk.get(job_id).body["estimated_seconds_left"])

        assert seen == [40, 10, 0]

    def test_tells_of_a_model_what_is_less_than_was_asked_for(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}).body["id"]
        told = {**MANIFEST, "result": {"octree_resolution": 252, "notes": ["Less detail."]}}
        desk.parts.jobs.change(
            job_id, lambda row: replace(row, state=JobState.SUCCEEDED, result=told)
        )

        assert desk.get(job_id).body["figures"] == {"faces": 12, "notes": ["Less detail."]}

    @pytest.mark.parametrize("job_id", [UNKNOWN_ID, "no-id", "", JOB + "-x", "../" + JOB])
    def test_knows_no_other(self, desk: Desk, job_id: str):
        heard = desk.get(job_id)

        assert (heard.status, heard.body["code"]) == (404, "not_found")

    @pytest.mark.parametrize(
        ("runtime_status", "state"),
        [("Terminated", "cancelled"), ("Failed", "failed")],
    )
    def test_writes_down_an_end_that_the_workflow_could_not(
        self, desk: Desk, runtime_status: str, state: str
    ):
        job_id = desk.post_json({"image_url": URL}).body["id"]
        desk.parts.durable.instances[job_id].runtime_status = runtime_status

        heard = desk.get(job_id)

        assert heard.body["state"] == state
        assert desk.row(job_id).state.value == state
        assert "retry-after" not in heard.headers

    def test_tells_that_somebody_holds_the_jobs_workflow(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}).body["id"]
        before = desk.get(job_id).body["suspended"]
        desk.parts.durable.instances[job_id].runtime_status = "Suspended"

        heard = desk.get(job_id).body

        assert (before, heard["suspended"], heard["state"]) == (False, True, "queued")

    def test_does_not_ask_the_pool_about_a_job_that_is_over(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}).body["id"]
        desk.parts.jobs.change(
            job_id, lambda row: replace(row, state=JobState.SUCCEEDED, result=MANIFEST)
        )

        heard = desk.get(job_id)

        assert heard.body["percent"] == 100
        assert heard.body["artifacts"][0]["url"] == f"/api/jobs/{job_id}/artifacts/model.glb"
        assert heard.body["vm"] is None


class TestList:
    def test_gives_newest_first_by_pages(self, desk: Desk):
        ids = []
        for _ in range(5):
            ids.append(desk.post_json({"image_url": URL}).body["id"])
            desk.parts.now += 1

        first = desk.ask(desk.jobs.list, "jobs", params={"limit": "3"}).body
        second = desk.ask(
            desk.jobs.list, "jobs", params={"limit": "3", "page": first["next_page"]}
        ).body

        listed = [job["id"] for job in [*first["jobs"], *second["jobs"]]]
        assert listed == ids[::-1]
        assert second["next_page"] is None

    def test_filters_by_state(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}).body["id"]
        desk.post_json({"image_url": URL})
        desk.ask(desk.jobs.delete, method="DELETE", id=job_id)

        heard = desk.ask(desk.jobs.list, "jobs", params={"state": "cancelled"}).body

        assert [job["id"] for job in heard["jobs"]] == [job_id]

    @pytest.mark.parametrize(
        "params",
        [
            *({"limit": limit} for limit in ("0", "101", "x", "9" * 400, "9" * 5000, "\u0661")),
            {"state": "x"},
            *({"page": page} for page in ("x", "a" * 7000)),
        ],
    )
    def test_refuses_what_makes_no_sense(self, desk: Desk, params: dict):
        assert desk.ask(desk.jobs.list, "jobs", params=params).status == 400


class TestDelete:
    def test_ends_workflow_ticket_and_row(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}).body["id"]
        desk.parts.apply(Enqueue(job_id=job_id, fence=1))

        heard = desk.ask(desk.jobs.delete, method="DELETE", id=job_id)

        assert (heard.status, heard.body["state"]) == (202, "cancelled")
        assert desk.parts.durable.instances[job_id].runtime_status == "Terminated"
        assert desk.parts.state.queue == []
        assert desk.row(job_id).ended_at == desk.parts.now

    def test_a_job_that_is_over_cannot_be_cancelled(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}).body["id"]
        desk.ask(desk.jobs.delete, method="DELETE", id=job_id)

        heard = desk.ask(desk.jobs.delete, method="DELETE", id=job_id)

        assert (heard.status, heard.body["code"]) == (409, "job_over")

    def test_cancels_a_job_whose_workflow_was_never_started(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}).body["id"]
        desk.parts.durable.instances.clear()

        heard = desk.ask(desk.jobs.delete, method="DELETE", id=job_id)

        assert (heard.status, heard.body["state"]) == (202, "cancelled")

    def test_knows_no_other(self, desk: Desk):
        assert desk.ask(desk.jobs.delete, method="DELETE", id=UNKNOWN_ID).status == 404


class TestArtifact:
    @pytest.fixture
    def job_id(self, desk: Desk) -> str:
        job_id = desk.post_json({"image_url": URL}).body["id"]
        self.succeed(desk, job_id)
        return job_id

    def succeed(self, desk: Desk, job_id: str) -> None:
        desk.parts.jobs.change(
            job_id, lambda row: replace(row, state=JobState.SUCCEEDED, result=MANIFEST)
        )
        desk.parts.files.files[MANIFEST["artifacts"][0]["path"]] = b"glb"

    def test_gives_a_short_lived_link(self, desk: Desk, job_id: str):
        heard = desk.ask(desk.jobs.artifact, id=job_id, name="model.glb")

        assert heard.status == 302
        assert heard.headers["location"].startswith(
            f"https://files.invalid/jobs/{JOB}/1/model.glb"
        )
        assert "valid_s=600" in heard.headers["location"]

    def test_sends_the_bytes_where_storage_is_private(self):
        desk = Desk(sends_links=False)
        job_id = desk.post_json({"image_url": URL}).body["id"]
        self.succeed(desk, job_id)

        heard = desk.ask(desk.jobs.artifact, id=job_id, name="model.glb")

        assert (heard.status, heard.data, heard.media_type) == (200, b"glb", "model/gltf-binary")
        assert heard.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("sends_links", [True, False])
    @pytest.mark.parametrize("name", ["model.glb", "manifest.json"])
    def test_says_that_an_artifact_has_expired(self, sends_links: bool, name: str):
        desk = Desk(sends_links=sends_links)
        job_id = desk.post_json({"image_url": URL}).body["id"]
        self.succeed(desk, job_id)
        desk.parts.files.files.clear()

        heard = desk.ask(desk.jobs.artifact, id=job_id, name=name)

        assert (heard.status, heard.body["code"]) == (410, "artifact_expired")

    @pytest.mark.parametrize("name", ["input.png", "request.json", "../request.json", ""])
    def test_gives_nothing_that_is_no_artifact(self, desk: Desk, job_id: str, name: str):
        assert desk.ask(desk.jobs.artifact, id=job_id, name=name).status == 404

    def test_gives_nothing_of_a_job_that_is_not_done(self, desk: Desk):
        job_id = desk.post_json({"image_url": URL}).body["id"]

        heard = desk.ask(desk.jobs.artifact, id=job_id, name="model.glb")

        assert heard.status == 404
        assert "queued" in heard.body["detail"]


class TestRequestFile:
    def test_remembers_what_was_asked_and_no_image(self, desk: Desk):
        job_id = desk.post_json({"image_base64": BASE64, "metadata": {"a": 1}}).body["id"]

        asked = json.loads(desk.parts.files.files[request_path(job_id)])

        assert asked["metadata"] == {"a": 1}
        assert BASE64 not in json.dumps(asked)
