"""Run pip, npm and venv: quiet, logged, and ended together with the set-up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from scripts.errors import SetUpError, explain_failure


class Installer:
    """Runs one installer after another, each with a log of its own.

    Attributes:
        logs: Folder of the logs, under `root`.
        lock_fd: Passed on to every program, so that one which outlives a killed set-up still
            keeps the next set-up waiting.
        need_mb: Megabytes that the whole set-up takes, for the message about a full disk.
    """

    def __init__(self, root: Path, *, logs: Path, lock_fd: int, need_mb: int) -> None:
        self.root = root
        self.logs = logs
        self.lock_fd = lock_fd
        self.need_mb = need_mb

    def run(
        self,
        program: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
        count: tuple[str, int] | None = None,
    ) -> None:
        """Run a program to its end.

        Args:
            program: Its name, for the log and the message.
            command: What to run.
            env: Additions to the environment.
            folder: Where to run it, the root of the checkout unless told otherwise.
            count: Beginning of a line of output that means one more item is under way, and how
                many there will be; shown as a counter on a terminal.

        Raises:
            SetUpError: It failed; the message says why, as far as its log tells.
        """
        log = self.logs / f"set-up-{program}.log"
        with log.open("wb") as sink:
            code = self._run_into(
                sink, command, env=env or {}, folder=folder or self.root, count=count
            )
        if code:
            text = log.read_text("utf-8", errors="replace")
            where = os.path.relpath(log, self.root)
            raise SetUpError(
                explain_failure(text, program=program, log=where, need_mb=self.need_mb)
            )

    def _run_into(
        self,
        sink: IO[bytes],
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path,
        count: tuple[str, int] | None,
    ) -> int:
        with subprocess.Popen(  # noqa: S603 -- commands of our own
            command,
            cwd=folder,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(self.lock_fd,),
        ) as child:
            try:
                _follow(child.stdout or (), sink, count=count)
            except BaseException:
                child.terminate()
                child.wait()
                raise
        return child.returncode


def _follow(lines: Iterable[bytes], sink: IO[bytes], *, count: tuple[str, int] | None) -> None:
    seen = 0
    for line in lines:
        sink.write(line)
        if count and sys.stderr.isatty() and line.startswith(count[0].encode()):
            seen += 1
            sys.stderr.write(f"\r  {seen} of {count[1]} ")
            sys.stderr.flush()
    if seen:
        sys.stderr.write("\r              \r")
