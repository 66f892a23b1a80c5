"""Saves artifacts so that a file is whole or not there."""

import hashlib
import os
import uuid
from pathlib import Path

from coldforge.errors import DownloadError
from coldforge.models import Artifact
from coldforge.transport import Transport


def choose_temporary_path(path: Path) -> Path:
    """Return where an unfinished file lies: beside `path`, under a name that is always short."""
    return path.with_name(f".coldforge-{uuid.uuid4().hex[:8]}.part")


def save_artifact(
    transport: Transport, artifact: Artifact, path: Path, *, replaces: bool = True
) -> None:
    """Write an artifact beside `path`, check it, and move it into place.

    Args:
        transport: Speaks with the server.
        artifact: What to save.
        path: Where to.
        replaces: Whether a file that is there already is replaced.

    Raises:
        FileExistsError: A file is there, and must not be replaced.
        DownloadError: Its bytes are not those that the server announced.
        UnreachableError: The connection broke.
        ApiError: The server answered with an error.
        OSError: The file can't be written.
    """
    temporary = choose_temporary_path(path)
    try:
        sha256 = _write(transport, artifact, temporary)
        _check(artifact, sha256, temporary.stat().st_size)
        if not replaces:
            # Takes the name or fails, where a look and a move would leave a gap between them.
            path.open("xb").close()
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
            f"{artifact.name} did not arrive whole: the {size_bytes:,} bytes received are not the "
            f"{artifact.size_bytes:,} that the server announced.",
            retryable=True,
        )
