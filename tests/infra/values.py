"""Terraform's values on the wire: the part of MessagePack that it uses, and its "unknown"."""

import struct
from enum import Enum
from typing import Any, cast

_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_TEXTS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_LISTS = {0xDC: ">H", 0xDD: ">I"}
_MAPS = {0xDE: ">H", 0xDF: ">I"}
_SIZED_EXTENSIONS = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}


class Unknown(Enum):
    """A value that nobody knows before the apply."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN


def decode(data: bytes) -> Any:
    """Give the value of a message."""
    value, end = _decode(data, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow the value")
    return value


def encode(value: Any) -> bytes:
    """Give the message for a value."""
    match value:
        case Unknown.UNKNOWN:
            return b"\xd4\x00\x00"
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return b"\xd3" + struct.pack(">q", value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return b"\xdb" + struct.pack(">I", len(text)) + text
        case list():
            return b"\xdd" + struct.pack(">I", len(value)) + b"".join(encode(one) for one in value)
        case dict():
            pairs = b"".join(encode(name) + encode(one) for name, one in value.items())
            return b"\xdf" + struct.pack(">I", len(value)) + pairs
    raise TypeError(f"Terraform has no value like {value!r}")


def _decode(data: bytes, at: int) -> tuple[Any, int]:
    kind, at = data[at], at + 1
    if kind <= 0x7F:
        return kind, at
    if kind >= 0xE0:
        return kind - 256, at
    if kind <= 0x8F:
        return _decode_map(data, at, kind & 0x0F)
    if kind <= 0x9F:
        return _decode_list(data, at, kind & 0x0F)
    if kind <= 0xBF:
        return _decode_text(data, at, kind & 0x1F)
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], at
    if kind in _EXTENSIONS:
        return UNKNOWN, at + 1 + _EXTENSIONS[kind]
    if kind in _NUMBERS:
        return _read(data, at, _NUMBERS[kind])
    for table, read in ((_TEXTS, _decode_text), (_LISTS, _decode_list), (_MAPS, _decode_map)):
        if kind in table:
            length, at = _read(data, at, table[kind])
            return read(data, at, length)
    length, at = _read(data, at, _SIZED_EXTENSIONS[kind])
    return UNKNOWN, at + 1 + length


def _read(data: bytes, at: int, form: str) -> tuple[Any, int]:
    return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)


def _decode_text(data: bytes, at: int, length: int) -> tuple[str, int]:
    return data[at : at + length].decode(), at + length


def _decode_list(data: bytes, at: int, length: int) -> tuple[list[Any], int]:
    found = []
    for _ in range(length):
        one, at = _decode(data, at)
        found.append(one)
    return found, at


def _decode_map(data: bytes, at: int, length: int) -> tuple[dict[str, Any], int]:
    found = {}
    for _ in range(length):
        name, at = _decode(data, at)
        found[cast("str", name)], at = _decode(data, at)
    return found, at
