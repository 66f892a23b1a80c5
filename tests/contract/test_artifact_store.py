"""What every `ArtifactStore` keeps, the fake included."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_agent.errors import ArtifactMissingError, ArtifactTooLargeError, StoreError
from gpu_agent.store import ArtifactStore, FolderArtifactStore
from tests.fakes.artifact_store import FakeArtifactStore

PATH = "jobs/jobs/a/1/model.glb"


@pytest.fixture(params=["fake", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtifactStore]:
    """Give an empty store of each kind."""
    yield FakeArtifactStore() if request.param == "fake" else FolderArtifactStore(tmp_path)


class TestArtifactStore:
    def test_gives_back_what_was_put(self, store: ArtifactStore):
        data = bytes(range(256)) * 20_000

        store.write(PATH, data, "model/gltf-binary")

        assert store.read(PATH, len(data)) == data
        assert store.read_or_none(PATH, len(data)) == data

    def test_puts_an_empty_file(self, store: ArtifactStore):
        store.write(PATH, b"", "text/plain")

        assert store.read(PATH, 10) == b""

    def test_replaces_what_was_there(self, store: ArtifactStore):
        store.write(PATH, b"long before", "text/plain")
        store.write(PATH, b"after", "text/plain")

        assert store.read(PATH, 100) == b"after"

    def test_tells_that_nothing_is_there(self, store: ArtifactStore):
        assert store.read_or_none(PATH, 10) is None
        with pytest.raises(ArtifactMissingError):
            store.read(PATH, 10)

    def test_refuses_to_read_more_than_asked(self, store: ArtifactStore):
        store.write(PATH, b"12345", "text/plain")

        assert store.read(PATH, 5) == b"12345"
        with pytest.raises(ArtifactTooLargeError):
            store.read(PATH, 4)
        with pytest.raises(ArtifactTooLargeError):
            store.read_or_none(PATH, 4)

    def test_puts_the_first_and_leaves_it(self, store: ArtifactStore):
        assert store.write_if_absent(PATH, b"first", "text/plain") is True
        assert store.write_if_absent(PATH, b"second", "text/plain") is False

        assert store.read(PATH, 100) == b"first"

    def test_lets_exactly_one_of_a_crowd_be_first(self, store: ArtifactStore):
        crowd, barrier = 8, threading.Barrier(8)
        won: list[bytes] = []

        def put(data: bytes) -> None:
            barrier.wait(10.0)
            if store.write_if_absent(PATH, data, "text/plain"):
                won.append(data)

        threads = [
            threading.Thread(target=put, args=(str(n).encode() * 5000,)) for n in range(crowd)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert won == [store.read(PATH, 1_000_000)]

    @pytest.mark.parametrize(
        "path",
        ["jobs", "jobs/", "/jobs/a", "jobs/../a", "jobs/a/../../b", "jobs//a", "jobs/.x", "J/a"],
    )
    def test_refuses_what_is_no_path(self, store: ArtifactStore, path: str):
        with pytest.raises(StoreError):
            store.write(path, b"x", "text/plain")
        with pytest.raises(StoreError):
            store.read_or_none(path, 10)


class TestFolderArtifactStore:
    def test_leaves_nothing_but_whole_files(self, tmp_path: Path):
        store = FolderArtifactStore(tmp_path)

        store.write(PATH, b"one", "text/plain")
        store.write_if_absent(PATH, b"two", "text/plain")

        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files == [tmp_path / PATH]
