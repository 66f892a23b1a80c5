"""Blobs by path ``container/name``."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import (
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    ContentSettings,
    generate_blob_sas,
)

CLOCK_SKEW = timedelta(minutes=5)


class BlobFileStore:
    """`FileStore` on Blob Storage, with the managed identity."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service

    def write(self, path: str, data: bytes, content_type: str) -> None:
        self._blob(path).upload_blob(
            data, overwrite=True, content_settings=ContentSettings(content_type=content_type)
        )

    def create(self, path: str, data: bytes, content_type: str) -> bool:
        try:
            self._blob(path).upload_blob(
                data, overwrite=False, content_settings=ContentSettings(content_type=content_type)
            )
        except ResourceExistsError:
            return False
        return True

    def delete(self, path: str) -> None:
        with contextlib.suppress(ResourceNotFoundError):
            self._blob(path).delete_blob()

    def exists(self, path: str) -> bool:
        return bool(self._blob(path).exists())

    def read(self, path: str) -> bytes | None:
        try:
            data: bytes = self._blob(path).download_blob().readall()
        except ResourceNotFoundError:
            return None
        return data

    def chunks(self, path: str) -> Iterator[bytes] | None:
        try:
            chunks: Iterator[bytes] = self._blob(path).download_blob().chunks()
        except ResourceNotFoundError:
            return None
        return chunks

    def link(self, path: str, *, valid_s: float, name: str) -> str:
        """Sign with a user-delegation key: works with the account's shared keys off."""
        blob = self._blob(path)
        now = datetime.now(UTC)
        expiry = now + timedelta(seconds=valid_s)
        key = self._service.get_user_delegation_key(now - CLOCK_SKEW, expiry)
        signature = generate_blob_sas(
            blob.account_name,
            blob.container_name,
            blob.blob_name,
            user_delegation_key=key,
            permission=BlobSasPermissions(read=True),
            start=now - CLOCK_SKEW,
            expiry=expiry,
            content_disposition=f'attachment; filename="{name}"',
        )
        return f"{blob.url}?{signature}"

    def _blob(self, path: str) -> BlobClient:
        container, _, name = path.partition("/")
        return self._service.get_blob_client(container, name)
