"""What crosses the pipe to a decoding process: a small JSON object, then blobs of bytes.

No pickle: a process that a stranger's file took over must not be able to take over its parent.
"""

import json
from multiprocessing.connection import Connection
from typing import Any

MAX_HEAD_BYTES = 1024 * 1024
MAX_BLOBS = 256
"""A form has fewer parts; empty blobs without end would never use up their bytes."""


def send(connection: Connection, head: dict[str, Any], *blobs: bytes) -> None:
    """Send a message.

    Raises:
        OSError: The other side is gone, or has not read for longer than the pipe's time-out.
    """
    connection.send_bytes(json.dumps({**head, "blobs": len(blobs)}).encode())
    for blob in blobs:
        connection.send_bytes(blob)


def receive(connection: Connection, *, max_bytes: int) -> tuple[dict[str, Any], list[bytes]]:
    """Receive a message.

    Args:
        connection: The pipe.
        max_bytes: Of all blobs together.

    Raises:
        EOFError: The other side is gone.
        OSError: Likewise, or it sent more than was allowed.
        ValueError: What came is not a message.
    """
    try:
        head = json.loads(connection.recv_bytes(MAX_HEAD_BYTES))
    except RecursionError as error:
        raise ValueError("a message is nested too deep") from error
    count = head.pop("blobs", None) if isinstance(head, dict) else None
    if not isinstance(count, int) or not 0 <= count <= MAX_BLOBS:
        raise ValueError("a message does not tell its blobs")
    blobs: list[bytes] = []
    left = max_bytes
    for _ in range(count):
        blobs.append(connection.recv_bytes(left))
        left -= len(blobs[-1])
    return head, blobs
