"""The programs that do the work: az, terraform, packer."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from infra.deploy.errors import ToolFailedError, ToolMissingError

INSTALL = {
    "az": "see learn.microsoft.com/cli/azure/install-azure-cli, then: az login",
    "terraform": "1.11 or later, see developer.hashicorp.com/terraform/install",
    "packer": "1.7 or later, see developer.hashicorp.com/packer/install",
}
SHOWN_LINES = 15


class Tools(Protocol):
    """Runs programs."""

    def read(self, command: Sequence[str]) -> str:
        """Run a program and return what it prints.

        Raises:
            ToolMissingError: It is not installed; says where to get it.
            ToolFailedError: It ended with an error; has the last lines of it.
        """

    def show(self, command: Sequence[str]) -> None:
        """Run a program that speaks to the terminal by itself.

        Raises:
            ToolMissingError: It is not installed; says where to get it.
            ToolFailedError: It ended with an error.
        """


class ShellTools:
    """`Tools` as processes, in the root of the checkout. Secrets must not be in a command."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, command: Sequence[str]) -> str:
        """See `Tools.read`."""
        done = subprocess.run(  # noqa: S603 - no shell, and the programs are ours to name
            [_find(command[0]), *command[1:]],
            cwd=self._root,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise _failure(command, done.returncode, done.stderr or done.stdout)
        return done.stdout

    def show(self, command: Sequence[str]) -> None:
        """See `Tools.show`."""
        done = subprocess.run(  # noqa: S603 - no shell, and the programs are ours to name
            [_find(command[0]), *command[1:]], cwd=self._root, check=False
        )
        if done.returncode:
            raise _failure(command, done.returncode, "")


def _find(program: str) -> str:
    found = sys.executable if program == "python" else shutil.which(program)
    if found is None:
        hint = INSTALL.get(program, "put it on the PATH")
        raise ToolMissingError(f"{program} is not installed: {hint}.")
    return found


def _failure(command: Sequence[str], status: int, output: str) -> ToolFailedError:
    lines = output.strip().splitlines()[-SHOWN_LINES:]
    # Terraform's folder comes first and says nothing of what was done in it.
    verb = next((word for word in command[1:] if not word.startswith("-chdir")), "")
    return ToolFailedError("\n".join([f"{command[0]} {verb} ended with {status}", *lines]))
