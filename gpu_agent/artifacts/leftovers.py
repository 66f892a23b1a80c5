"""Files that an agent which was killed, or its job store, left behind: what may go, and its going.

Nothing of a job under way is among them: an engine keeps those in its own folder.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

_LEAST_AGE_S = 600.0
"""Younger than this, a file may be on its way to its final name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file that nobody needs any more.

    Attributes:
        changed_at: Seconds since 1970.
    """

    path: Path
    changed_at: float
    size_bytes: int


def choose_leftovers(
    found: Sequence[Leftover], *, now: float, max_age_s: float, missing_bytes: int
) -> list[Leftover]:
    """Choose what to remove: all that is old, and of the rest the oldest until there is space.

    Args:
        found: In any order.
        now: Seconds since 1970.
        max_age_s: What is older goes in any case.
        missing_bytes: So much more space is needed; 0 or less for none.
    """
    chosen = []
    for one in sorted(found, key=lambda leftover: leftover.changed_at):
        age_s = now - one.changed_at
        if age_s < _LEAST_AGE_S or (age_s <= max_age_s and missing_bytes <= 0):
            continue
        chosen.append(one)
        missing_bytes -= one.size_bytes
    return chosen


def find_leftovers(data_dir: Path, store_dir: Path | None) -> list[Leftover]:
    """Find set-aside job stores, and parts of files in a folder that stands for the store."""
    paths = list(data_dir.glob("ledger.sqlite3.damaged-*"))
    if store_dir is not None:
        paths += (store_dir / ".parts").glob("*")
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        found.append(Leftover(path=path, changed_at=status.st_mtime, size_bytes=status.st_size))
    return found


def remove_leftovers(
    found: Sequence[Leftover], *, max_age_s: float, least_free_bytes: int, now: float
) -> None:
    """Remove what `choose_leftovers` chooses; what can't be removed is left for the next time."""
    if not found:
        return
    try:
        free_bytes = shutil.disk_usage(found[0].path.parent).free
    except OSError as error:
        # A folder that went with its disk, or was just removed: look again next time.
        logger.warning("the free space could not be read: %s", error)
        return
    chosen = choose_leftovers(
        found, now=now, max_age_s=max_age_s, missing_bytes=least_free_bytes - free_bytes
    )
    for one in chosen:
        try:
            one.path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s could not be removed: %s", one.path, error)
        else:
            logger.info("left behind and removed: %s", one.path)
