"""A tiny ONNX model that removes an even background, for rembg.

Its mask is the distance of each pixel from the colour of the first one, so it does remove any even
background, and nothing else. Encoded by hand: the onnx package is 31 MB for these 400 bytes.
"""

import struct
from pathlib import Path

_FLOAT, _INT64 = 1, 7


def write_background_model(path: Path) -> None:
    """Write the model where rembg finds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_model())


def _model() -> bytes:
    nodes = [
        _node("Slice", ["picture", "first", "second", "axes"], ["corner"]),
        _node("Sub", ["picture", "corner"], ["gap"]),
        _node("Abs", ["gap"], ["distance"]),
        _node("ReduceSum", ["distance", "channel"], ["sum"]),
        _node("Mul", ["sum", "gain"], ["loud"]),
        _node("Clip", ["loud", "low", "high"], ["mask"]),
    ]
    constants = [
        _tensor("first", _INT64, struct.pack("<2q", 0, 0), 2),
        _tensor("second", _INT64, struct.pack("<2q", 1, 1), 2),
        _tensor("axes", _INT64, struct.pack("<2q", 2, 3), 2),
        _tensor("channel", _INT64, struct.pack("<q", 1), 1),
        _tensor("gain", _FLOAT, struct.pack("<f", 8.0)),
        _tensor("low", _FLOAT, struct.pack("<f", 0.0)),
        _tensor("high", _FLOAT, struct.pack("<f", 1.0)),
    ]
    graph = b"".join(
        [
            *(_bytes(1, node) for node in nodes),
            _text(2, "even_background"),
            *(_bytes(5, constant) for constant in constants),
            _bytes(11, _value("picture", channels=3)),
            _bytes(12, _value("mask", channels=1)),
        ]
    )
    opset = _number(2, 13)
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, opset)


def _node(kind: str, inputs: list[str], outputs: list[str]) -> bytes:
    named = [*(_text(1, name) for name in inputs), *(_text(2, name) for name in outputs)]
    return b"".join(named) + _text(4, kind)


def _tensor(name: str, kind: int, raw: bytes, *shape: int) -> bytes:
    dims = b"".join(_number(1, size) for size in shape)
    return dims + _number(2, kind) + _text(8, name) + _bytes(9, raw)


def _value(name: str, *, channels: int) -> bytes:
    sides = [_number(1, 1), _number(1, channels), _text(2, "height"), _text(2, "width")]
    shape = b"".join(_bytes(1, side) for side in sides)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, shape)))


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
