"""Saves artifacts so that a file is whole or not there."""

import hashlib
import os
import uuid
from pathlib import Path

from coldforge.errors import DownloadError
from coldforge.models import Artifact
from coldforge.transport import Transport


def save_artifact(transport: Transport, artifact: Artifact, path: Path) -> None:
    """Write an artifact beside `path`, check it, and move it into place.

    Raises:
        DownloadError: Its bytes are not those that the server announced.
        UnreachableError: The connection broke.
        ApiError: The server answered with an error.
        OSError: The file can't be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        sha256 = _write(transport, artifact, temporary)
        _check(artifact, sha256, temporary.stat().st_size)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(transport: Transport, artifact: Artifact, path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("xb") as file, transport.stream(artifact.url) as pieces:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _check(artifact: Artifact, sha256: str, size_bytes: int) -> None:
    is_right = sha256 == artifact.sha256.lower() if artifact.sha256 else True
    if not is_right or (artifact.size_bytes and size_bytes != artifact.size_bytes):
        raise DownloadError(
            f"{artifact.name} did not arrive whole: {size_bytes:,} bytes came, which are not the "
            f"{artifact.size_bytes:,} that the server announced.",
            retryable=True,
        )
