"""The client against a server on a real socket."""

import base64

import pytest

from coldforge import (
    AccessError,
    Client,
    ColdforgeError,
    ConflictError,
    DownloadError,
    JobCancelledError,
    JobFailedError,
    NotFoundError,
    RefusedError,
    ServerFailureError,
    SettingError,
    UnreachableError,
    WaitTimeoutError,
)
from tests.fakes.job_api import (
    CANCELLED,
    FAILS,
    MODEL,
    RUNS,
    SUCCEEDS,
    WAITS,
    FakeJobApi,
    serving,
)


class TestSubmit:
    def test_sends_a_file(self, api, client, photo):
        job = client.submit(photo, options={"seed": 1}, metadata={"a": "b"}, priority="high")

        asked = api.jobs[job.id].asked
        assert (asked["image"], asked["file_name"]) == (b"\xff\xd8photo", "chair.jpg")
        assert (asked["options"], asked["metadata"]) == ('{"seed": 1}', '{"a": "b"}')
        assert asked["priority"] == "high"
        assert job.status_url == f"{api.url}/api/jobs/{job.id}"

    def test_sends_bytes_and_a_url(self, api, client):
        first, second = client.submit(b"bytes"), client.submit("https://h/a.png", start_within_s=9)

        assert api.jobs[first.id].asked["image"] == b"bytes"
        expected = {"image_url": "https://h/a.png", "start_within_s": 9}
        assert api.jobs[second.id].asked == expected

    def test_sends_its_key(self, api, client, photo):
        client.submit(photo)

        headers = api.requests[0][2]
        assert headers["X-Functions-Key"] == "k"
        assert "Authorization" not in headers

    def test_makes_one_job_when_the_answer_is_lost(self, api, client, photo):
        api.drops_after_post = 2

        job = client.submit(photo)

        assert api.methods() == ["POST"] * 3
        assert list(api.jobs) == [job.id]

    def test_finds_a_job_again_by_its_key(self, api, client, photo):
        first = client.submit(photo, idempotency_key="mine")

        assert client.submit(photo, idempotency_key="mine").id == first.id

    def test_tries_again_while_the_server_restarts(self, api, client, photo):
        api.outages = 3

        assert client.submit(photo).id == "job1"

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, RefusedError),
            (401, AccessError),
            (403, AccessError),
            (404, NotFoundError),
            (413, RefusedError),
            (415, RefusedError),
            (422, RefusedError),
        ],
    )
    def test_says_at_once_what_is_refused(self, api, client, photo, status, kind):
        api.problem = (status, "image_odd", "Send another one.", None)

        with pytest.raises(kind, match=r"Send another one\.") as caught:
            client.submit(photo)

        error = caught.value
        assert (error.code, error.status, error.retryable) == ("image_odd", status, False)
        assert api.methods() == ["POST"]

    def test_respects_when_a_full_server_wants_to_be_asked(self, api, client, photo, fake_time):
        api.problem = (429, "too_many_open_jobs", "Come back later.", "12")

        with pytest.raises(ServerFailureError) as caught:
            client.submit(photo)

        assert caught.value.code == "too_many_open_jobs"
        assert fake_time.slept == [12, 12]

    def test_does_not_send_a_film(self, api, client, tmp_path):
        film = tmp_path / "film.mp4"
        with film.open("wb") as file:
            file.truncate(80_000_000)

        with pytest.raises(RefusedError) as caught:
            client.submit(film)

        assert caught.value.code == "image_too_large"
        assert api.requests == []

    def test_gives_up_on_a_server_that_is_not_there(self, photo, fake_time):
        with serving(FakeJobApi()) as gone:
            pass

        away = []
        with (
            Client(
                gone.url, on_outage=away.append, sleep=fake_time.sleep, clock=fake_time.clock
            ) as client,
            pytest.raises(UnreachableError) as caught,
        ):
            client.submit(photo)

        assert caught.value.retryable
        assert 15 < fake_time.now_s <= 30
        assert away == sorted(away)
        assert len(away) >= 4

    def test_refuses_what_is_no_address(self):
        with pytest.raises(ValueError, match="http"):
            Client("localhost:7071")


class TestWait:
    def test_returns_how_it_ended(self, api, client, photo):
        seen = []

        status = client.wait(client.submit(photo).id, on_update=seen.append)

        assert [update.state for update in seen] == ["queued", "running", "succeeded"]
        assert (seen[0].queue_position, seen[0].vm["phase"]) == (2, "starting")
        assert (seen[1].stage, seen[1].percent) == ("shape", 40)
        assert status.artifacts["model.glb"].size_bytes == len(MODEL)
        assert status.cost_usd == 0.0312
        status.raise_unless_succeeded()

    def test_asks_when_the_server_wants_to_be_asked(self, api, client, photo, fake_time):
        api.retry_after_s = "3"

        client.wait(client.submit(photo).id)

        assert fake_time.slept == [3, 3]

    def test_turns_a_sad_end_into_an_error_when_asked(self, api, client, photo):
        api.script = [FAILS]
        failed = client.wait(client.submit(photo).id)
        api.script = [CANCELLED]
        cancelled = client.wait(client.submit(photo).id)

        with pytest.raises(JobFailedError) as caught:
            failed.raise_unless_succeeded()
        assert (caught.value.code, caught.value.stage) == ("no_subject", "background")
        with pytest.raises(JobCancelledError):
            cancelled.raise_unless_succeeded()

    def test_bears_an_outage_and_tells_of_it(self, api, client, photo, fake_time):
        away = []
        job = client.submit(photo)
        api.outages = 20

        status = client.wait(job.id, on_outage=away.append)

        assert status.state == "succeeded"
        assert len(away) == 20
        assert fake_time.now_s > 100

    def test_bears_a_server_that_is_stopped_and_started(self, photo, tmp_path):
        api = FakeJobApi(script=[RUNS, RUNS, SUCCEEDS])
        with serving(api), Client(api.url, sleep=lambda _seconds: None) as client:
            job = client.submit(photo)
        restarted = None

        def start_again(_away_s: float) -> None:
            nonlocal restarted
            if restarted is None:
                restarted = serving(api)
                restarted.__enter__()

        try:
            with Client(api.url, sleep=lambda _seconds: None) as client:
                status = client.wait(job.id, on_outage=start_again)
        finally:
            if restarted is not None:
                restarted.__exit__(None, None, None)

        assert restarted is not None
        assert status.state == "succeeded"

    def test_ends_at_its_time_and_not_later(self, api, client, photo, fake_time):
        api.script = [WAITS]

        with pytest.raises(WaitTimeoutError):
            client.wait(client.submit(photo).id, timeout_s=30)

        assert fake_time.now_s == pytest.approx(30)

    def test_ends_at_its_time_during_an_outage(self, api, client, photo, fake_time):
        job = client.submit(photo)
        api.outages = 1_000

        with pytest.raises(WaitTimeoutError):
            client.wait(job.id, timeout_s=40)

        assert fake_time.now_s <= 40

    def test_does_not_wait_for_a_job_that_is_not_there(self, client):
        with pytest.raises(NotFoundError):
            client.wait("job9")


class TestCancel:
    def test_ends_a_job_and_may_be_repeated(self, api, client, photo):
        api.script = [WAITS]
        job = client.submit(photo)

        client.cancel(job.id)
        client.cancel(job.id)

        assert client.status(job.id).state == "cancelled"

    def test_says_when_it_is_too_late(self, api, client, photo):
        api.script = [SUCCEEDS]

        with pytest.raises(ConflictError):
            client.cancel(client.submit(photo).id)

    def test_quotes_an_id(self, client):
        with pytest.raises(NotFoundError):
            client.cancel("../pool")


class TestDownload:
    @pytest.fixture(name="job")
    def _job(self, api, client, photo):
        """A job that has succeeded."""
        api.script = [SUCCEEDS]
        return client.submit(photo)

    def test_saves_the_file(self, client, job, tmp_path):
        artifact = client.download(job.id, "model.glb", tmp_path / "m.glb")

        assert (tmp_path / "m.glb").read_bytes() == MODEL
        assert artifact.name == "model.glb"

    def test_tries_again_when_it_is_cut_short(self, api, client, job, tmp_path):
        api.corrupt_downloads = 2

        client.download(job.id, "model.glb", tmp_path / "m.glb")

        assert (tmp_path / "m.glb").read_bytes() == MODEL

    def test_leaves_an_older_file_alone_when_it_fails(self, api, client, job, tmp_path):
        path = tmp_path / "m.glb"
        path.write_bytes(b"older")
        api.corrupt_downloads = 9

        with pytest.raises(DownloadError):
            client.download(job.id, "model.glb", path)

        assert path.read_bytes() == b"older"
        assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []

    def test_replaces_a_file_unless_it_is_told_not_to(self, client, job, tmp_path):
        path = tmp_path / "m.glb"
        path.write_bytes(b"older")

        with pytest.raises(FileExistsError):
            client.download(job.id, "model.glb", path, replaces=False)
        assert path.read_bytes() == b"older"
        assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []

        client.download(job.id, "model.glb", path)
        assert path.read_bytes() == MODEL

    def test_names_what_there_is(self, client, job, tmp_path):
        with pytest.raises(NotFoundError, match=r"model\.glb, preview\.png"):
            client.download(job.id, "model.obj", tmp_path / "m.obj")

    def test_follows_a_link_to_storage_without_its_keys(self, api, client, job, tmp_path):
        with serving(FakeJobApi()) as storage:
            api.file_host = storage.url

            client.download(job.id, "model.glb", tmp_path / "m.glb")

            (request,) = storage.requests
        assert request[1] == "/files/model.glb?sig=secret"
        assert "X-Functions-Key" not in request[2]
        assert (tmp_path / "m.glb").read_bytes() == MODEL


class TestLists:
    def test_goes_over_all_pages(self, api, client):
        for _ in range(5):
            client.submit(b"x")

        assert [job.id for job in client.jobs()] == ["job5", "job4", "job3", "job2", "job1"]
        assert [job.id for job in client.jobs(limit=3)] == ["job5", "job4", "job3"]
        assert list(client.jobs(state="cancelled")) == []

    def test_shows_the_pool(self, client):
        assert client.pool()["vms"][0]["name"] == "gpu-0"

    def test_knows_a_server_that_is_something_else(self, api):
        with Client(f"{api.url}/elsewhere") as client, pytest.raises(NotFoundError):
            client.pool()


class TestBatch:
    def test_sends_files_in_one_call(self, api, client, photo):
        batch = client.submit_batch([photo, b"two"])

        assert [job.asked["image"] for job in api.jobs.values()] == [b"\xff\xd8photo", b"two"]
        done = client.wait_batch(batch.id)
        assert done.is_over
        assert [item["state"] for item in done.items] == ["succeeded"] * 2

    def test_sends_urls_and_files_together(self, api, client):
        client.submit_batch(["https://h/a.png", b"two"], options={"seed": 1})

        sent = [job.asked["image"] for job in api.jobs.values()]
        assert sent == [
            {"image_url": "https://h/a.png"},
            {"image_base64": base64.b64encode(b"two").decode()},
        ]


class TestIdempotencyKey:
    @pytest.mark.parametrize("key", ["a\nb", "ключ", " a", "a" * 201, "a\0b", "\udcff"])
    def test_is_refused_where_no_header_can_carry_it(self, api, client, key):
        with pytest.raises(RefusedError, match="idempotency key"):
            client.submit(b"x", idempotency_key=key)

        assert api.requests == []

    def test_may_hold_blanks(self, api, client):
        client.submit(b"x", idempotency_key="order 17/3")

        assert list(api.keys) == ["order 17/3"]


class TestProxies:
    def test_are_passed_by_on_the_way_to_this_machine(self, api, fake_time, monkeypatch):
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
            monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")

        with Client(api.url, sleep=fake_time.sleep, clock=fake_time.clock) as client:
            assert client.pool()["vms"]


class TestSettings:
    @pytest.mark.parametrize(
        ("url", "options"),
        [("localhost", {}), ("http://h", {"key": "a b"}), ("http://h", {"key": "a\nb"})],
    )
    def test_are_refused_before_anything_is_sent(self, url, options):
        """Also as the ValueError that it always was."""
        with pytest.raises(SettingError), Client(url, **options):
            pass
        assert issubclass(SettingError, ValueError)


def test_every_error_can_be_caught_as_one(api, client, photo):
    """A program that wants to know nothing more catches the base."""
    api.problem = (422, "image_odd", "Send another one.", None)

    with pytest.raises(ColdforgeError):
        client.submit(photo)
