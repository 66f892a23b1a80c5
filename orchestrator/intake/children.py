"""One decoding process as its parent sees it: started, spoken to, watched, ended."""

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from orchestrator.intake.frames import receive, send

START_S = 60.0
"""For a process to start, on a machine that is busy with something else."""

_ROOT = Path(__file__).parents[2]
_GONE_S = 5.0
_WATCH_S = 0.05
"""How often the time and memory of a process at work are looked at, in seconds."""
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL")
_ALLOCATOR = {
    # glibc keeps one heap and gives large blocks back at once, so that an idle process is small.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


class KillReason(StrEnum):
    """Why a process did not outlive its order."""

    CPU = "cpu"
    MEMORY = "memory"
    TIME = "time"
    CRASH = "crash"


class OverrunError(Exception):
    """The process went beyond a limit that its parent watches."""

    def __init__(self, reason: KillReason) -> None:
        super().__init__(reason)
        self.reason = reason


class Child:
    """A process and the pipe to it. Used by one thread at a time.

    Raises:
        EOFError: From `say` and `hear`: the process has ended.
        OSError: Likewise, or it stopped reading or writing in the middle of a message.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], connection: Connection, clock: Callable[[], float]
    ) -> None:
        self._process = process
        self._connection = connection
        self._clock = clock
        self._watched = psutil.Process(process.pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def resident_bytes(self) -> int:
        """Give its resident memory; 0 once it is gone."""
        try:
            return int(self._watched.memory_info().rss)
        except psutil.Error:
            return 0

    def say(self, head: dict[str, Any], *blobs: bytes) -> None:
        """Send it a message."""
        send(self._connection, head, *blobs)

    def hear(
        self, *, until: float, max_resident_bytes: int, max_bytes: int
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Wait for its answer.

        Args:
            until: When its time is over, by the clock.
            max_resident_bytes: What it may have in memory meanwhile.
            max_bytes: Of the answer's blobs together.

        Raises:
            OverrunError: It took too long, or too much.
        """
        while not self._connection.poll(_WATCH_S):
            if self._clock() > until:
                raise OverrunError(KillReason.TIME)
            if self.resident_bytes() > max_resident_bytes:
                raise OverrunError(KillReason.MEMORY)
        return receive(self._connection, max_bytes=max_bytes)

    def end(self, *, is_gone: bool = False) -> KillReason:
        """Kill it, if it lives, and tell what ended it.

        Args:
            is_gone: Whether its end of the pipe was closed, so that it must be ending by itself.
        """
        # The pipe of a process that ends is closed a moment before its status is known.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GONE_S if is_gone else 0)
        status = self._process.poll()
        self._process.kill()
        self._process.wait()
        self._connection.close()
        # SIGKILL that is not ours comes from the kernel, for lack of memory.
        reasons = {-signal.SIGXCPU: KillReason.CPU, -signal.SIGKILL: KillReason.MEMORY}
        return KillReason.CRASH if status is None else reasons.get(status, KillReason.CRASH)


def start_child(clock: Callable[[], float]) -> Child:
    """Start a process that can import what the app can, and knows none of its settings.

    Not by `multiprocessing`, which would import the main module once more: in Azure that is the
    Functions worker.

    Raises:
        OSError: There is no memory or no process left.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        # Neither side may be held for good by one that stopped in the middle of a message.
        time_limit = struct.pack("ll", int(START_S), 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, time_limit)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time_limit)
        connection = Connection(ours.detach())
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        paths = [str(_ROOT), *(path for path in sys.path if path)]
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module, nothing of a caller's
                [sys.executable, "-m", "orchestrator.intake.child", str(theirs.fileno())],
                cwd=_ROOT,
                env={**environ, **_ALLOCATOR, "PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except BaseException:
            connection.close()
            raise
    return Child(process, connection, clock)
