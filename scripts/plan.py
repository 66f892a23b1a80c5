"""What a checkout still lacks: read the state, decide the steps."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from scripts.interpreter import SUPPORTED

MAKE_VENV = "make the virtual environment"
INSTALL_PACKAGES = "install the packages of the lock"
INSTALL_PROJECT = "install the coldforge command"
INSTALL_PEER = "install what the peer of a benchmark needs"
INSTALL_NODE_PACKAGES = "install Azurite"

LOCKS = {
    "demo": "requirements/demo.txt",
    "dev": "requirements/dev.txt",
    "engine": "requirements/engine.txt",
}
"""Lock of each profile; each holds all of the one before it at the same versions."""

BARE_LOCK = "requirements/hy3dgen.txt"
"""What `engine` installs without its declared dependencies."""

PEER_LOCK = "requirements/bench.txt"
"""What `bench` installs on top of `engine`."""

PYTHONS = {"demo": SUPPORTED, "dev": SUPPORTED, "engine": ((3, 11),)}
"""Versions with wheels for every pin of the profile's lock."""

_SERVING = {"demo": ("demo", "dev", "engine"), "dev": ("dev", "engine"), "engine": ("engine",)}

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


class Wanted(NamedTuple):
    """What the checkout's files ask for.

    Attributes:
        locks: Hash of each profile's lock.
        project: Hash of the part of pyproject.toml that an installation depends on.
        node: Hash of what `npm ci` reads.
        peer: Hash of the lock of a benchmark's peer.
        python: Version that the user insists on, or None for any supported one.
    """

    locks: dict[str, str]
    project: str
    node: str
    peer: str = ""
    python: tuple[int, int] | None = None


class Found(NamedTuple):
    """What earlier runs have left.

    Attributes:
        python: Version of the environment, or None where there is none that is whole.
        locks: Hash of the lock that was last installed, by profile.
        project: Hash under which the coldforge command was installed.
        node: Hash under which `npm ci` last ended well.
        peer: Hash of the lock of a benchmark's peer that was last installed.
    """

    python: tuple[int, int] | None
    locks: dict[str, str]
    project: str | None
    node: str | None
    peer: str | None = None


def plan_steps(profile: str, wanted: Wanted, found: Found) -> list[str]:
    """Name the steps that are left, in order; none when all is there."""
    if profile == "bench":
        steps = plan_steps("engine", wanted, found)
        is_current = MAKE_VENV not in steps and found.peer == wanted.peer
        return steps if is_current else [*steps, INSTALL_PEER]
    fresh = found.python not in PYTHONS[profile] or wanted.python not in (None, found.python)
    # A lock contains those before it, so an up-to-date dev environment serves the demo too.
    current = any(found.locks.get(name) == wanted.locks[name] for name in _SERVING[profile])
    steps = [MAKE_VENV] if fresh else []
    if fresh or not current:
        steps.append(INSTALL_PACKAGES)
    if fresh or found.project != wanted.project:
        steps.append(INSTALL_PROJECT)
    if found.node != wanted.node:
        steps.append(INSTALL_NODE_PACKAGES)
    return steps


def read_wanted(root: Path, *, python: tuple[int, int] | None) -> Wanted:
    """Hash what the set-up depends on."""
    locks = {profile: (root / lock).read_bytes() for profile, lock in LOCKS.items()}
    # A newer dev lock is installed at once, also while the engine's still lacks its changes.
    locks["engine"] += (root / BARE_LOCK).read_bytes() + locks["dev"]
    return Wanted(
        locks={profile: _digest(content) for profile, content in locks.items()},
        project=_digest(_installed_part((root / "pyproject.toml").read_text("utf-8")).encode()),
        node=_digest(b"".join((root / name).read_bytes() for name in NODE_INPUTS)),
        peer=_digest((root / PEER_LOCK).read_bytes()),
        python=python,
    )


def read_found(layout: Layout) -> Found:
    """Read the stamps. An environment that was left unfinished counts as none."""
    stamp = read_stamp(layout.stamp)
    whole = layout.python.exists() and not layout.unfinished.exists() and _has_pip(layout.venv)
    try:
        node = layout.node_stamp.read_text("utf-8")
    except OSError:
        node = None
    return Found(
        python=_venv_version(layout.venv) if whole else None,
        locks=stamp.get("locks", {}),
        project=stamp.get("project"),
        peer=stamp.get("peer"),
        node=node,
    )


def read_stamp(path: Path) -> dict[str, Any]:
    """Read a stamp; one that is absent or broken says nothing."""
    try:
        stamp = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(path: Path, text: str) -> None:
    """Replace a stamp in one step, so that it is whole or absent."""
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(text, "utf-8")
    os.replace(scratch, path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _installed_part(pyproject: str) -> str:
    """Keep the tables that an installation reads: the others are settings of tools."""
    tables = re.split(r"(?m)^(?=\[)", pyproject)
    return "".join(table for table in tables if table.lstrip("[").startswith(_PROJECT_TABLES))


def _has_pip(venv: Path) -> bool:
    return any(venv.glob("lib/python*/site-packages/pip/__main__.py"))


def _venv_version(venv: Path) -> tuple[int, int] | None:
    try:
        config = (venv / "pyvenv.cfg").read_text("utf-8")
    except OSError:
        return None
    match = re.search(r"(?m)^version(?:_info)?\s*=\s*(\d+)\.(\d+)", config)
    return (int(match.group(1)), int(match.group(2))) if match else None
