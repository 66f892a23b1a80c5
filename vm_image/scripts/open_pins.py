"""Which pins are open: ``python open_pins.py VERSIONS`` fails, and names them, if any is."""

import json
import sys
from pathlib import Path
from typing import Any

OPEN = ("unpinned", "latest", "main", "master", "")


def find_open(value: Any, path: str = "") -> list[str]:
    """Give the paths of every open pin, in the order of the file."""
    if isinstance(value, dict):
        return [one for key, inner in value.items() for one in find_open(inner, f"{path}/{key}")]
    return [path.lstrip("/")] if value in OPEN else []


if __name__ == "__main__":
    found = find_open(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    if found:
        sys.exit(f"open pins: {', '.join(found)}. vm_image/README.md says how to find each.")
