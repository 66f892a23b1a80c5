"""The process that reads what strangers send: ``python -m orchestrator.intake.child FD``.

It waits for orders on the pipe FD and ends when its parent does. It has no secret, no network
client and no file to write, and each order comes with the CPU and memory that it may take.

Orders and answers (`frames`)::

    {"do": "normalise", cpu_s, limits} + image  ->  {"need": bytes}
    {"go": bytes}                               ->  {"done": NormalisedImage} + PNG
    {"do": "job" | "batch", cpu_s, memory_bytes, content_type, limits} + body
                                                ->  {"done": {sources, fields}} + images
    anything                                    ->  {"refused": a refusal} or {"spent": "memory"}
"""

import io
import json
import sys
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from PIL import Image

from orchestrator.domain.errors import ApiError, BodyTooLargeError
from orchestrator.domain.image_rules import ImageLimits
from orchestrator.domain.input_errors import InputError
from orchestrator.intake.body import PARSERS
from orchestrator.intake.confinement import confine, limit_cpu, limited_memory
from orchestrator.intake.frames import receive, send
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


def main() -> None:
    """Do what the parent asks for, until it is gone."""
    connection = Connection(int(sys.argv[1]))
    confine()
    check_decoders()
    send(connection, {"ready": True})
    while True:
        try:
            order, blobs = receive(connection, max_bytes=MAX_ORDER_BYTES)
        except EOFError:
            return
        _answer(connection, order, blobs[0])


def check_decoders() -> None:
    """See that a picture of ours can be decoded, before a stranger's is."""
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, "JPEG")
    limits = ImageLimits()
    normalise(file.getvalue(), announce(file.getvalue(), limits), limits)


def _answer(connection: Connection, order: dict[str, Any], data: bytes) -> None:
    limit_cpu(order["cpu_s"])
    try:
        if order["do"] == "normalise":
            _normalise(connection, ImageLimits(**order["limits"]), data)
        else:
            _parse(connection, order, data)
    except (InputError, ApiError) as error:
        send(connection, {"refused": refusal_to_json(error)})
    except MemoryError:
        send(connection, {"spent": "memory"})


def _normalise(connection: Connection, limits: ImageLimits, data: bytes) -> None:
    with limited_memory(_HEADER_BYTES + _ADDRESS_BYTES + len(data)):
        announced = announce(data, limits)
    send(connection, {"need": announced.memory_bytes})
    granted, _ = receive(connection, max_bytes=0)
    if granted["go"] is None:
        return
    with limited_memory(granted["go"] + _ADDRESS_BYTES):
        image = normalise(data, announced, limits)
    facts = asdict(image)
    send(connection, {"done": facts}, facts.pop("png"))


def _parse(connection: Connection, order: dict[str, Any], body: bytes) -> None:
    with limited_memory(order["memory_bytes"]):
        parse = PARSERS[order["do"]]
        found, fields = parse(order["content_type"], body, ImageLimits(**order["limits"]))
        if len(json.dumps(fields)) > MAX_FIELDS_BYTES:
            raise BodyTooLargeError(
                f"the fields beside the image have more than {MAX_FIELDS_BYTES // 1024} KB"
            )
    sources = [{"url": s.url, "name": s.name, "has_data": s.data is not None} for s in found]
    images = [source.data for source in found if source.data is not None]
    send(connection, {"done": {"sources": sources, "fields": fields}}, *images)


if __name__ == "__main__":
    main()
