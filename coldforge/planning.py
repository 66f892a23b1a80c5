"""Decides from a command line what is sent and where results go."""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from coldforge.wording import make_readable


def is_url(photo: str) -> bool:
    """Tell whether a photo is named by its URL."""
    return photo.lower().startswith(("http://", "https://"))


def choose_labels(photos: Sequence[str]) -> list[str]:
    """Return a short name for each photo, none twice."""
    labels: list[str] = []
    for photo in photos:
        wanted = make_readable(_file_name(photo))
        label, number = wanted, 2
        while label in labels:
            label, number = f"{wanted} ({number})", number + 1
        labels.append(label)
    return labels


def choose_paths(photos: Sequence[str], output: Path | None, *, suffix: str) -> list[Path]:
    """Return where each photo's result is saved.

    Args:
        photos: Paths or URLs.
        output: A file for one photo, a folder for any number; by default the current folder.
        suffix: Of the results, such as ``.glb``.

    Raises:
        ValueError: There are several photos and `output` is a file.
    """
    is_file = output is not None and not output.is_dir() and output.suffix != ""
    if output is not None and is_file:
        if len(photos) > 1:
            raise ValueError(
                f"{output} is one file, but there are {len(photos)} photos: name a folder"
            )
        return [output]
    folder = output or Path()
    taken: set[str] = set()
    paths = []
    for photo in photos:
        stem = Path(_file_name(photo)).stem
        path, number = folder / f"{stem}{suffix}", 2
        while _fold(path) in taken:
            path, number = folder / f"{stem}-{number}{suffix}", number + 1
        taken.add(_fold(path))
        paths.append(path)
    return paths


def parse_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value that is JSON counts as such, any other as text.

    Raises:
        ValueError: One has no ``=``.
    """
    parsed: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"{pair!r} must be written name=value")
        try:
            parsed[name] = json.loads(text)
        except ValueError:
            parsed[name] = text
    return parsed


def _fold(path: Path) -> str:
    """Return what is equal where some file system takes two names for one."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _file_name(photo: str) -> str:
    if is_url(photo):
        return PurePosixPath(unquote(urlsplit(photo).path)).name or "photo"
    return "photo" if photo == "-" else Path(photo).name
