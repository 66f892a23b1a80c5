"""What the depot has done, as lines in a folder: effects that outlive any process."""

import os
from pathlib import Path

FOLDER = Path(os.environ["DEPOT_FOLDER"])


def write(name: str, line: str) -> None:
    """Append a line to a page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / name).open("a") as page:
        page.write(f"{line}\n")


def read(name: str) -> list[str]:
    """Give the lines of a page; none if there is no such page."""
    page = FOLDER / name
    return page.read_text().splitlines() if page.exists() else []
