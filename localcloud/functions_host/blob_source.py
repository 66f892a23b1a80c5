"""Blobs as a blob trigger needs them: listed by version, read as they were listed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient

from localcloud.functions_host.errors import AppLoadError, BlobsUnavailableError

_EMULATOR_KEY = (
    # Published with every storage emulator, and the same for everybody: no secret.
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_EMULATOR = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    f"AccountKey={_EMULATOR_KEY};BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1"
)


@dataclass(frozen=True, slots=True)
class BlobVersion:
    """A blob as it stood at some moment.

    Attributes:
        name: Its name within the container.
        etag: Changes whenever the blob does; without quotes.
    """

    name: str
    etag: str


@dataclass(frozen=True, slots=True)
class BlobContent:
    """What one version of a blob holds.

    Attributes:
        data: All of it.
        uri: Its address, without a signature.
        content_type: Its media type.
        created_at: When the blob was made.
        modified_at: When this version was written.
        metadata: Its own metadata.
    """

    data: bytes
    uri: str
    content_type: str
    created_at: datetime
    modified_at: datetime
    metadata: Mapping[str, str]


class BlobSource(Protocol):
    """One storage account."""

    def list_versions(self, container: str, prefix: str) -> Iterable[BlobVersion]:
        """List the blobs of a container by name; a container that is not there has none.

        Args:
            container: Its name.
            prefix: What the names begin with.

        Raises:
            BlobsUnavailableError: The account does not answer, or refuses.
        """
        ...

    def read(self, container: str, version: BlobVersion) -> BlobContent | None:
        """Read a version; None if it is no longer the newest, or gone.

        Raises:
            BlobsUnavailableError: The account does not answer, or refuses.
        """
        ...


class AzureBlobSource:
    """`BlobSource` on Blob Storage, or on Azurite."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service

    def list_versions(self, container: str, prefix: str) -> Iterable[BlobVersion]:
        """See `BlobSource`."""
        blobs = self._service.get_container_client(container).list_blobs(name_starts_with=prefix)
        try:
            return [BlobVersion(blob.name, blob.etag.strip('"')) for blob in blobs]
        except ResourceNotFoundError:
            return []
        except AzureError as error:
            raise _unavailable(error) from error

    def read(self, container: str, version: BlobVersion) -> BlobContent | None:
        """See `BlobSource`."""
        blob = self._service.get_blob_client(container, version.name)
        try:
            stream = blob.download_blob(
                etag=f'"{version.etag}"', match_condition=MatchConditions.IfNotModified
            )
            data: bytes = stream.readall()
        except (ResourceModifiedError, ResourceNotFoundError):
            return None
        except AzureError as error:
            raise _unavailable(error) from error
        properties = stream.properties
        return BlobContent(
            data=data,
            uri=blob.url,
            content_type=properties.content_settings.content_type or "application/octet-stream",
            created_at=properties.creation_time,
            modified_at=properties.last_modified,
            metadata=dict(properties.metadata or {}),
        )


def connect_blobs(connection: str, environ: Mapping[str, str]) -> BlobSource:
    """Reach the account that a trigger's ``connection`` names, as the Functions host does.

    The setting holds a connection string, or settings behind it do the same with an identity:
    ``__blobServiceUri``, ``__serviceUri`` or ``__accountName``, and for a managed identity
    ``__credential`` with, if it is user-assigned, ``__clientId``. ``AzureWebJobs`` may stand
    before the name.

    Args:
        connection: Name of the setting; "" for the host's own storage.
        environ: The app's settings.

    Raises:
        AppLoadError: No setting says where the account is, or the connection string can't be read.
    """
    names = [f"AzureWebJobs{connection or 'Storage'}", connection or "AzureWebJobsStorage"]
    for name in names:
        if text := environ.get(name, "").strip():
            return AzureBlobSource(_from_text(name, text))
        if url := _find_url(name, environ):
            credential = _find_credential(name, environ)
            return AzureBlobSource(BlobServiceClient(url, credential=credential))
    raise AppLoadError(
        f"no app setting says where the blobs of the connection '{connection}' are: set "
        f"{names[-1]} to a connection string, or {names[-1]}__blobServiceUri"
    )


def _from_text(name: str, text: str) -> BlobServiceClient:
    if re.fullmatch(r"UseDevelopmentStorage=true;?", text, re.IGNORECASE):
        text = _EMULATOR
    try:
        return BlobServiceClient.from_connection_string(text)
    except ValueError as error:
        # Its own words may quote the string, and that holds a key.
        raise AppLoadError(f"the app setting {name} is no connection string") from error


def _find_url(name: str, environ: Mapping[str, str]) -> str:
    for ending in ("blobServiceUri", "serviceUri"):
        if url := environ.get(f"{name}__{ending}", "").strip():
            return url
    account = environ.get(f"{name}__accountName", "").strip()
    return f"https://{account}.blob.core.windows.net" if account else ""


def _find_credential(name: str, environ: Mapping[str, str]) -> TokenCredential:
    client_id = environ.get(f"{name}__clientId") or None
    credential: TokenCredential
    if environ.get(f"{name}__credential", "").lower() == "managedidentity":
        credential = ManagedIdentityCredential(client_id=client_id)
    else:
        credential = DefaultAzureCredential(managed_identity_client_id=client_id)
    return credential


def _unavailable(error: AzureError) -> BlobsUnavailableError:
    return BlobsUnavailableError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
