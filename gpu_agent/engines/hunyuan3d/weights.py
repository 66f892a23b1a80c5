"""Weights in a local folder, held against a manifest. Nothing is ever fetched.

``python -m gpu_agent.engines.hunyuan3d.weights write DIR`` makes the manifest when an image is
built, ``verify DIR`` reads every byte again. At start the agent looks at sizes and headers alone:
reading 20 GB would take longer than loading them.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gpu_agent.errors import EngineError

MANIFEST = "weights.json"
_FORMAT = 1
_CHUNK_BYTES = 8 * 2**20
_LONGEST_HEADER_BYTES = 100 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """What a file must be.

    Attributes:
        size_bytes: Its length.
        sha256: Hash of its content, in hexadecimal.
    """

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A folder of weights and its manifest.

    Attributes:
        folder: Holds ``OWNER/REPOSITORY/SUBFOLDER/FILE``, as published.
        files: By path within the folder, ``/`` between its parts.
        revisions: Commit of each repository, as far as it was told.
    """

    folder: Path
    files: Mapping[str, WeightFile]
    revisions: Mapping[str, str]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a folder's manifest.

        Raises:
            EngineError: There is none, or it can't be read (``weights_missing``).
        """
        path = folder / MANIFEST
        try:
            data = json.loads(path.read_text("utf-8"))
            weights = cls(
                folder=folder,
                files={name: WeightFile(**file) for name, file in data["files"].items()},
                revisions=dict(data["revisions"]),
            )
        except FileNotFoundError as error:
            raise _missing(f"{path} is missing: there are no weights, or no manifest") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _missing(f"{path} can't be read: {error}") from error
        if (found := data.get("format")) != _FORMAT:
            raise _missing(f"{path} can't be read: it is of format {found}")
        return weights

    @property
    def fingerprint(self) -> str:
        """Twelve digits that change with any byte of any file."""
        lines = "".join(f"{name} {file.sha256}\n" for name, file in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()[:12]

    def check_sizes_and_headers(self, parts: Iterable[str]) -> None:
        """Check what is needed without reading it through.

        Args:
            parts: Folders or files within `folder`, each of which the manifest must name.

        Raises:
            EngineError: A part is not in the manifest or a file is absent (``weights_missing``),
                or one has another size or a broken header (``weights_corrupt``).
        """
        for part in parts:
            names = [name for name in self.files if name == part or name.startswith(part + "/")]
            if not names:
                raise _missing(f"{part} is not among the weights in {self.folder}")
            for name in names:
                self._check_size(name)
                if name.endswith(".safetensors"):
                    _check_header(self.folder / name)

    def verify(self) -> None:
        """Read every file and compare its hash.

        Raises:
            EngineError: The first that is not as it should be, as for
                `check_sizes_and_headers`.
        """
        for name, file in self.files.items():
            self._check_size(name)
            if _hash(self.folder / name) != file.sha256:
                raise _corrupt(f"{self.folder / name} is not the file that the manifest names")

    def _check_size(self, name: str) -> None:
        path = self.folder / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise _missing(f"{path} is missing") from error
        if size != (wanted := self.files[name].size_bytes):
            raise _corrupt(f"{path} has {size} bytes instead of {wanted}")


def write_manifest(folder: Path, revisions: Mapping[str, str]) -> Weights:
    """Hash every file below a folder and write its manifest.

    Args:
        folder: As in `Weights`. Hidden files and folders, which downloaders leave, are not named.
        revisions: Commit of each repository.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder) for path in paths]
    files = {
        name.as_posix(): WeightFile(
            size_bytes=(folder / name).stat().st_size, sha256=_hash(folder / name)
        )
        for name in names
        if name.as_posix() != MANIFEST and not any(part[0] == "." for part in name.parts)
    }
    content = {
        "format": _FORMAT,
        "revisions": dict(revisions),
        "files": {
            name: {"size_bytes": file.size_bytes, "sha256": file.sha256}
            for name, file in files.items()
        },
    }
    scratch = folder / f".{MANIFEST}.new"
    scratch.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    scratch.replace(folder / MANIFEST)
    return Weights(folder=folder, files=files, revisions=dict(revisions))


def main(argv: Sequence[str] | None = None) -> int:
    """Write or verify a manifest; the answer is the exit code."""
    arguments = _parse(argv)
    try:
        if arguments.command == "write":
            weights = write_manifest(arguments.folder, dict(arguments.revision or ()))
        else:
            weights = Weights.open(arguments.folder)
            weights.verify()
    except (EngineError, OSError) as error:
        sys.stderr.write(f"weights: {error}\n")
        return 1
    size_gb = sum(file.size_bytes for file in weights.files.values()) / 1e9
    done = "written" if arguments.command == "write" else "whole"
    sys.stdout.write(
        f"{len(weights.files)} files, {size_gb:.2f} GB, {done} ({weights.fingerprint})\n"
    )
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gpu_agent.engines.hunyuan3d.weights", description=__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="hash every file and write the manifest")
    write.add_argument(
        "--revision",
        action="append",
        type=_revision,
        metavar="OWNER/REPOSITORY=COMMIT",
        help="commit that a repository's files were taken from; may be repeated",
    )
    verify = commands.add_parser("verify", help="read every file and compare it with the manifest")
    for command in (write, verify):
        command.add_argument("folder", type=Path)
    return parser.parse_args(argv)


def _revision(text: str) -> tuple[str, str]:
    repository, equals, commit = text.partition("=")
    if not equals or not repository or not commit:
        raise argparse.ArgumentTypeError(f"{text!r} is not OWNER/REPOSITORY=COMMIT")
    return repository, commit


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _check_header(path: Path) -> None:
    """Check that a safetensors file ends where its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER_BYTES):
            raise _corrupt(f"{path} has no safetensors header")
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            ends = [
                tensor["data_offsets"][1]
                for name, tensor in header.items()
                if name != "__metadata__"
            ]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise _corrupt(f"{path} has a broken safetensors header") from error
    if 8 + length + max(ends, default=0) != size:
        raise _corrupt(f"{path} does not end where its header says")


def _missing(sentence: str) -> EngineError:
    return EngineError("weights_missing", f"{sentence}.")


def _corrupt(sentence: str) -> EngineError:
    return EngineError("weights_corrupt", f"{sentence}: copy it again.")


if __name__ == "__main__":
    sys.exit(main())
