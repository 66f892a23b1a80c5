"""Reads sizes from the containers around WebP, HEIC and AVIF pictures."""

import re
import struct

from orchestrator.domain.input_errors import TruncatedImageError, UnreadableImageError

_MAX_BOXES = 64
_SEARCHED_BYTES = 64 * 1024
_AV1_CONFIGURATION = re.compile(rb"av1C..(.)", re.DOTALL)
_HIGH_DEPTH, _REDUCED_CHROMA = 0x40, 0x08
_NCLX = re.compile(rb"colrnclx(..)(..)", re.DOTALL)


def read_webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the canvas, in pixels, from the first chunk.

    Raises:
        TruncatedImageError: The file ends before.
        UnreadableImageError: There is none.
    """
    if len(data) < 30:
        raise TruncatedImageError.of("WebP")
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width_px, height_px = struct.unpack_from("<HH", data, 26)
        return width_px & 0x3FFF, height_px & 0x3FFF
    if kind == b"VP8L" and data[20] == 0x2F:
        (packed,) = struct.unpack_from("<I", data, 21)
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    raise UnreadableImageError.damaged("WebP")


def is_webp_cut(data: bytes) -> bool:
    """Tell whether the container announces more bytes than there are."""
    return int.from_bytes(data[4:8], "little") + 8 > len(data)


def fit_webp_container(data: bytes) -> bytes:
    """Return a file whose container announces what there is; libwebp decides about the rest."""
    if not is_webp_cut(data):
        return data
    data += b"\0" * (len(data) % 2)
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def check_boxes_are_whole(data: bytes, format_name: str) -> None:
    """Walk over the outermost boxes of a HEIC or AVIF.

    Raises:
        TruncatedImageError: The last one announces more bytes than there are.
    """
    offset = 0
    for _ in range(_MAX_BOXES):
        if offset >= len(data):
            return
        size = int.from_bytes(data[offset : offset + 4])
        if size == 1:
            size = int.from_bytes(data[offset + 8 : offset + 16])
        if size == 0:
            return
        offset += max(size, 8)
        if offset > len(data):
            raise TruncatedImageError.of(format_name)


def read_avif_colours(data: bytes) -> tuple[int, int] | None:
    """Return the numbers of primaries and transfer curve (ITU-T H.273), if the file has some.

    Pillow does not tell them, so the first box that holds them is taken.
    """
    found = _NCLX.search(data, 0, _SEARCHED_BYTES)
    return found and (int.from_bytes(found[1]), int.from_bytes(found[2]))


def is_avif_large(data: bytes) -> bool:
    """Tell whether a picture has more than 8 bits or full chroma, or doesn't say."""
    flags = [found[1][0] for found in _AV1_CONFIGURATION.finditer(data, 0, _SEARCHED_BYTES)]
    return not flags or any(one & _HIGH_DEPTH or not one & _REDUCED_CHROMA for one in flags)
