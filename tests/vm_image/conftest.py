"""Tools that read what is not Python; an absent one is named, and fails in CI."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 600.0

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
def _system(run: Run, tmp_path: Path, image: Path) -> Path:
    """A system on which the image's own script has installed the units, as version 1.2.3."""
    for tool in ("systemd-analyze", "systemd-sysusers", "cloud-init"):
        require(tool)
    system = tmp_path / "system"
    places = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
    own = next(folder for folder in places if folder.is_dir())
    shutil.copytree(own, system / "usr/lib/systemd/system", symlinks=True)
    for name, content in {
        "opt/coldforge/venv/bin/python": "#!/bin/sh\n",
        "usr/bin/nvidia-modprobe": "#!/bin/sh\n",
        "usr/bin/nvidia-persistenced": "#!/bin/sh\n",
        # As Ubuntu's package has it: nothing to enable.
        "usr/lib/systemd/system/nvidia-persistenced.service": (
            "[Service]\nType=forking\nExecStart=/usr/bin/nvidia-persistenced\n"
        ),
    }.items():
        path = system / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755 if content.startswith("#!") else 0o644)
    done = run("bash", image / "scripts/install-units.sh", image / "root", "1.2.3", system)
    assert done.returncode == 0, done.stdout
    return system


def require(tool: str) -> None:
    """Skip where a tool is absent, and say which; CI has all of them."""
    if shutil.which(tool) is not None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{tool} is not installed: .ci/run has to install it")
    pytest.skip(f"{tool} is not installed (Debian has a package of it)")
