"""Find the Python that the environment is made from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from scripts.errors import SetUpError

SUPPORTED = ((3, 11), (3, 12))
"""Versions with wheels for every pin of the locks but the engine's."""

_PROBE = """
import importlib.util, json, sys
names = ("venv", "ensurepip")
print(json.dumps({
    "path": getattr(sys, "_base_executable", None) or sys.executable,
    "version": list(sys.version_info[:2]),
    "has_venv": all(importlib.util.find_spec(name) for name in names),
}))
"""


class Interpreter(NamedTuple):
    """A Python on this machine.

    Attributes:
        path: Its executable, outside of any virtual environment.
        version: Major and minor number.
        has_venv: Whether it can make an environment with pip in it. Debian packs that apart.
    """

    path: str
    version: tuple[int, int]
    has_venv: bool

    def __str__(self) -> str:
        """Name it for a message."""
        return f"Python {self.version[0]}.{self.version[1]} ({self.path})"


def find_interpreter(
    *, only_this: bool, supported: tuple[tuple[int, int], ...] = SUPPORTED
) -> Interpreter:
    """Find a Python that can carry the environment: this one, or another on the PATH.

    Args:
        only_this: Look no further than the running Python, because the user named it.
        supported: Versions that will do, the oldest first.

    Raises:
        SetUpError: There is none; the message says what to install.
    """
    others = (
        () if only_this else [f"python{major}.{minor}" for major, minor in reversed(supported)]
    )
    return choose_interpreter(
        [sys.executable, *others], probe=probe_interpreter, supported=supported
    )


def choose_interpreter(
    commands: Sequence[str],
    *,
    probe: Callable[[str], Interpreter | None],
    supported: tuple[tuple[int, int], ...] = SUPPORTED,
) -> Interpreter:
    """Give the first command's interpreter that is supported and complete.

    Raises:
        SetUpError: None is; the message is about the one that came nearest.
    """
    found = []
    for command in commands:
        interpreter = probe(command)
        if interpreter is None:
            continue
        if interpreter.version in supported and interpreter.has_venv:
            return interpreter
        found.append(interpreter)
    raise SetUpError(_explain(found, supported))


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
        facts = json.loads(answer.decode())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    major, minor = facts["version"]
    return Interpreter(facts["path"], (major, minor), facts["has_venv"])


def _explain(found: Iterable[Interpreter], supported: tuple[tuple[int, int], ...]) -> str:
    for interpreter in found:
        if interpreter.version in supported:
            version = f"{interpreter.version[0]}.{interpreter.version[1]}"
            return (
                f"{interpreter} cannot make virtual environments: install its venv module "
                f"(on Debian and Ubuntu: apt-get install python{version}-venv), or name another "
                "Python with PYTHON=/path/to/python."
            )
    names = ", ".join(str(interpreter) for interpreter in found) or "none"
    needs = " or ".join(f"{major}.{minor}" for major, minor in supported)
    return (
        f"Coldforge needs Python {needs}, but found {names}: install one of them, or name "
        "one that is already there with PYTHON=/path/to/python."
    )
