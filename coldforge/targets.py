"""Where an artifact goes: into a file that may be new or replaced, or to stdout."""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coldforge.client import Client
from coldforge.downloads import choose_temporary_path


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A file.

    Attributes:
        path: Its path.
        replaces: Whether a file that is there already is replaced.
    """

    path: Path
    replaces: bool = False

    def __str__(self) -> str:
        return str(self.path)

    def save(self, client: Client, job_id: str, name: str) -> None:
        """Save an artifact; raises what `Client.download` raises."""
        client.download(job_id, name, self.path, replaces=self.replaces)


@dataclass(frozen=True, slots=True)
class Stdout:
    """The standard output."""

    def __str__(self) -> str:
        return "-"

    def save(self, client: Client, job_id: str, name: str) -> None:
        """Write an artifact once all of it is there; raises what `Client.download` raises."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "artifact"
            client.download(job_id, name, path)
            stdout = sys.stdout.buffer
            try:
                with path.open("rb") as file:
                    shutil.copyfileobj(file, stdout)
                stdout.flush()
            except BrokenPipeError:
                # What is left in the buffer must not fail again at the end of the program.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
                raise


Target = FileTarget | Stdout


def prepare(targets: Sequence[Target], photos: Sequence[Path]) -> None:
    """Make the folders, and check that each file can be written without losing another.

    Only the folders are left behind.

    Args:
        targets: All those of one command.
        photos: The files that it reads.

    Raises:
        OSError: One can't be written, is there already, or would be written twice.
    """
    made: list[Path] = []
    try:
        for target in targets:
            if isinstance(target, FileTarget):
                target.path.parent.mkdir(parents=True, exist_ok=True)
                made.append(_try(target, photos, made))
    finally:
        for path in made:
            path.unlink()


def _try(target: FileTarget, photos: Sequence[Path], made: Sequence[Path]) -> Path:
    """Make a file as the download will; return it."""
    path = target.path
    if target.replaces and os.path.lexists(path) and path not in made:
        _check_replaceable(path, photos)
        # The download puts its file beside the one that it replaces.
        path = choose_temporary_path(path)
    try:
        path.open("xb").close()
    except FileExistsError:
        if path in made:
            raise FileExistsError(f"{path} would be written twice") from None
        raise FileExistsError(
            f"{path} exists already: choose another file, or replace it with --force"
        ) from None
    except ValueError as error:
        raise OSError(f"{str(path)!r} is not a valid file name") from error
    return path


def _check_replaceable(path: Path, photos: Sequence[Path]) -> None:
    if any(photo.exists() and path.exists() and path.samefile(photo) for photo in photos):
        raise FileExistsError(f"{path} is the photo itself: choose another file")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is not a file: choose another one, or - for stdout")
