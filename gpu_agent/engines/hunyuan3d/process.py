"""A child process with a pipe, whose every line of output becomes a log line of the agent."""

import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import gpu_agent
from gpu_agent.engines.hunyuan3d.health import describe_exit

logger = logging.getLogger(__name__)

_PIPE_LIMIT_S = 10
"""A message that takes longer to pass through means that the other side has stopped."""

_ROOT = Path(gpu_agent.__file__).parents[1]
"""Where the module is found, wherever the agent was started."""

_OF_RECORDS = vars(logging.makeLogRecord({})).keys() - {"message"}

_REAP_S = 10.0
_MOST_LINE = 64 * 1024
"""Bytes: a child that prints without end must not fill the agent's memory."""

_MOST_PRINTED = 4000
"""Characters of a line that a library has printed."""


class LostError(Exception):
    """The child has ended, or stopped reading and writing."""


class ChildProcess:
    """A Python module run as a process of its own, ended by force only.

    It is a fresh interpreter, not a fork: what the agent's threads hold is not in it.

    Args:
        module: Run as ``python -m module FD``, where FD is its end of the pipe.
        title: What it is called in messages, ``GPU process``.
        environ: Its whole environment.

    Raises:
        OSError: The system starts no process.
    """

    def __init__(self, module: str, *, title: str, environ: Mapping[str, str]) -> None:
        self.title = title
        ours, theirs = socket.socketpair()
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _PIPE_LIMIT_S, 0))
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own module
                    [sys.executable, "-m", module, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=dict(environ),
                    cwd=_ROOT,
                )
        except OSError:
            ours.close()
            raise
        self.connection = Connection(ours.detach())
        self._relay = threading.Thread(
            target=relay_lines,
            args=(self._process.stdout, self.pid, title),
            name=f"output-{self.pid}",
            daemon=True,
        )
        self._relay.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: Any) -> None:
        """Hand it a message.

        Raises:
            LostError: It can't be reached.
        """
        try:
            self.connection.send(message)
        except OSError as error:
            raise LostError(str(error)) from error

    def receive(self) -> Any:
        """Take its next message; waits for one.

        Raises:
            LostError: It has ended, or stopped in the middle of a message.
        """
        try:
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise LostError(str(error)) from error

    def end(self) -> str:
        """Kill it if it still lives, and say how it ended. Safe to call twice."""
        with suppress(subprocess.TimeoutExpired):
            # The pipe is closed a moment before the process is gone; its own end tells more.
            self._process.wait(0 if self._process.poll() is not None else 0.2)
        returncode = self._process.poll()
        if returncode is None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_REAP_S)
        self.connection.close()
        self._relay.join(1.0)
        return describe_exit(returncode, self.title)

    def kill(self) -> None:
        """Kill it; `end` is still to be called."""
        self._process.kill()


def relay_lines(stream: IO[bytes], pid: int, title: str) -> None:
    """Write each line of a child's output to the log, until the stream ends; a long one in parts.

    What is a JSON line of our own already passes through as it is, with its job and epoch.
    """
    with stream:
        for raw in iter(partial(stream.readline, _MOST_LINE), b""):
            line = raw.decode("utf-8", "replace").rstrip()
            if not line:
                continue
            found = _own_line(line)
            if found is None:
                printed = line.rsplit("\r", 1)[-1][:_MOST_PRINTED]
                logger.info("%s: %s", title, printed, extra={"pid": pid})
                continue
            message = str(found.pop("message", ""))
            level = logging.getLevelNamesMapping().get(str(found.pop("level", "")).upper(), 20)
            name = str(found.pop("logger", __name__))
            found.pop("at", None)
            logging.getLogger(name).log(level, "%s", message, extra={**found, "pid": pid})


def _own_line(line: str) -> dict[str, Any] | None:
    if not line.startswith('{"at"'):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    # A record refuses to have its own fields named again.
    return {name: value for name, value in found.items() if name not in _OF_RECORDS}


def open_pipe(arguments: list[str]) -> Connection:
    """Open a child's own end of the pipe; its descendants do not get it."""
    number = int(arguments[1])
    os.set_inheritable(number, False)
    return Connection(number)
