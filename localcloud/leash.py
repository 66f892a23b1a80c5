"""Ends processes whose owner is gone, however it went.

Every process that the local cloud starts carries a tag in its environment, and so does everything
that it starts in turn, whatever session or group that moves to. Beside the owner runs one small
watchdog, which reads a pipe that only the owner holds open: when the owner ends, be it by
``kill -9``, the pipe closes and the watchdog ends everything that carries the tag.

As a program, ``python -m localcloud.leash TAG`` is that watchdog. With ``--heir LOCK`` it waits
``--after-s`` seconds and does nothing if another owner holds the lock by then.
"""

import argparse
import fcntl
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

VARIABLE = "LOCALCLOUD_LEASH"
"""The environment variable that holds the tags, separated by spaces."""

_SWEEPS = 20
_POLL_S = 0.02


def new_tag() -> str:
    """Draw a tag that no other process carries."""
    return secrets.token_hex(12)


def tagged(environ: Mapping[str, str], tag: str) -> dict[str, str]:
    """Return an environment with one more tag."""
    tags = [*environ.get(VARIABLE, "").split(), tag]
    return {**environ, VARIABLE: " ".join(tags)}


def find_tagged(tag: str) -> list[psutil.Process]:
    """List the living processes that carry a tag, this one excepted."""
    found = []
    for process in psutil.process_iter():
        try:
            if tag in process.environ().get(VARIABLE, "").split() and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_tagged(tag: str, *, grace_s: float) -> None:
    """End every process that carries a tag, and wait until they are gone.

    Args:
        tag: Whose processes.
        grace_s: Time between SIGTERM and SIGKILL, in seconds; 0 kills at once.
    """
    if grace_s > 0:
        processes = find_tagged(tag)
        for process in processes:
            _signal(process, signal.SIGTERM)
        _wait_until_gone(processes, grace_s)
    for _ in range(_SWEEPS):
        # Again and again, because one that is being killed may just have started another.
        processes = find_tagged(tag)
        if not processes:
            return
        for process in processes:
            _signal(process, signal.SIGKILL)
        _wait_until_gone(processes, 0.5)


def _wait_until_gone(processes: list[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(is_alive(process) for process in processes):
        time.sleep(_POLL_S)


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process lives; one that is dead and only not yet waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return


class Watchdog:
    """The process that outlives its owner to end what the owner started.

    Closing it in an orderly way ends what still carries the tag as well, and waits for that.
    """

    def __init__(
        self, tag: str, *, grace_s: float = 2.0, heir: tuple[Path, float] | None = None
    ) -> None:
        """Start the watchdog.

        Args:
            tag: What it ends.
            grace_s: Time between SIGTERM and SIGKILL, in seconds.
            heir: A lock file, and the seconds after which the tagged processes are spared if
                somebody holds the lock. None: they are ended at once.
        """
        command = [sys.executable, "-m", "localcloud.leash", tag, "--grace-s", str(grace_s)]
        if heir:
            command += ["--heir", str(heir[0]), "--after-s", str(heir[1])]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            # It must not hold the owner's output open for those who read it to its end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A session of its own: Ctrl-C and a closed terminal must not reach it.
            start_new_session=True,
        )

    def close(self, *, timeout_s: float = 30.0) -> None:
        """Let go of the pipe and wait until everything with the tag has ended."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.dismiss()

    def dismiss(self) -> None:
        """End the watchdog without ending anything else."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Lock:
    """An exclusive lock on a file, freed by the system when its holder ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def take(self) -> bool:
        """Take the lock if nobody else holds it, without waiting."""
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def free(self) -> None:
        """Give the lock back."""
        if self._file:
            self._file.close()
            self._file = None


def main(arguments: list[str] | None = None) -> None:
    """Wait for the end of standard input, then end what carries the tag."""
    parser = argparse.ArgumentParser(prog="python -m localcloud.leash", description=__doc__)
    parser.add_argument("tag")
    parser.add_argument("--grace-s", type=float, default=2.0)
    parser.add_argument("--heir", type=Path)
    parser.add_argument("--after-s", type=float, default=0.0)
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGHUP):
        # What a terminal sends to everybody is for the owner to act upon.
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    if options.heir:
        time.sleep(options.after_s)
        lock = Lock(options.heir)
        if options.heir.exists() and not lock.take():
            return
    end_tagged(options.tag, grace_s=options.grace_s)


if __name__ == "__main__":
    main()
