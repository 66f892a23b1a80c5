"""What crosses the pipe to a decoding process: a small JSON object, then blobs of bytes.

No pickle: a process that a stranger's file took over must not be able to take over its parent.
"""

import json
from multiprocessing.connection import Connection
from typing import Any

MAX_HEAD_BYTES = 1024 * 1024


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
    head = json.loads(connection.recv_bytes(MAX_HEAD_BYTES))
    blobs: list[bytes] = []
    left = max_bytes
    for _ in range(int(head.pop("blobs"))):
        blobs.append(connection.recv_bytes(left))
        left -= len(blobs[-1])
    return head, blobs
