"""What an image holds, as JSON: ``python software_manifest.py HOME VERSIONS IMAGE_VERSION``."""

import json
import platform
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any


def main(home: Path, versions: Path, image_version: str) -> dict[str, Any]:
    """Look at everything that decides what the image does."""
    packages = read_lines("dpkg-query", "--showformat", "${Package} ${Version}\n", "--show")
    return {
        "image_version": image_version,
        "pins": json.loads(versions.read_text("utf-8")),
        "kernel": platform.release(),
        "nvidia_driver": read_lines("modinfo", "-F", "version", "nvidia")[0],
        "python": platform.python_version(),
        "python_packages": {one.metadata["Name"]: one.version for one in distributions()},
        "ubuntu_packages": dict(line.split(" ", 1) for line in packages),
        "weights": json.loads((home / "weights" / "weights.json").read_text("utf-8")),
    }


def read_lines(*command: str) -> list[str]:
    """Give what a program writes; fails with it."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


if __name__ == "__main__":
    found = main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    json.dump(found, sys.stdout, indent=1, sort_keys=True)
