"""Find the Python that the environment is made from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import NamedTuple

from scripts.installer import SetUpError

SUPPORTED = ((3, 11), (3, 12))
"""Versions with wheels for every pin of the locks but the engine's."""

# Debian packs venv and ensurepip apart.
_PROBE = """
import importlib.util, json, sys
print(json.dumps([
    getattr(sys, "_base_executable", None) or sys.executable,
    sys.version_info[:2],
    all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
]))
"""


class Interpreter(NamedTuple):
    """A Python on this machine.

    Attributes:
        path: Its executable, outside of any virtual environment.
        version: Major and minor number.
        has_venv: Whether it can make an environment with pip in it.
    """

    path: str
    version: tuple[int, int]
    has_venv: bool

    def __str__(self) -> str:
        """Name it for a message."""
        return f"Python {name_version(self.version)} ({self.path})"


def name_version(version: tuple[int, int]) -> str:
    """Write a version as in the name of an executable."""
    return f"{version[0]}.{version[1]}"


def probe_interpreter(command: str) -> Interpreter | None:
    """Ask a Python about itself, or give None where the command is absent or does not run."""
    path = shutil.which(command)
    if path is None:
        return None
    try:
        # A pyenv shim is on the PATH for versions that are not switched on; only a run tells.
        answer = subprocess.run(  # noqa: S603 -- the command is a Python by its name
            [path, "-c", _PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            timeout=30,
            check=True,
        ).stdout
        base, (major, minor), has_venv = json.loads(answer.decode())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(base, (major, minor), has_venv)


def choose_interpreter(
    commands: Sequence[str],
    *,
    probe: Callable[[str], Interpreter | None] = probe_interpreter,
    supported: tuple[tuple[int, int], ...] = SUPPORTED,
) -> Interpreter:
    """Give the first command's interpreter that is supported and complete.

    Raises:
        SetUpError: None is; the message is about the one that came nearest.
    """
    found = [interpreter for interpreter in map(probe, commands) if interpreter]
    near = [interpreter for interpreter in found if interpreter.version in supported]
    for interpreter in near:
        if interpreter.has_venv:
            return interpreter
    if near:
        raise SetUpError(
            f"{near[0]} cannot make virtual environments: install its venv module (on Debian and "
            f"Ubuntu: apt-get install python{name_version(near[0].version)}-venv), or name "
            "another Python with PYTHON=/path/to/python."
        )
    names = ", ".join(map(str, found)) or "none"
    raise SetUpError(
        f"Coldforge needs Python {' or '.join(map(name_version, supported))}, but found {names}: "
        "install one of them, or name one that is already there with PYTHON=/path/to/python."
    )
