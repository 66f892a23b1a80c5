"""Run pip, npm and venv, and say in one sentence why one failed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class SetUpError(Exception):
    """The set-up cannot go on; the message is one sentence that says what to do."""


class TorchUnavailableError(SetUpError):
    """No index offers the CPU build of torch that the engine's lock names."""


# Sign and sentence; the first that matches wins: a full disk also breaks connections, and an
# unreachable index also ends in "no matching distribution".
_CAUSES = (
    (
        r"No space left on device|ENOSPC|Errno 28\b",
        "The disk is full: free {need_mb} MB where this checkout and the temporary files are, "
        "then run the command again.",
    ),
    (
        r"DO NOT MATCH THE HASHES|EINTEGRITY",
        "A download is not the file that the lock names: look for a proxy or mirror that alters "
        "packages; the log {log} names the file.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)|unable to get local",
        "The package index shows a certificate that this machine does not trust: name your CA "
        "bundle in PIP_CERT and NODE_EXTRA_CA_CERTS, then run the command again.",
    ),
    (
        r"Failed to establish a new connection|name resolution|Name or service not known"
        r"|nodename nor servname|NewConnectionError|ConnectTimeoutError|ReadTimeoutError"
        r"|Connection (refused|reset|aborted|broken)|ProxyError|ProtocolError"
        r"|Network is unreachable|ENOTFOUND"
        r"|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH",
        "The package index cannot be reached: check the network and any proxy settings, then run "
        "the command again (log: {log}).",
    ),
    (
        r"\(from versions: none\)|No matching distribution found|ETARGET|E404|notarget",
        "The package index does not have a version that the lock names: check which index pip and "
        "npm are set to use (log: {log}).",
    ),
    (
        r"Permission denied|EACCES|EPERM",
        "A file of this checkout cannot be written: make the folder yours (chown), then run the "
        "command again (log: {log}).",
    ),
)


def explain_failure(log_text: str, *, program: str, log: str, need_mb: int) -> str:
    """Say in one sentence why an installer failed and what to do.

    Args:
        log_text: What the installer printed.
        program: Its name, for a failure with no known cause.
        log: Where the text is kept.
        need_mb: Megabytes that the set-up takes on disk.
    """
    for sign, sentence in _CAUSES:
        if re.search(sign, log_text):
            return sentence.format(log=log, need_mb=need_mb)
    last = (log_text.strip() or "it printed nothing").splitlines()[-1].strip()
    return f"{program} failed ({last}): the whole log is in {log}."


class Installer(NamedTuple):
    """Runs one installer after another, each with a log of its own.

    Attributes:
        root: The checkout.
        logs: Folder of the logs, under `root`.
        lock_fd: Passed on to every program, so that one which outlives a killed set-up still
            keeps the next set-up waiting.
        need_mb: Megabytes that the whole set-up takes, for the message about a full disk.
    """

    root: Path
    logs: Path
    lock_fd: int
    need_mb: int

    def run(
        self, program: str, command: Sequence[str], *, folder: Path | None = None, **env: str
    ) -> None:
        """Run a program to its end; it is killed where the set-up is interrupted.

        Args:
            program: Its name, for the log and the message.
            command: What to run.
            folder: Where to run it, the root of the checkout unless told otherwise.
            env: Additions to the environment.

        Raises:
            SetUpError: It failed; the message says why, as far as its log tells.
        """
        log = self.logs / f"set-up-{program}.log"
        with log.open("wb") as sink:
            code = subprocess.run(  # noqa: S603 -- commands of our own
                command,
                cwd=folder or self.root,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=(self.lock_fd,),
                check=False,
            ).returncode
        if code:
            text = log.read_text("utf-8", errors="replace")
            where = os.path.relpath(log, self.root)
            raise SetUpError(
                explain_failure(text, program=program, log=where, need_mb=self.need_mb)
            )
