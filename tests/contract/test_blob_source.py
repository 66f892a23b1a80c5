"""What every `BlobSource` keeps, the fake included."""

import pytest
from azure.storage.blob import BlobServiceClient, ContentSettings

from localcloud.functions_host.blob_source import AzureBlobSource, BlobVersion
from localcloud.functions_host.errors import BlobsUnavailableError
from tests.fakes.blob_source import FakeBlobSource


class AzuriteBlobs(AzureBlobSource):
    """The adapter on the emulator, and what a test does to it."""

    def __init__(self, service):
        super().__init__(service)
        self._blobs = service

    def write(self, path, data=b"", **metadata):
        container, _, name = path.partition("/")
        self._blobs.get_blob_client(container, name).upload_blob(
            data,
            overwrite=True,
            metadata=metadata,
            content_settings=ContentSettings(content_type="text/plain"),
        )

    def delete(self, path):
        container, _, name = path.partition("/")
        self._blobs.get_blob_client(container, name).delete_blob()


@pytest.fixture(params=["fake", pytest.param("azurite", marks=pytest.mark.azurite)])
def source(request):
    """A storage account with an empty container ``jobs``."""
    if request.param == "fake":
        return FakeBlobSource()
    return AzuriteBlobs(request.getfixturevalue("clean_storage").blobs)


class TestListVersions:
    def test_lists_what_begins_so_by_name(self, source):
        for name in ("in/b", "in/a", "out/c"):
            source.write(f"jobs/{name}")

        assert [one.name for one in source.list_versions("jobs", "in/")] == ["in/a", "in/b"]

    def test_gives_another_etag_to_another_content(self, source):
        source.write("jobs/a", b"1")
        (first,) = source.list_versions("jobs", "")
        source.write("jobs/a", b"2")

        (second,) = source.list_versions("jobs", "")

        assert first.etag != second.etag
        assert '"' not in first.etag

    def test_finds_nothing_in_a_container_that_is_not_there(self, source):
        assert list(source.list_versions("nowhere", "")) == []


class TestRead:
    def test_gives_what_was_written(self, source):
        source.write("jobs/in/a.txt", b"hello", owner="me")
        (version,) = source.list_versions("jobs", "")

        content = source.read("jobs", version)

        assert content.data == b"hello"
        assert content.metadata == {"owner": "me"}
        assert content.content_type == "text/plain"
        assert content.uri.endswith("/jobs/in/a.txt")
        assert content.created_at.tzinfo is not None
        assert content.modified_at >= content.created_at

    def test_gives_an_empty_blob(self, source):
        source.write("jobs/empty")
        (version,) = source.list_versions("jobs", "")

        assert source.read("jobs", version).data == b""

    def test_gives_nothing_of_a_version_that_was_replaced(self, source):
        source.write("jobs/a", b"1")
        (version,) = source.list_versions("jobs", "")
        source.write("jobs/a", b"2")

        assert source.read("jobs", version) is None

    def test_gives_nothing_of_a_blob_that_is_gone(self, source):
        source.write("jobs/a", b"1")
        (version,) = source.list_versions("jobs", "")
        source.delete("jobs/a")

        assert source.read("jobs", version) is None


class TestUnavailable:
    @pytest.fixture(params=["fake", "azure"])
    def silent(self, request):
        """An account that does not answer."""
        if request.param == "fake":
            source = FakeBlobSource()
            source.is_down = True
            return source
        # Nothing listens on the discard port.
        return AzureBlobSource(BlobServiceClient("http://127.0.0.1:9/account", retry_total=0))

    def test_is_said_of_a_listing_and_of_a_read(self, silent):
        with pytest.raises(BlobsUnavailableError):
            silent.list_versions("jobs", "")
        with pytest.raises(BlobsUnavailableError):
            silent.read("jobs", BlobVersion("a", "0x1"))
