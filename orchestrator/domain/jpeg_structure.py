"""Reads the structure of a JPEG from its first marker to the end of its first image."""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.domain.input_errors import TruncatedImageError, UnreadableImageError

MAX_SEGMENTS = 4_096
"""Profiles and extended metadata take some hundred segments at the very most."""

MAX_FILL_BYTES = 64
"""Any number before a marker is legal; more than a few are padding made to be slow."""

_SOI, _EOI, _SOS, _DHT, _DQT, _DRI, _DAC, _JPG = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xCC, 0xC8
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, _JPG, _DAC}
_TABLES = frozenset({_DHT, _DQT, _DRI, _DAC})
_WITHOUT_BODY = frozenset({0x00, 0x01, _SOI, *range(0xD0, 0xD8)})
_EXIF = (0xE1, b"Exif\0\0")
_KEPT_APPLICATION_DATA: tuple[tuple[int, bytes], ...] = (
    (0xE0, b"JFIF\0"),
    (0xE2, b"ICC_PROFILE\0"),
    (0xEE, b"Adobe"),
)
# Inside a scan 0xFF is followed by 0 or by a restart marker; anything else ends the scan.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class _Segment(NamedTuple):
    marker: int
    body: bytes
    whole: bytes


class Jpeg(NamedTuple):
    """The first image of a JPEG.

    Attributes:
        width_px: As stored, before any rotation.
        height_px: As stored.
        scans: Passes over its pixels.
        exif: With its mark, or empty.
        essentials: The image without metadata but the colour profile. What stands behind it in
            the file (a video, a gain map, a second view) is left out too.
    """

    width_px: int
    height_px: int
    scans: int
    exif: bytes
    essentials: bytes


def read_jpeg(data: bytes) -> Jpeg:
    """Walk over the file up to the end of its first image.

    Raises:
        TruncatedImageError: The file ends before the image does.
        UnreadableImageError: The structure is damaged, or costly on purpose.
    """
    kept: list[bytes] = [data[:2]]
    size: tuple[int, int] | None = None
    scans = 0
    exif = b""
    for segment in _segments(data):
        if segment.marker in _FRAMES:
            if size is not None or len(segment.body) < 6:
                raise UnreadableImageError.damaged("JPEG")
            height_px, width_px = struct.unpack_from(">HH", segment.body, 1)
            size = width_px, height_px
        if segment.marker == _SOS:
            scans += 1
        if _is_marked(segment, _EXIF):
            exif = exif or segment.body
        if _is_kept(segment):
            kept.append(segment.whole)
    if size is None or 0 in size or scans == 0:
        raise UnreadableImageError.damaged("JPEG")
    return Jpeg(*size, scans, exif, b"".join([*kept, b"\xff\xd9"]))


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield every segment up to the end marker; a scan's holds its pixels too."""
    offset = 2
    for _ in range(MAX_SEGMENTS):
        marker, body_start = _next_marker(data, offset)
        if marker == _EOI:
            return
        if body_start + 2 > len(data):
            raise TruncatedImageError.of("JPEG")
        (length,) = struct.unpack_from(">H", data, body_start)
        body_end = body_start + length
        if length < 2:
            raise UnreadableImageError.damaged("JPEG")
        if body_end > len(data):
            raise TruncatedImageError.of("JPEG")
        offset = _end_of_scan(data, body_end) if marker == _SOS else body_end
        yield _Segment(marker, data[body_start + 2 : body_end], data[body_start - 2 : offset])
    raise UnreadableImageError.too_costly("JPEG", because=f"over {MAX_SEGMENTS:,} parts")


def _next_marker(data: bytes, offset: int) -> tuple[int, int]:
    """Return the marker at `offset`, fill bytes skipped, and the offset behind it."""
    run = data[offset : offset + MAX_FILL_BYTES]
    if not run:
        raise TruncatedImageError.of("JPEG")
    rest = run.lstrip(b"\xff")
    if len(rest) == len(run):
        raise UnreadableImageError.damaged("JPEG")
    if not rest:
        is_cut = offset + len(run) == len(data)
        raise TruncatedImageError.of("JPEG") if is_cut else UnreadableImageError.damaged("JPEG")
    if rest[0] in _WITHOUT_BODY:
        raise UnreadableImageError.damaged("JPEG")
    return rest[0], offset + len(run) - len(rest) + 1


def _end_of_scan(data: bytes, start: int) -> int:
    found = _END_OF_SCAN.search(data, start)
    if found is None:
        raise TruncatedImageError.of("JPEG")
    return found.start()


def _is_kept(segment: _Segment) -> bool:
    if segment.marker in _FRAMES or segment.marker in _TABLES or segment.marker == _SOS:
        return True
    return any(_is_marked(segment, mark) for mark in _KEPT_APPLICATION_DATA)


def _is_marked(segment: _Segment, mark: tuple[int, bytes]) -> bool:
    marker, tag = mark
    return segment.marker == marker and segment.body.startswith(tag)
