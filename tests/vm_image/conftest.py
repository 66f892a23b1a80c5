"""Tools that read what is not Python; an absent one is named, and fails in CI."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 240.0

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(name="image")
def _image() -> Path:
    """The folder of the image."""
    return ROOT / "vm_image"


@pytest.fixture(name="run")
def _run() -> Run:
    """Run a tool; give what it said, both streams together."""

    def run(*command: str | Path, **more) -> "subprocess.CompletedProcess[str]":
        require(str(command[0]))
        return subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
            **more,
        )

    return run


@pytest.fixture(name="system")
def _system(tmp_path: Path, image: Path) -> Path:
    """A file system for `systemd-analyze`: systemd's own units, ours, and what they run."""
    require("systemd-analyze")
    root = tmp_path / "system"
    places = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
    own = next(folder for folder in places if folder.is_dir())
    shutil.copytree(own, root / "usr/lib/systemd/system", symlinks=True)
    shutil.copytree(image / "root", root, dirs_exist_ok=True)
    for name in (
        "opt/coldforge/venv/bin/python",
        "usr/bin/nvidia-modprobe",
        "usr/bin/nvidia-persistenced",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return root


def require(tool: str) -> None:
    """Skip where a tool is absent, and say which; CI has all of them."""
    if shutil.which(tool) is not None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{tool} is not installed: .ci/run has to install it")
    pytest.skip(f"{tool} is not installed (Debian has a package of it)")
