"""What every `ArtifactStore` keeps, the fake included."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken
from azure.storage.blob import BlobServiceClient

from gpu_agent.artifacts.store import ArtifactStore, BlobArtifactStore, FolderArtifactStore
from gpu_agent.errors import (
    ArtifactMissingError,
    ArtifactTooLargeError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
)
from localcloud.arm.identity import TokenIssuer
from localcloud.blueprint import base_environ
from localcloud.certificate import prepare_certificate
from localcloud.ports import choose_free_ports
from localcloud.storage import blob_url, build_storage
from tests.fakes.artifact_store import FakeArtifactStore

PATH = "jobs/jobs/a/1/model.glb"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Run the storage emulator; give its endpoint and the authorities to trust."""
    folder = tmp_path_factory.mktemp("azurite")
    certificate = prepare_certificate(folder / "tls", now=datetime.now(UTC))
    blob, table, queue = choose_free_ports(3)
    storage = build_storage(
        ports=(blob, table, queue),
        data=None,
        certificate=certificate,
        environ=base_environ(os.environ, certificate),
        log=folder / "log",
    )
    try:
        storage.start()
        storage.wait_until_ready()
        yield blob_url(blob), certificate.bundle
    finally:
        storage.stop()


class SignedCredential:
    """Tokens that the emulator takes for Entra ID's, as it checks claims and no signature."""

    def __init__(self, folder: Path) -> None:
        self._issuer = TokenIssuer(folder / "key.pem")

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        token = self._issuer.issue(
            resource=scopes[0].removesuffix("/.default"),
            subject="agent",
            client_id="agent",
            now=time.time(),
        )
        return AccessToken(token, int(time.time()) + 3600)


@pytest.fixture(
    params=["fake", "folder", pytest.param("blob", marks=pytest.mark.azurite)],
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """Give an empty store of each kind."""
    if request.param == "fake":
        return FakeArtifactStore()
    if request.param == "folder":
        return FolderArtifactStore(tmp_path)
    return open_blob_store(*request.getfixturevalue("endpoint"), tmp_path)


def open_blob_store(url: str, bundle: Path, folder: Path) -> BlobArtifactStore:
    """Open a store on an empty container ``jobs``."""
    credential = SignedCredential(folder)
    service = BlobServiceClient(url, credential=credential, connection_verify=str(bundle))
    with service, service.get_container_client("jobs") as container:
        if container.exists():
            for name in list(container.list_blob_names()):
                container.delete_blob(name)
        else:
            container.create_container()
    return BlobArtifactStore(url, credential, connection_verify=str(bundle))


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


@pytest.mark.azurite
class TestBlobArtifactStore:
    def test_keeps_the_media_type(self, endpoint: tuple[str, Path], tmp_path: Path):
        url, bundle = endpoint
        store = open_blob_store(url, bundle, tmp_path)

        store.write(PATH, b"glb", "model/gltf-binary")

        container, name = PATH.split("/", 1)
        service = BlobServiceClient(
            url, credential=SignedCredential(tmp_path), connection_verify=str(bundle)
        )
        with service, service.get_blob_client(container, name) as blob:
            properties = blob.get_blob_properties()
        assert properties.content_settings.content_type == "model/gltf-binary"

    def test_tells_that_there_is_no_container(self, endpoint: tuple[str, Path], tmp_path: Path):
        store = open_blob_store(*endpoint, tmp_path)

        with pytest.raises(StoreError, match="no container") as caught:
            store.write("nothing/a", b"x", "text/plain")

        assert caught.value.code == "store_failed"

    def test_tells_that_it_may_not(self, endpoint: tuple[str, Path]):
        class ForgedCredential:
            def get_token(self, *_: str, **__: object) -> AccessToken:
                return AccessToken("forged", int(time.time()) + 3600)

        url, bundle = endpoint
        store = BlobArtifactStore(url, ForgedCredential(), connection_verify=str(bundle))

        with pytest.raises(StoreDeniedError):
            store.read(PATH, 10)

    def test_tells_that_nobody_answers(self, tmp_path: Path):
        (port,) = choose_free_ports(1)
        store = BlobArtifactStore(
            f"https://127.0.0.1:{port}/devstoreaccount1",
            SignedCredential(tmp_path),
            initial_backoff=0,
            increment_base=0,
        )

        with pytest.raises(StoreUnavailableError):
            store.read(PATH, 10)
