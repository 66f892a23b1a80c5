"""What the function app's package holds: all that .funcignore leaves."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import pathspec

# The same files give the same package, whenever and wherever it is made.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


def choose_files(paths: Iterable[str], funcignore: str) -> list[str]:
    """Return those paths that belong into the package, sorted.

    Args:
        paths: Of the files that git tracks, relative to the root: what is not committed anywhere
            is not deployed by mistake.
        funcignore: Text of .funcignore.
    """
    ignored = pathspec.GitIgnoreSpec.from_lines(funcignore.splitlines())
    return sorted(path for path in paths if not ignored.match_file(path))


def write_package(root: Path, paths: Iterable[str], target: Path) -> None:
    """Write the package; a reader sees the old one or the new one.

    Args:
        root: Of the checkout.
        paths: Files of the package, relative to it.
        target: The zip file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as package:
        for path in paths:
            entry = zipfile.ZipInfo(path, _MOMENT)
            entry.external_attr = _MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(entry, (root / path).read_bytes())
    unfinished.replace(target)
