"""The process that reads what strangers send: ``python -m orchestrator.intake.child FD``.

It is a template: it decodes a picture of ours, tells so on the socket FD, and waits for sockets to
come over it. For each it forks a child that serves one order there. It ends when its parent does.

Template (struct ``>i``)::

    ready  ->  one byte: 1 if the kernel filters a child's calls (`confinement.seal`), else 0
    a byte with a socket  ->  the child's process id, then its exit code

Orders and answers of a child (`frames`)::

    {"do": "normalise", cpu_s, limits} + image  ->  {"need": bytes}
    {"go": bytes}                               ->  {"done": NormalisedImage} + PNG
    {"do": "job" | "batch", cpu_s, memory_bytes, content_type, limits} + body
                                                ->  {"done": {sources, fields}} + images
    anything                                    ->  {"refused": a refusal} or {"spent": "memory"}
"""

import io
import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from PIL import Image

from orchestrator.domain.errors import ApiError, BodyTooLargeError
from orchestrator.domain.input_errors import InputError
from orchestrator.intake.body import PARSERS
from orchestrator.intake.confinement import confine, limit_cpu, limited_memory, seal
from orchestrator.intake.frames import encode, receive
from orchestrator.intake.image_rules import ImageLimits
from orchestrator.intake.images import announce, normalise
from orchestrator.intake.refusals import refusal_to_json

MAX_ORDER_BYTES = 512 * 1024 * 1024
"""More than the host takes in one request; the parent has judged the size already."""

MAX_FIELDS_BYTES = 256 * 1024
"""Of all that a body has beside images; metadata takes 4 KB, the others less."""

_ADDRESS_BYTES = 100 * 1024 * 1024
"""Address space beside what a picture needs: libheif's thread takes that, and no memory."""
_HEADER_BYTES = 64 * 1024 * 1024
"""Memory for looking at an image's header; the decoders' own tables are the most of it."""
_NUMBER = struct.Struct(">i")


class Line:
    """A child's side of its socket."""

    def __init__(self, side: socket.socket) -> None:
        self._side = side
        self._file = side.makefile("rb")

    def receive(self, *, max_bytes: int) -> tuple[dict[str, Any], list[bytes]]:
        """Receive a message, as `frames.receive`; raises EOFError once the parent is gone."""
        return receive(self._read, max_bytes=max_bytes)

    def send(self, head: dict[str, Any], *blobs: bytes) -> None:
        """Send a message."""
        for piece in encode(head, *blobs):
            self._side.sendall(piece)

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError
        return data


def main() -> None:
    """Fork a child for each socket that the parent hands over, until the parent is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    confine()
    check_decoders()
    can_filter = wait_for(fork(_rehearse)) == 0
    control.sendall(bytes([can_filter]))
    while True:
        _, sides, _, _ = socket.recv_fds(control, 1, 1)
        if not sides:
            return
        side = socket.socket(fileno=sides[0])
        child = fork(partial(serve, control, side, can_filter=can_filter))
        side.close()
        control.sendall(_NUMBER.pack(child))
        control.sendall(_NUMBER.pack(wait_for(child)))


def fork(work: Callable[[], None]) -> int:
    """Run something in a child, which ends with it, and give its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def wait_for(child: int) -> int:
    """Give a child's exit code once it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def check_decoders() -> None:
    """See that a picture of ours can be decoded, before a stranger's is."""
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, "JPEG")
    limits = ImageLimits()
    normalise(file.getvalue(), announce(file.getvalue(), limits), limits)


def _rehearse() -> None:
    seal(filters_calls=True)
    check_decoders()


def serve(control: socket.socket, side: socket.socket, *, can_filter: bool) -> None:
    """Do one order in a child."""
    # A file that takes the child over shall reach neither the template nor the app's log.
    control.close()
    os.dup2(0, 1)
    os.dup2(0, 2)
    seal(filters_calls=can_filter)
    line = Line(side)
    order, blobs = line.receive(max_bytes=MAX_ORDER_BYTES)
    limit_cpu(order["cpu_s"])
    try:
        if order["do"] == "normalise":
            _normalise(line, ImageLimits(**order["limits"]), blobs[0])
        else:
            _parse(line, order, blobs[0])
    except (InputError, ApiError) as error:
        line.send({"refused": refusal_to_json(error)})
    except MemoryError:
        line.send({"spent": "memory"})


def _normalise(line: Line, limits: ImageLimits, data: bytes) -> None:
    with limited_memory(_HEADER_BYTES + _ADDRESS_BYTES + len(data)):
        announced = announce(data, limits)
    line.send({"need": announced.memory_bytes})
    granted, _ = line.receive(max_bytes=0)
    if granted["go"] is None:
        return
    with limited_memory(granted["go"] + _ADDRESS_BYTES):
        image = normalise(data, announced, limits)
    facts = asdict(image)
    line.send({"done": facts}, facts.pop("png"))


def _parse(line: Line, order: dict[str, Any], body: bytes) -> None:
    with limited_memory(order["memory_bytes"]):
        parse = PARSERS[order["do"]]
        found, fields = parse(order["content_type"], body, ImageLimits(**order["limits"]))
        if len(json.dumps(fields)) > MAX_FIELDS_BYTES:
            raise BodyTooLargeError(
                f"the fields beside the image have more than {MAX_FIELDS_BYTES // 1024} KB"
            )
    sources = [{"url": s.url, "name": s.name, "has_data": s.data is not None} for s in found]
    images = [source.data for source in found if source.data is not None]
    line.send({"done": {"sources": sources, "fields": fields}}, *images)


if __name__ == "__main__":
    main()
