"""Reads the structure of a PNG, and keeps only what its image needs."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.domain.input_errors import TruncatedImageError, UnreadableImageError

MAX_CHUNKS = 65_536
"""Writers put 4 to 64 KiB of pixels in a chunk, so that 40 MB have some thousands."""

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Colour types, as the header numbers them."""

_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
_SIGNATURE_LENGTH = 8
_UNPACKED_AT_ONCE = 1 << 20
_CRITICAL = frozenset({b"IHDR", b"PLTE"})
_READ = _CRITICAL | {b"tRNS", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf"}
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)
"""Of an interlaced picture: first column and row, and the steps to the next."""


class Png(NamedTuple):
    """What a PNG announces about its (first) image.

    Attributes:
        width_px: As stored, before any rotation.
        height_px: As stored.
        depth: Bits a channel: 1, 2, 4, 8 or 16.
        colour_type: One of the five constants above.
        is_interlaced: Whether the pixels come in seven passes.
        chunks: By kind, the body of each chunk that says something about the colours or the
            orientation; damaged ones are left out, as libpng does.
        pixels: Views of the compressed pixels, up to where the file ends.
    """

    width_px: int
    height_px: int
    depth: int
    colour_type: int
    is_interlaced: bool
    chunks: Mapping[bytes, bytes]
    pixels: Sequence[memoryview]

    @property
    def essentials(self) -> bytes:
        """The file without all that its image does not need; a palette keeps its alpha."""
        header = struct.pack(
            ">IIBBBBB",
            *(self.width_px, self.height_px, self.depth, self.colour_type),
            *(0, 0, self.is_interlaced),
        )
        parts: list[bytes | memoryview] = [b"\x89PNG\r\n\x1a\n", *_chunk(b"IHDR", header)]
        if self.colour_type == PALETTE:
            for kind in (b"PLTE", b"tRNS"):
                parts += _chunk(kind, self.chunks[kind]) if kind in self.chunks else ()
        for view in self.pixels:
            parts += _chunk(b"IDAT", view)
        return b"".join([*parts, *_chunk(b"IEND", b"")])

    @property
    def transparent_level(self) -> tuple[int, ...] | None:
        """The one grey or colour that is transparent, in the file's own depth."""
        body = self.chunks.get(b"tRNS", b"")
        count = {GREY: 1, RGB: 3}.get(self.colour_type, 0)
        if not count or len(body) < 2 * count:
            return None
        levels = struct.unpack_from(f">{count}H", body)
        return tuple(level & ((1 << self.depth) - 1) for level in levels)

    def has_all_pixels(self) -> bool:
        """Unpack the pixels, which costs CPU, and tell whether there are enough."""
        missing = self._unpacked_bytes()
        unpacker = zlib.decompressobj()
        try:
            for view in self.pixels:
                rest: bytes | memoryview = view
                while missing > 0 and rest:
                    missing -= len(unpacker.decompress(rest, _UNPACKED_AT_ONCE))
                    rest = unpacker.unconsumed_tail
        except zlib.error:
            return False
        return missing <= 0

    def _unpacked_bytes(self) -> int:
        passes = _PASSES if self.is_interlaced else ((0, 0, 1, 1),)
        bits = self.depth * _CHANNELS[self.colour_type]
        total = 0
        for column, row, across, down in passes:
            columns = (self.width_px - column + across - 1) // across
            rows = (self.height_px - row + down - 1) // down
            total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
        return total


def read_png(data: bytes) -> Png:
    """Walk over the chunks; a last one that is cut counts as far as it goes.

    Raises:
        TruncatedImageError: The file ends before its pixels begin.
        UnreadableImageError: The structure is damaged, or costly on purpose.
    """
    chunks: dict[bytes, bytes] = {}
    pixels: list[memoryview] = []
    view = memoryview(data)
    offset = _SIGNATURE_LENGTH
    for _ in range(MAX_CHUNKS):
        head = data[offset : offset + 8]
        length, kind = int.from_bytes(head[:4]), head[4:]
        end = offset + 12 + length
        if len(head) < 8 or kind == b"IEND":
            break
        if not chunks and kind != b"IHDR":
            raise UnreadableImageError.damaged("PNG")
        if kind == b"IDAT":
            pixels.append(view[offset + 8 : end - 4])
        elif kind in _READ and _is_sound(kind, data[offset + 8 : end], length):
            chunks.setdefault(kind, data[offset + 8 : end - 4])
        offset = end
    else:
        raise UnreadableImageError.too_costly("PNG", because=f"over {MAX_CHUNKS:,} parts")
    if not pixels:
        raise (UnreadableImageError.damaged if kind == b"IEND" else TruncatedImageError.of)("PNG")
    return Png(*_read_header(chunks[b"IHDR"]), chunks=chunks, pixels=pixels)


def _read_header(body: bytes) -> tuple[int, int, int, int, bool]:
    width_px, height_px, depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", body)
    if 0 in (width_px, height_px) or colour_type not in _CHANNELS or depth not in (1, 2, 4, 8, 16):
        raise UnreadableImageError.damaged("PNG")
    return width_px, height_px, depth, colour_type, bool(interlace)


def _is_sound(kind: bytes, body_and_crc: bytes, length: int) -> bool:
    """Tell whether a chunk is whole; one that the image can't do without must be."""
    body, crc = body_and_crc[:length], body_and_crc[length:]
    if len(crc) < 4 and kind in _CRITICAL:
        raise TruncatedImageError.of("PNG")
    is_sound = zlib.crc32(body, zlib.crc32(kind)) == int.from_bytes(crc)
    if kind in _CRITICAL and (not is_sound or (kind == b"IHDR" and length != 13)):
        raise UnreadableImageError.damaged("PNG")
    return is_sound


def _chunk(kind: bytes, body: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    crc = zlib.crc32(body, zlib.crc32(kind))
    return struct.pack(">I", len(body)), kind, body, struct.pack(">I", crc)
