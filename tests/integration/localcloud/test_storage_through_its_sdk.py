"""Azurite, asked by the real SDKs with a managed identity and no account key."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    ResourceExistsError,
    ResourceModifiedError,
)
from azure.data.tables import TableServiceClient
from azure.identity import ManagedIdentityCredential
from azure.storage.blob import (
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    generate_blob_sas,
)

from localcloud.blueprint import base_environ
from localcloud.https import open_session
from localcloud.ports import choose_free_ports
from localcloud.storage import ACCOUNT, blob_url, build_storage, create_storage, table_url
from localcloud.token_client import LocalCredential

pytestmark = pytest.mark.azurite


@pytest.fixture(scope="module", name="ports")
def _ports(tmp_path_factory, certificate):
    """Ports of a running Azurite that keeps everything in memory."""
    blob, table, queue = choose_free_ports(3)
    storage = build_storage(
        ports=(blob, table, queue),
        data=None,
        certificate=certificate,
        environ=base_environ(os.environ, certificate),
        log=tmp_path_factory.mktemp("azurite") / "storage.log",
    )
    try:
        storage.start()
        storage.wait_until_ready()
        yield blob, table
    finally:
        storage.stop()


@pytest.fixture(scope="module", name="created")
def _created(arm, ports):
    """A container and a table, made twice: the second time changes nothing."""
    blob, table = ports
    for _ in range(2):
        create_storage(
            blob_service=blob_url(blob),
            table_service=table_url(table),
            containers=["jobs"],
            tables=["jobs"],
            credential=LocalCredential(f"{arm.imds_url}/msi/token", "open sesame"),
            bundle=arm.bundle,
        )


@pytest.fixture(name="credential", params=["app", "vm"])
def _credential(request, arm, monkeypatch):
    """The managed identity of the function app, then that of a VM."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(arm.bundle))
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    if request.param == "app":
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{arm.imds_url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "open sesame")
    else:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"{arm.imds_url}/vm/untouched")
    with ManagedIdentityCredential() as credential:
        yield credential


@pytest.fixture(name="blobs")
def _blobs(ports, created, credential):
    """The blob service."""
    with BlobServiceClient(blob_url(ports[0]), credential) as service:
        yield service


@pytest.fixture(name="table")
def _table(ports, created, credential):
    """A table."""
    with TableServiceClient(table_url(ports[1]), credential=credential) as service:
        yield service.get_table_client("jobs")


class TestBlobs:
    def test_are_written_and_read(self, blobs):
        blob = blobs.get_blob_client("jobs", "a/model.glb")

        blob.upload_blob(b"glTF", overwrite=True)

        assert blob.download_blob().readall() == b"glTF"

    def test_are_written_only_once_when_asked_so(self, blobs, request):
        blob = blobs.get_blob_client("jobs", f"{request.node.name}/manifest.json")
        blob.upload_blob(b"first", overwrite=False)

        with pytest.raises(ResourceExistsError):
            blob.upload_blob(b"second", overwrite=False)

        assert blob.download_blob().readall() == b"first"

    def test_are_replaced_only_if_unchanged(self, blobs):
        blob = blobs.get_blob_client("jobs", "state.json")
        read = blob.upload_blob(b"1", overwrite=True)["etag"]
        same = {"etag": read, "match_condition": MatchConditions.IfNotModified}
        blob.upload_blob(b"2", overwrite=True, **same)

        with pytest.raises(ResourceModifiedError):
            blob.upload_blob(b"3", overwrite=True, **same)

        assert blob.download_blob().readall() == b"2"

    def test_are_read_by_a_link_that_a_user_delegation_key_signs(self, blobs, arm):
        blobs.get_blob_client("jobs", "link.txt").upload_blob(b"here", overwrite=True)
        begin, end = (
            datetime.now(UTC) - timedelta(minutes=5),
            datetime.now(UTC) + timedelta(hours=1),
        )
        key = blobs.get_user_delegation_key(begin, end)
        sas = generate_blob_sas(
            ACCOUNT,
            "jobs",
            "link.txt",
            user_delegation_key=key,
            permission=BlobSasPermissions(read=True),
            start=begin,
            expiry=end,
        )
        url = blobs.get_blob_client("jobs", "link.txt").url
        block = {"x-ms-blob-type": "BlockBlob"}

        with open_session(arm.bundle) as session:
            assert session.get(f"{url}?{sas}").content == b"here"
            assert session.get(url).status_code >= 400
            assert session.put(f"{url}?{sas}", data=b"x", headers=block).status_code == 403

    def test_are_not_for_strangers(self, blobs, certificate):
        url = blobs.get_blob_client("jobs", "a/model.glb").url

        with (
            BlobClient.from_blob_url(url, credential=_Stranger()) as blob,
            pytest.raises(ClientAuthenticationError),
        ):
            blob.download_blob()


class TestTables:
    def test_take_a_row_once(self, table, request):
        row = {
            "PartitionKey": "jobs",
            "RowKey": str(abs(hash(request.node.name))),
            "state": "queued",
        }
        table.create_entity(row)

        with pytest.raises(ResourceExistsError):
            table.create_entity({**row, "state": "other"})

        assert table.get_entity("jobs", row["RowKey"])["state"] == "queued"

    def test_replace_a_row_only_if_unchanged(self, table):
        row = {"PartitionKey": "jobs", "RowKey": "changing", "percent": 1}
        etag = table.upsert_entity(row)["etag"]
        same = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        table.update_entity({**row, "percent": 2}, **same)

        with pytest.raises(ResourceModifiedError):
            table.update_entity({**row, "percent": 3}, **same)


class _Stranger:
    """Shows a token that nobody issued."""

    def get_token(self, *_, **__):
        from azure.core.credentials import AccessToken

        return AccessToken("nonsense", 2**31)
