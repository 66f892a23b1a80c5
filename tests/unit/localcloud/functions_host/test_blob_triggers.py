import json
import logging
from concurrent.futures import Executor, Future
from datetime import timedelta

import azure.functions as func
import pytest

from localcloud.functions_host import bindings
from localcloud.functions_host.alarm import Alarm
from localcloud.functions_host.blob_triggers import BlobTriggers
from localcloud.functions_host.errors import AppLoadError
from localcloud.functions_host.host_settings import HostSettings
from localcloud.functions_host.loader import index_app
from localcloud.functions_host.store import BlobState
from tests.fakes.blob_source import FakeBlobSource

POLL = timedelta(seconds=2)


class AtOnce(Executor):
    """Runs what it is given before it returns."""

    def submit(self, call, /, *args, **kwargs):
        call(*args, **kwargs)
        return Future()


class FakeWorker:
    """Keeps what it is asked to run until the test ends it."""

    def __init__(self, path="inbox/{name}"):
        app = func.FunctionApp()

        @app.blob_trigger(arg_name="blob", path=path, connection="Box")
        def take(blob: func.InputStream): ...

        self.app = index_app(app)
        self.runs = []

    def submit(self, function, values):
        future = Future()
        self.runs.append((values["blob"], future))
        return future

    def names(self):
        return [blob.name for blob, _ in self.runs]

    def end(self, number, *, error=None, value=None):
        future = self.runs[number][1]
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)


@pytest.fixture
def source():
    return FakeBlobSource()


@pytest.fixture
def worker():
    return FakeWorker()


@pytest.fixture
def begin(store, clock, source):
    """Starts a host's triggers over the same data file and account."""
    begun = []

    def begin(worker, *, limit=8, **environ):
        alarm = Alarm(clock)
        triggers = BlobTriggers(
            worker,
            store,
            alarm,
            clock,
            environ=environ,
            connect=lambda connection, environ: source,
            settings=HostSettings(max_concurrent_blobs=limit),
            poll_interval=POLL,
            executor=AtOnce(),
        )
        alarm.start()
        triggers.start()
        begun.extend((triggers, alarm))
        return triggers

    yield begin
    for one in begun:
        one.stop()


@pytest.fixture
def look(clock, until, monkeypatch):
    """Lets the next look at the container pass, and waits for its end."""

    def look(source):
        seen = []
        listing = source.list_versions

        def note(*where):
            seen.append(where)
            return listing(*where)

        monkeypatch.setattr(source, "list_versions", note)

        def pass_time():
            clock.advance(POLL)
            # The second look begins only when the first one has ended.
            return len(seen) > 1

        until(pass_time)
        monkeypatch.setattr(source, "list_versions", listing)

    return look


class TestDelivery:
    def test_gives_what_lies_there_and_what_comes(self, begin, worker, source, look):
        source.write("inbox/old", b"1")
        begin(worker)
        assert worker.names() == ["inbox/old"]

        source.write("inbox/new", b"2")
        look(source)

        assert worker.names() == ["inbox/old", "inbox/new"]

    def test_tells_the_function_what_azure_tells_it(self, begin, worker, source):
        source.write("inbox/a.txt", b"hello", owner="me")

        begin(worker)

        blob = worker.runs[0][0]
        assert blob.read() == b"hello"
        assert blob.name == "inbox/a.txt"
        assert blob.uri == "https://fake.invalid/inbox/a.txt"
        assert blob.length == 5
        assert blob.metadata == {"owner": "me"}
        assert blob.blob_properties["ContentType"] == "text/plain"

    def test_gives_only_what_the_path_names(self, begin, source):
        worker = FakeWorker("inbox/{batch}/{name}.png")
        for name in ("inbox/7/a.png", "inbox/7/a.jpg", "inbox/a.png", "other/7/a.png"):
            source.write(name)

        begin(worker)

        assert worker.names() == ["inbox/7/a.png"]

    def test_gives_a_version_once(self, begin, worker, source, look):
        source.write("inbox/a")
        begin(worker)
        worker.end(0)

        look(source)

        assert worker.names() == ["inbox/a"]

    def test_gives_the_next_version_too(self, begin, worker, source, look):
        source.write("inbox/a", b"1")
        begin(worker)
        worker.end(0)
        source.write("inbox/a", b"2")

        look(source)

        assert [blob.read() for blob, _ in worker.runs] == [b"1", b"2"]

    def test_waits_with_the_next_version_for_the_one_under_way(self, begin, worker, source, look):
        source.write("inbox/a", b"1")
        begin(worker)
        source.write("inbox/a", b"2")

        look(source)

        assert len(worker.runs) == 1
        worker.end(0)
        look(source)
        assert len(worker.runs) == 2

    def test_gives_a_blob_again_that_was_deleted_and_came_back(
        self, begin, worker, source, store, look
    ):
        source.write("inbox/a", b"1")
        begin(worker)
        worker.end(0)
        source.delete("inbox/a")
        look(source)
        assert store.read_blob_receipts("take", "inbox") == {}

        source.write("inbox/a", b"1")
        look(source)

        assert len(worker.runs) == 2

    def test_gives_no_more_at_a_time_than_host_json_allows(self, begin, worker, source):
        for name in ("a", "b", "c"):
            source.write(f"inbox/{name}")
        begin(worker, limit=2)
        assert worker.names() == ["inbox/a", "inbox/b"]

        worker.end(0)

        assert worker.names() == ["inbox/a", "inbox/b", "inbox/c"]

    def test_goes_on_when_the_account_answers_again(self, begin, worker, source, look, caplog):
        source.is_down = True
        begin(worker)
        look(source)
        source.write("inbox/a")
        source.is_down = False

        look(source)

        assert worker.names() == ["inbox/a"]
        assert caplog.text.count("can't look for blobs of take") == 1


class TestReceipts:
    def test_a_version_that_was_taken_is_not_given_by_the_next_host(self, begin, source):
        source.write("inbox/a")
        first, second = FakeWorker(), FakeWorker()
        triggers = begin(first)
        first.end(0)
        triggers.stop()

        begin(second)

        assert second.runs == []

    def test_a_version_under_way_is_given_again_by_the_next_host(self, begin, source):
        source.write("inbox/a")
        first, second = FakeWorker(), FakeWorker()
        triggers = begin(first)
        triggers.stop()
        # Whatever the dying host hears of it is no receipt.
        first.end(0)

        begin(second)

        assert second.names() == ["inbox/a"]


class TestFailures:
    def fail(self, worker, source, look, times):
        for number in range(len(worker.runs) - 1, len(worker.runs) - 1 + times):
            worker.end(number, error=ValueError(f"try {number}"))
            look(source)

    def test_are_given_five_times_and_then_called_poison(
        self, begin, worker, source, store, look, caplog
    ):
        source.write("inbox/bad")
        begin(worker)

        self.fail(worker, source, look, 5)
        look(source)

        assert len(worker.runs) == 5
        (receipt,) = store.read_blob_receipts("take", "inbox").values()
        assert (receipt.failures, receipt.state) == (5, BlobState.POISON)
        (said,) = [one for one in caplog.records if one.levelno == logging.CRITICAL]
        assert "POISON: take is never given the blob inbox/bad" in said.getMessage()

    def test_are_counted_across_hosts(self, begin, source, look):
        source.write("inbox/bad")
        first, second = FakeWorker(), FakeWorker()
        triggers = begin(first)
        self.fail(first, source, look, 3)
        triggers.stop()

        begin(second)
        self.fail(second, source, look, 2)
        look(source)

        assert len(second.runs) == 2

    def test_are_forgiven_to_the_next_version(self, begin, worker, source, store, look):
        source.write("inbox/a", b"bad")
        begin(worker)
        self.fail(worker, source, look, 5)
        source.write("inbox/a", b"good")
        look(source)

        worker.end(5)

        (receipt,) = store.read_blob_receipts("take", "inbox").values()
        assert (receipt.failures, receipt.state) == (0, BlobState.TAKEN)

    def test_a_value_that_no_binding_takes_is_one(self, begin, worker, source, store):
        source.write("inbox/a")
        begin(worker)

        worker.end(0, value="done")

        assert store.read_blob_receipts("take", "inbox")["a"].state is BlobState.FAILED


class TestPaths:
    def test_are_read_from_settings(self, begin, source):
        worker = FakeWorker("%BOX%/{name}")
        source.write("inbox/a")

        begin(worker, BOX="inbox")

        assert worker.names() == ["inbox/a"]

    def test_that_name_an_unknown_setting_are_refused(self, begin):
        with pytest.raises(AppLoadError, match="%BOX%"):
            begin(FakeWorker("%BOX%/{name}"))


class TestMetadata:
    def test_tokens_never_hide_what_the_host_says(self, source):
        source.write("inbox/a")
        (version,) = source.list_versions("inbox", "")
        content = source.read("inbox", version)

        _, metadata = bindings.to_blob_datum("inbox", version, content, {"Uri": "x", "name": "a"})

        assert metadata["name"].value == "a"
        assert json.loads(metadata["Uri"].value) == "https://fake.invalid/inbox/a"
