"""Blob triggers on real processes: Azurite over https, the app's identity, a killed host."""

import json
import time
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from localcloud.stack import Stack

pytestmark = pytest.mark.stack

APP = Path(__file__).parent / "blob_app"
LIMIT_S = 20.0


class BlobApp:
    """The app on a local cloud without VMs, and its containers."""

    def __init__(self, folder):
        self.notes = folder / "notes"
        self.notes.mkdir()
        self.stack = Stack(
            APP,
            folder / "stack",
            vms=(),
            app_environ={"BLOB_APP_NOTES": str(self.notes)},
            host_arguments=("--blob-poll-s", "0.05"),
        )
        self.blobs = None

    def write(self, path, text, **metadata):
        container, _, name = path.partition("/")
        blob = self.blobs.get_blob_client(container, name)
        blob.upload_blob(text.encode(), overwrite=True, metadata=metadata)

    def read(self, name):
        """Read what a function noted."""
        file = self.notes / name
        return (
            [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        )

    def wait_for(self, name, count):
        """Wait until a function has noted so much."""
        deadline = time.monotonic() + LIMIT_S
        while len(noted := self.read(name)) < count:
            assert time.monotonic() < deadline, (noted, self.log[-3000:])
            time.sleep(0.02)
        return noted

    @property
    def log(self):
        return self.stack.logs["functions_host"].read_text()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The app, up."""
    app = BlobApp(tmp_path_factory.mktemp("blobs"))
    with (
        app.stack,
        BlobServiceClient(
            app.stack.urls.blob,
            credential=app.stack.credential(),
            connection_verify=str(app.stack.bundle),
        ) as app.blobs,
    ):
        yield app


class TestBlobs:
    def test_come_once_each_whatever_happens_to_the_host(self, app):
        app.write("inbox/7/a.txt", "hello", owner="me")
        (first,) = app.wait_for("taken", 1)
        assert first == {
            "name": "inbox/7/a.txt",
            "text": "hello",
            "length": 5,
            "uri": f"{app.stack.urls.blob}/inbox/7/a.txt",
            "metadata": {"owner": "me"},
        }

        app.stack.kill_functions_host()
        app.write("inbox/7/b.txt", "while it was down")
        app.write("inbox/7/c.jpg", "not of the pattern")
        app.stack.start_functions_host()
        app.wait_for("taken", 2)
        app.write("inbox/7/a.txt", "hello again")

        texts = [one["text"] for one in app.wait_for("taken", 3)]
        assert texts == ["hello", "while it was down", "hello again"]

    def test_that_always_fail_are_given_up_after_five_times(self, app):
        app.write("failed/bad.bin", "x")
        app.wait_for("rejected", 5)
        app.write("failed/worse.bin", "x")

        names = [one["name"] for one in app.wait_for("rejected", 10)]

        assert names.count("failed/bad.bin") == 5
        assert "POISON: reject is never given the blob failed/bad.bin" in app.log
