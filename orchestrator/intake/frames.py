"""What crosses the socket to a decoding process: a small JSON object, then blobs of bytes.

No pickle: a process that a stranger's file took over must not be able to take over its parent.
"""

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

MAX_HEAD_BYTES = 1024 * 1024
MAX_BLOBS = 256
"""A form has fewer parts."""

_LENGTH = struct.Struct(">I")


def encode(head: dict[str, Any], *blobs: bytes) -> Iterator[bytes]:
    """Yield the pieces of a message, to be sent one after the other."""
    data = json.dumps({**head, "blobs": [len(blob) for blob in blobs]}).encode()
    yield _LENGTH.pack(len(data)) + data
    yield from blobs


def receive(read: Callable[[int], bytes], *, max_bytes: int) -> tuple[dict[str, Any], list[bytes]]:
    """Receive a message.

    Args:
        read: Gives exactly as many bytes as it is asked for, or raises.
        max_bytes: Of all blobs together.

    Raises:
        ValueError: What came is not a message, or is larger than allowed.
    """
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    if length > MAX_HEAD_BYTES:
        raise ValueError("the head of a message is too long")
    try:
        head = json.loads(read(length))
    except RecursionError as error:
        raise ValueError("a message is nested too deep") from error
    sizes = head.pop("blobs", None) if isinstance(head, dict) else None
    if not isinstance(sizes, list) or len(sizes) > MAX_BLOBS:
        raise ValueError("a message does not list its blobs")
    if any(type(size) is not int or size < 0 for size in sizes) or sum(sizes) > max_bytes:
        raise ValueError("the blobs of a message have impossible sizes")
    return head, [read(size) for size in sizes]
