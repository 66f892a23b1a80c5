"""What every `FileStore` keeps, the fake included."""

import pytest
import requests

from orchestrator.adapters.blob_files import BlobFileStore
from orchestrator.domain.ports import FileStore
from tests.fakes.file_store import FakeFileStore

PATH = "jobs/01hf/1/model.glb"


@pytest.fixture(params=["fake", pytest.param("blob", marks=pytest.mark.azurite)])
def files(request: pytest.FixtureRequest) -> FileStore:
    """Give an empty store of each kind."""
    if request.param == "fake":
        return FakeFileStore()
    return BlobFileStore(request.getfixturevalue("clean_storage").blobs)


class TestFileStore:
    def test_gives_back_what_was_written(self, files: FileStore):
        data = bytes(range(256)) * 4000

        files.write(PATH, data, "model/gltf-binary")

        assert files.read(PATH) == data

    def test_keeps_an_empty_file(self, files: FileStore):
        files.write(PATH, b"", "text/plain")

        assert files.read(PATH) == b""

    def test_replaces_what_was_there(self, files: FileStore):
        files.write(PATH, b"long before", "text/plain")
        files.write(PATH, b"after", "text/plain")

        assert files.read(PATH) == b"after"

    def test_creates_a_file_once(self, files: FileStore):
        is_first = files.create(PATH, b"first", "text/plain")
        is_first_again = files.create(PATH, b"second", "text/plain")

        assert (is_first, is_first_again) == (True, False)
        assert files.read(PATH) == b"first"

    def test_deletes_a_file_and_nothing_twice(self, files: FileStore):
        files.write(PATH, b"glb", "text/plain")

        files.delete(PATH)
        files.delete(PATH)

        assert not files.exists(PATH)

        assert files.read(PATH) is None

    def test_tells_that_nothing_is_there(self, files: FileStore):
        assert files.read(PATH) is None
        assert files.chunks(PATH) is None

    def test_gives_a_file_in_pieces(self, files: FileStore):
        data = bytes(range(256)) * 100
        files.write(PATH, data, "text/plain")

        assert b"".join(files.chunks(PATH)) == data

    def test_names_the_file_in_its_link(self, files: FileStore):
        files.write(PATH, b"glb", "model/gltf-binary")

        link = files.link(PATH, valid_s=600, name="cup.glb")

        assert link.startswith("https://")
        assert "model.glb" in link


@pytest.mark.azurite
class TestLink:
    @pytest.fixture
    def session(self, clean_storage):
        """A session without any right of its own."""
        with requests.Session() as session:
            session.verify = str(clean_storage.certificate.bundle)
            session.trust_env = False
            yield session

    def test_reads_this_one_file_under_its_name(self, clean_storage, session):
        files = BlobFileStore(clean_storage.blobs)
        files.write(PATH, b"glb", "model/gltf-binary")

        answer = session.get(files.link(PATH, valid_s=600, name="cup.glb"))

        assert (answer.status_code, answer.content) == (200, b"glb")
        assert answer.headers["content-type"] == "model/gltf-binary"
        assert answer.headers["content-disposition"] == 'attachment; filename="cup.glb"'

    def test_reads_no_other_file(self, clean_storage, session):
        files = BlobFileStore(clean_storage.blobs)
        files.write(PATH, b"glb", "model/gltf-binary")
        files.write("jobs/01hf/request.json", b"{}", "application/json")

        link = files.link(PATH, valid_s=600, name="cup.glb")

        assert session.get(link.replace("1/model.glb", "request.json")).status_code == 403

    def test_writes_and_deletes_nothing(self, clean_storage, session):
        files = BlobFileStore(clean_storage.blobs)
        files.write(PATH, b"glb", "model/gltf-binary")
        link = files.link(PATH, valid_s=600, name="cup.glb")

        put = session.put(link, data=b"x", headers={"x-ms-blob-type": "BlockBlob"})
        delete = session.delete(link)

        assert (put.status_code, delete.status_code) == (403, 403)

    def test_is_over_after_its_time(self, clean_storage, session):
        files = BlobFileStore(clean_storage.blobs)
        files.write(PATH, b"glb", "model/gltf-binary")

        assert session.get(files.link(PATH, valid_s=-1, name="cup.glb")).status_code == 403
