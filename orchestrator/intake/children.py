"""Decoding processes as their parent sees them: started, forked, spoken to, watched, ended.

A template process is started by `subprocess`; it decodes a picture of ours and never reads a
stranger's byte. For each order it forks a child, which gets a socket of its own and ends with the
order, so that whatever a file does to its child can't reach the next stranger's. The child is
forked ahead of its order, so that nobody waits for that.
"""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from orchestrator.intake.frames import encode, receive

START_S = 60.0
"""For a process to start, on a machine that is busy with something else."""
PROGRAM = ("-m", "orchestrator.intake.child")

_ROOT = Path(__file__).parents[2]
_GONE_S = 5.0
"""For a child to end by itself once its socket is closed."""
_WATCH_S = 0.05
"""How often the time and memory of a child at work are looked at, in seconds."""
_PIECE_BYTES = 1024 * 1024
_NUMBER = struct.Struct(">i")
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL")
_ALLOCATOR = {
    # glibc keeps one heap and gives large blocks back at once, so that a process stays small.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}

Watch = Callable[[], None]


class KillReason(StrEnum):
    """Why a child did not finish its order."""

    CPU = "cpu"
    MEMORY = "memory"
    TIME = "time"
    CRASH = "crash"


class OverrunError(Exception):
    """The child went beyond a limit that its parent watches."""

    def __init__(self, reason: KillReason) -> None:
        super().__init__(reason)
        self.reason = reason


class DroppedError(Exception):
    """Nobody waits for the answer any more."""


class _Pipe:
    """A socket. The watch is asked again and again while it is read or written, and may raise.

    Raises:
        EOFError: From `read`: the other side is gone.
        OSError: Likewise.
    """

    def __init__(self, side: socket.socket) -> None:
        side.setblocking(False)
        self._side = side

    def read(self, size: int, watch: Watch) -> bytes:
        """Read exactly so many bytes."""
        data = bytearray()
        while len(data) < size:
            self._wait(select.POLLIN, watch)
            with suppress(BlockingIOError):
                piece = self._side.recv(min(size - len(data), _PIECE_BYTES))
                if not piece:
                    raise EOFError
                data += piece
        return bytes(data)

    def write(self, data: bytes, watch: Watch) -> None:
        """Write all of it."""
        left = memoryview(data)
        while left:
            self._wait(select.POLLOUT, watch)
            with suppress(BlockingIOError):
                left = left[self._side.send(left) :]

    def has_input(self) -> bool:
        """Tell whether there is something to read, or the other side is gone."""
        poll = select.poll()
        poll.register(self._side, select.POLLIN)
        return bool(poll.poll(0))

    def hand_over(self, other: socket.socket) -> None:
        """Send a byte, and the other socket with it."""
        socket.send_fds(self._side, [b"f"], [other.fileno()])

    def close(self) -> None:
        self._side.close()

    def _wait(self, event: int, watch: Watch) -> None:
        # Asked before each piece: one that drips is always ready.
        watch()
        poll = select.poll()
        poll.register(self._side, event)
        while not poll.poll(_WATCH_S * 1000):
            watch()


class Child:
    """A process for one order. Used by one thread at a time.

    Attributes:
        pid: Its process id.
        template: The process that it was forked from.
        until: When its time is over, by the clock.
        max_resident_bytes: What it may have in memory.
    """

    def __init__(
        self,
        template: "Template",
        pid: int,
        pipe: _Pipe,
        *,
        clock: Callable[[], float],
        is_dropped: Callable[[], bool],
    ) -> None:
        self.pid = pid
        self.template = template
        self.until = 0.0
        self.max_resident_bytes = 0
        self._pipe = pipe
        self._clock = clock
        self._is_dropped = is_dropped
        self._watched: psutil.Process | None = None
        with suppress(psutil.Error):
            self._watched = psutil.Process(pid)

    def resident_bytes(self) -> int:
        """Give its resident memory; 0 once it is gone."""
        try:
            return int(self._watched.memory_info().rss) if self._watched else 0
        except psutil.Error:
            return 0

    def say(self, head: dict[str, Any], *blobs: bytes) -> None:
        """Send it a message.

        Raises:
            OverrunError: It went beyond its limits before it had read all.
            DroppedError: Nobody waits any more.
            OSError: It has ended.
        """
        for piece in encode(head, *blobs):
            self._pipe.write(piece, self._watch)

    def hear(self, *, max_bytes: int) -> tuple[dict[str, Any], list[bytes]]:
        """Wait for its answer, the whole of it.

        Args:
            max_bytes: Of the answer's blobs together.

        Raises:
            OverrunError: It went beyond its limits before the last byte was there.
            DroppedError: Nobody waits any more.
            EOFError: It has ended.
            OSError: Likewise.
            ValueError: What came is not a message.
        """
        return receive(lambda size: self._pipe.read(size, self._watch), max_bytes=max_bytes)

    def finish(self) -> int | None:
        """Hang up and let it end by itself.

        Returns:
            Its exit code, below 0 the signal that ended it. None if it goes on, or its template
            is gone: `end` it.
        """
        self._pipe.close()
        return self.template.reap()

    def end(self) -> None:
        """Kill it together with its template."""
        self._pipe.close()
        self.template.end()

    def _watch(self) -> None:
        if self._is_dropped():
            raise DroppedError
        if self._clock() > self.until:
            raise OverrunError(KillReason.TIME)
        if self.resident_bytes() > self.max_resident_bytes:
            raise OverrunError(KillReason.MEMORY)


class Template:
    """A process that forks a child for each order. Used by one thread at a time.

    Raises:
        OverrunError: From `wait_until_ready` and `fork`: it does not answer.
        EOFError: Likewise: it has ended.
        OSError: Likewise.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], control: socket.socket, clock: Callable[[], float]
    ) -> None:
        self._process = process
        self._control = _Pipe(control)
        self._clock = clock
        self._next: _Pipe | None = None

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    def wait_until_ready(self, is_dropped: Callable[[], bool]) -> bool:
        """Wait until it has decoded a picture of ours, and tell whether its children are sealed.

        Args:
            is_dropped: Tells whether nobody waits for that any more; `DroppedError` then.
        """
        in_time = self._within(START_S)

        def watch() -> None:
            if is_dropped():
                raise DroppedError
            in_time()

        return self._control.read(1, watch) != b"\0"

    def prepare(self) -> None:
        """Have it fork the child of the next order, without waiting for that."""
        if self._next is None:
            ours, theirs = socket.socketpair()
            self._next = _Pipe(ours)
            with theirs:
                self._control.hand_over(theirs)

    def fork(self, is_dropped: Callable[[], bool]) -> Child:
        """Give the child that it was told to prepare, or a new one.

        Args:
            is_dropped: Tells whether the child's answer is no longer waited for.
        """
        self.prepare()
        pid = self._read_number(START_S)
        if self._next is None or self._next.has_input():
            # A child says nothing before its order: this one has ended while it waited.
            raise EOFError
        pipe, self._next = self._next, None
        return Child(self, pid, pipe, clock=self._clock, is_dropped=is_dropped)

    def reap(self) -> int | None:
        """Give the exit code of its child once that has ended, None if that takes too long."""
        try:
            return self._read_number(_GONE_S)
        except (OverrunError, EOFError, OSError):
            return None

    def end(self) -> None:
        """Kill it, with its child and what that may have forked."""
        # Its number names its group, and nobody else's, until it was waited for.
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._control.close()
        if self._next is not None:
            self._next.close()

    def _read_number(self, within_s: float) -> int:
        number: int
        (number,) = _NUMBER.unpack(self._control.read(_NUMBER.size, self._within(within_s)))
        return number

    def _within(self, seconds: float) -> Watch:
        until = self._clock() + seconds

        def watch() -> None:
            if self._clock() > until:
                raise OverrunError(KillReason.TIME)

        return watch


def start_template(clock: Callable[[], float], program: tuple[str, ...] = PROGRAM) -> Template:
    """Start a process that can import what the app can, and knows none of its settings.

    Not by `multiprocessing`, which would import the main module once more: in Azure that is the
    Functions worker.

    Args:
        clock: Gives seconds that only go forward.
        program: Arguments of the interpreter.

    Raises:
        OSError: There is no memory or no process left.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        paths = [str(_ROOT), *(path for path in sys.path if path)]
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module, nothing of a caller's
                [sys.executable, *program, str(theirs.fileno())],
                cwd=_ROOT,
                env={**environ, **_ALLOCATOR, "PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        except BaseException:
            ours.close()
            raise
    return Template(process, ours, clock)
