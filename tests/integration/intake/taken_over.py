"""A decoding process that a file can take over: the file's first line names what it does then."""

import errno
import json
import os
import resource
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from orchestrator.intake import child
from orchestrator.intake.frames import encode
from orchestrator.intake.image_rules import ImageLimits

normalise = child._normalise


def drip(line: child.Line, _: bytes) -> None:
    """Announce an answer, and give it one byte at a time."""
    line._side.sendall((300).to_bytes(4, "big"))
    for _ in range(300):
        line._side.sendall(b" ")
        time.sleep(0.01)


def stall(line: child.Line, _: bytes) -> None:
    """Give no answer."""
    time.sleep(600)


def fork(line: child.Line, _: bytes) -> None:
    """Leave a process that holds the socket, tell its id, and end."""
    left = os.fork()
    if left == 0:
        time.sleep(600)
    line.send({"need": left})
    os._exit(0)


def linger(line: child.Line, data: bytes) -> None:
    """Answer as is right, and go on."""
    normalise(line, ImageLimits(), data)
    time.sleep(600)


def lie_in_wait(line: child.Line, data: bytes) -> None:
    """Answer twice, and tell the next one's answer before it is asked for."""
    said: dict[str, Any] = {"need": 1}
    for piece in (*encode(said), *encode(said), *encode({"done": {}})):
        line._side.sendall(piece)


def tell_sockets(line: child.Line, _: bytes) -> None:
    """Say how many sockets it has."""
    found = (attempt(lambda fd=fd: stat.S_ISSOCK(os.fstat(fd).st_mode)) for fd in range(64))
    line.send(refusal(sum(found)))


def tell_ways_out(line: child.Line, app: bytes) -> None:
    """Say which ways out of the process are open: files, calls, a thread."""
    pid = int(app)
    paths = (f"/proc/{pid}/environ", f"/proc/{pid}/mem", f"/proc/{os.getppid()}/mem", __file__)
    thread = threading.Thread(target=int)
    ways = {
        "files": [attempt(lambda path=path: os.open(path, os.O_RDONLY)) for path in paths],
        "socket": attempt(socket.socket),
        "fork": attempt(lambda: os._exit(0) if os.fork() == 0 else True),
        "exec": could_exec(),
        "signal": attempt(lambda: os.kill(pid, 0)),
        "limits": attempt(lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE)),
        "thread": attempt(lambda: thread.start() or thread.join()),
    }
    line.send(refusal(ways))


def could_exec() -> bool:
    """Whether another program could be run; there is none, so that this one goes on."""
    try:
        os.execv("/nowhere", ["nowhere"])
    except OSError as error:
        return error.errno == errno.ENOENT


def attempt(act: Callable[[], object]) -> bool:
    try:
        return act() is not False
    except OSError:
        return False


def refusal(told: Any) -> dict[str, Any]:
    """Put an answer where the test can read it."""
    message = json.dumps(told)
    return {"refused": {"class": "InvalidRequestError", "code": "told", "message": message}}


ATTACKS = {
    act.__name__.encode(): act
    for act in (drip, stall, fork, linger, lie_in_wait, tell_sockets, tell_ways_out)
}


def normalise_or_fall(line: child.Line, limits: ImageLimits, data: bytes) -> None:
    name, _, rest = data.partition(b"\n")
    if attack := ATTACKS.get(name):
        attack(line, rest)
    else:
        normalise(line, limits, data)


if __name__ == "__main__":
    if sys.argv[1] == "unfiltered":
        # As where the kernel filters no calls.
        del sys.argv[1]
        child._rehearse = lambda: os._exit(1)
    child._normalise = normalise_or_fall
    child.main()
