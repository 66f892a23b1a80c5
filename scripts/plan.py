"""What a checkout still lacks: read the state, decide the steps."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from scripts.interpreter import SUPPORTED

MAKE_VENV = "make the virtual environment"
INSTALL_PACKAGES = "install the packages of the lock"
INSTALL_PROJECT = "install the coldforge command"
INSTALL_NODE_PACKAGES = "install Azurite"

LOCKS = {
    "demo": "requirements/demo.txt",
    "dev": "requirements/dev.txt",
    "engine": "requirements/engine.txt",
}
"""Lock of each profile; each holds all of the one before it at the same versions."""

BARE_LOCK = "requirements/hy3dgen.txt"
"""What `engine` installs without its declared dependencies."""

PYTHONS = {"demo": SUPPORTED, "dev": SUPPORTED, "engine": ((3, 11),)}
"""Versions with wheels for every pin of the profile's lock."""

NODE_INPUTS = tuple(
    f"localcloud/azurite/{name}" for name in ("package.json", "package-lock.json", ".npmrc")
)
"""What `npm ci` reads."""

_PROJECT_TABLES = ("build-system", "project", "tool.hatch")


class Layout:
    """Where the set-up keeps things in the checkout at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.python = self.venv / "bin" / "python"
        self.stamp = self.venv / "set-up.json"
        self.unfinished = self.venv / "set-up.unfinished"
        self.azurite = root / "localcloud" / "azurite"
        self.node_stamp = self.azurite / "node_modules" / ".set-up"
        self.logs = root / ".local"


def plan_steps(
    profile: str,
    wanted: Mapping[str, str],
    done: Mapping[str, str],
    *,
    python: tuple[int, int] | None,
    insisted: tuple[int, int] | None = None,
) -> list[str]:
    """Name the steps that are left, in order; none when all is there.

    Args:
        profile: One of `LOCKS`.
        wanted: What `read_wanted` gives.
        done: What `read_done` gives.
        python: Version of the environment, or None where there is none that is whole.
        insisted: Version that the user asks for, or None for any supported one.
    """
    due = {part for part in wanted if done.get(part) != wanted[part]}
    if python not in PYTHONS[profile] or insisted not in (None, python):
        steps, due = [MAKE_VENV], due | set(wanted) - {"node"}
    else:
        steps = []
    # A lock contains those before it, so an up-to-date dev environment serves the demo too.
    names = list(LOCKS)
    if due.issuperset(names[names.index(profile) :]):
        steps.append(INSTALL_PACKAGES)
    if "project" in due:
        steps.append(INSTALL_PROJECT)
    if "node" in due:
        steps.append(INSTALL_NODE_PACKAGES)
    return steps


def read_wanted(root: Path) -> dict[str, str]:
    """Hash what each part of the set-up depends on: the profiles' locks, project and node.

    Of pyproject.toml the tables that an installation reads count; the others set up tools.
    """
    inputs = {name: (root / lock).read_bytes() for name, lock in LOCKS.items()}
    # A newer dev lock is installed at once, also while the engine's still lacks its changes.
    inputs["engine"] += (root / BARE_LOCK).read_bytes() + inputs["dev"]
    tables = re.split(r"(?m)^(?=\[)", (root / "pyproject.toml").read_text("utf-8"))
    installed = [table for table in tables if table.lstrip("[").startswith(_PROJECT_TABLES)]
    inputs["project"] = "".join(installed).encode()
    inputs["node"] = b"".join((root / name).read_bytes() for name in NODE_INPUTS)
    return {part: hashlib.sha256(content).hexdigest() for part, content in inputs.items()}


def read_done(layout: Layout) -> dict[str, str]:
    """Give the hash under which each part was last installed; a broken stamp says nothing."""
    try:
        stamp = json.loads(layout.stamp.read_text("utf-8"))
    except (OSError, ValueError):
        stamp = None
    # Azurite's stamp is gone with what it is about.
    try:
        node = layout.node_stamp.read_text("utf-8")
    except OSError:
        node = ""
    return {**(stamp if isinstance(stamp, dict) else {}), "node": node}


def write_stamp(path: Path, text: str) -> None:
    """Replace a stamp in one step, so that it is whole or absent."""
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(text, "utf-8")
    os.replace(scratch, path)


def read_python(layout: Layout) -> tuple[int, int] | None:
    """Give the version of the environment, or None where there is none that is whole."""
    pip = layout.venv.glob("lib/python*/site-packages/pip/__main__.py")
    if layout.unfinished.exists() or not layout.python.exists() or not any(pip):
        return None
    try:
        config = (layout.venv / "pyvenv.cfg").read_text("utf-8")
    except OSError:
        return None
    match = re.search(r"(?m)^version(?:_info)?\s*=\s*(\d+)\.(\d+)", config)
    return (int(match.group(1)), int(match.group(2))) if match else None
