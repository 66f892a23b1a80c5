"""A decoding process that a file can take over: the file's first line names what it does then."""

import json
import os
import time
from collections.abc import Callable
from typing import Any

from orchestrator.domain.image_rules import ImageLimits
from orchestrator.intake import child
from orchestrator.intake.frames import encode

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
    """Say how many files beside 0, 1 and 2 are open."""
    line.send(refusal(sum(attempt(lambda fd=fd: os.fstat(fd)) for fd in range(3, 64))))


def attempt(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def refusal(told: Any) -> dict[str, Any]:
    """Put an answer where the test can read it."""
    message = json.dumps(told)
    return {"refused": {"class": "InvalidRequestError", "code": "told", "message": message}}


ATTACKS = {
    act.__name__.encode(): act for act in (drip, stall, fork, linger, lie_in_wait, tell_sockets)
}


def normalise_or_fall(line: child.Line, limits: ImageLimits, data: bytes) -> None:
    name, _, rest = data.partition(b"\n")
    if attack := ATTACKS.get(name):
        attack(line, rest)
    else:
        normalise(line, limits, data)


if __name__ == "__main__":
    child._normalise = normalise_or_fall
    child.main()
