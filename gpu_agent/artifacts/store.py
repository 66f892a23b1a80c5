"""Where images come from and models go to.

A path is ``container/blob/name``, the same in Blob Storage and in a folder. Nothing half-written
is ever seen under its final name.
"""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import CredentialUnavailableError, ManagedIdentityCredential
from azure.storage.blob import BlobClient, BlobServiceClient, ContentSettings

from gpu_agent.errors import (
    ArtifactMissingError,
    ArtifactTooLargeError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
)

CONNECT_S, READ_S = 10, 30
RETRIES = 3
"""Of one call to Blob Storage, by the SDK itself, with its pauses of about 18, 24 and 42 s."""

_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")


class ArtifactStore(Protocol):
    """Whole files under paths. Safe for several threads at once."""

    def read(self, path: str, max_bytes: int) -> bytes:
        """Give a file.

        Raises:
            ArtifactMissingError: Nothing is there.
            ArtifactTooLargeError: It has more than `max_bytes`; no more than that was loaded.
            StoreError: Any other failure; says whether trying again may help.
        """

    def read_or_none(self, path: str, max_bytes: int) -> bytes | None:
        """Give a file, or None when nothing is there. Raises as `read` does otherwise."""

    def write(self, path: str, data: bytes, content_type: str) -> None:
        """Put a file, in place of what was there.

        Safe to run twice: the same bytes end up under the same name.

        Raises:
            StoreError: It is not there, or it is there and the answer was lost.
        """

    def write_if_absent(self, path: str, data: bytes, content_type: str) -> bool:
        """Put a file unless one is there.

        Returns:
            True if this call put it. False if a file is there; after a lost answer that may be
            this call's own, so read it to know.

        Raises:
            StoreError: As in `write`.
        """


def is_path(text: str) -> bool:
    """Tell whether a text is a path: a container and at least one name, nothing that climbs."""
    container, *names = text.split("/")
    return (
        len(text) <= 1024
        and bool(names)
        and _CONTAINER.fullmatch(container) is not None
        and all(_SEGMENT.fullmatch(name) for name in names)
    )


class FolderArtifactStore:
    """A folder that stands for the blob service."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._parts = root / ".parts"

    def read(self, path: str, max_bytes: int) -> bytes:  # noqa: D102
        data = self.read_or_none(path, max_bytes)
        if data is None:
            raise ArtifactMissingError(f"Nothing is at {path}.")
        return data

    def read_or_none(self, path: str, max_bytes: int) -> bytes | None:  # noqa: D102
        try:
            with self._file(path).open("rb") as file:
                data = file.read(max_bytes + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise StoreUnavailableError(f"{path}: {error.strerror}") from error
        if len(data) > max_bytes:
            raise ArtifactTooLargeError(f"{path} has more than {max_bytes} bytes.")
        return data

    def write(self, path: str, data: bytes, content_type: str) -> None:  # noqa: D102
        with self._part(path, data) as (part, final):
            part.replace(final)

    def write_if_absent(self, path: str, data: bytes, content_type: str) -> bool:  # noqa: D102
        with self._part(path, data) as (part, final):
            try:
                # Linking fails when the name is taken, in one step and with the whole file.
                final.hardlink_to(part)
            except FileExistsError:
                return False
            return True

    @contextmanager
    def _part(self, path: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        final = self._file(path)
        part = self._parts / uuid.uuid4().hex
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            self._parts.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield part, final
        except OSError as error:
            raise StoreUnavailableError(f"{path}: {error.strerror}") from error
        finally:
            # What kept the file from being written may keep it from being removed.
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _file(self, path: str) -> Path:
        if not is_path(path):
            raise StoreError(f"Not a path: {path!r}")
        return self._root.joinpath(*path.split("/"))


class BlobArtifactStore:
    """Azure Blob Storage, by token.

    Args:
        endpoint: ``https://account.blob.core.windows.net``.
        credential: Gives the tokens.
        options: Passed on to the SDK's client.
    """

    def __init__(self, endpoint: str, credential: TokenCredential, **options: Any) -> None:
        self._service = BlobServiceClient(
            endpoint,
            credential=credential,
            connection_timeout=CONNECT_S,
            read_timeout=READ_S,
            retry_total=RETRIES,
            # An over-large input is noticed after the first piece.
            max_single_get_size=4 * 1024 * 1024,
            **options,
        )

    @classmethod
    def with_managed_identity(cls, endpoint: str, client_id: str | None) -> "BlobArtifactStore":
        """Use the machine's managed identity."""
        return cls(endpoint, ManagedIdentityCredential(client_id=client_id))

    def read(self, path: str, max_bytes: int) -> bytes:  # noqa: D102
        with _translated(path):
            download = self._blob(path).download_blob()
            if download.size > max_bytes:
                raise ArtifactTooLargeError(f"{path} has {download.size} bytes.")
            data: bytes = download.readall()
            return data

    def read_or_none(self, path: str, max_bytes: int) -> bytes | None:  # noqa: D102
        try:
            return self.read(path, max_bytes)
        except ArtifactMissingError:
            return None

    def write(self, path: str, data: bytes, content_type: str) -> None:  # noqa: D102
        self._upload(path, data, content_type, overwrite=True)

    def write_if_absent(self, path: str, data: bytes, content_type: str) -> bool:  # noqa: D102
        try:
            self._upload(path, data, content_type, overwrite=False)
        except _TakenError:
            return False
        return True

    def _upload(self, path: str, data: bytes, content_type: str, *, overwrite: bool) -> None:
        settings = ContentSettings(content_type=content_type)
        with _translated(path, absent=StoreError(f"There is no container for {path}.")):
            # A large file goes up in blocks, which one last call makes the blob: whole or not.
            self._blob(path).upload_blob(data, overwrite=overwrite, content_settings=settings)

    def _blob(self, path: str) -> BlobClient:
        if not is_path(path):
            raise StoreError(f"Not a path: {path!r}")
        container, name = path.split("/", 1)
        return self._service.get_blob_client(container, name)


class _TakenError(StoreError):
    """A blob of this name is there."""


@contextmanager
def _translated(path: str, absent: StoreError | None = None) -> Iterator[None]:
    """Turn the SDK's errors into ours. The SDK has tried again by itself already."""
    try:
        yield
    except ResourceExistsError as error:
        raise _TakenError(f"{path} is there already.") from error
    except ResourceNotFoundError as error:
        raise absent or ArtifactMissingError(f"Nothing is at {path}.") from error
    except CredentialUnavailableError as error:
        raise StoreUnavailableError("The managed identity gives no token.") from error
    except ClientAuthenticationError as error:
        raise StoreDeniedError(f"{path}: the store does not accept this identity.") from error
    except HttpResponseError as error:
        if error.status_code == 403:
            raise StoreDeniedError(f"{path}: this identity lacks the role for it.") from error
        raise StoreUnavailableError(f"{path}: HTTP {error.status_code}") from error
    except AzureError as error:
        raise StoreUnavailableError(f"{path}: the store does not answer.") from error
