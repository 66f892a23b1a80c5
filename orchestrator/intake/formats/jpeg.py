"""Finds a JPEG's header and the end of its first image, as tolerant as libjpeg is."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from orchestrator.domain.input_errors import TruncatedImageError, UnreadableImageError

MAX_SEGMENTS = 4_096
"""Profiles and extended metadata take some hundred segments at the very most."""

_EOI, _SOS, _DHT, _DQT, _DRI, _DAC, _JPG = 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xCC, 0xC8
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, _JPG, _DAC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_KEPT = _FRAMES | {_DHT, _DQT, _DRI, _DAC, _SOS}
_EXIF = (0xE1, b"Exif\0\0")
_KEPT_APPLICATION_DATA: tuple[tuple[int, bytes], ...] = (
    (0xE0, b"JFIF\0"),
    (0xE2, b"ICC_PROFILE\0"),
    (0xEE, b"Adobe"),
)
# Whatever lies before a marker is skipped: pixels, restart markers, fill, and stray bytes.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")


class Jpeg(NamedTuple):
    """The first image of a JPEG.

    Attributes:
        width_px: As stored, before any rotation.
        height_px: As stored.
        sampling: Of each component: horizontal and vertical factor, 1 to 4.
        is_one_pass: Whether its pixels lie in one scan, which decodes row by row. Otherwise the
            decoder keeps all coefficients in memory.
        exif: With its mark, or empty.
        parts: The image without metadata but the colour profile, and without its end marker.
            What stands behind it in the file (a video, a gain map, a second view) is left out.
        has_end: Whether the file itself has an end marker.
    """

    width_px: int
    height_px: int
    sampling: tuple[tuple[int, int], ...]
    is_one_pass: bool
    exif: bytes
    parts: Sequence[bytes | memoryview]
    has_end: bool

    def with_end(self, more: bytes = b"") -> bytes:
        """Return a file of these parts, then `more`, then an end marker."""
        return b"".join([*self.parts, more, b"\xff\xd9"])


def read_jpeg(data: bytes) -> Jpeg:
    """Walk over the file up to the end of its first image.

    Raises:
        TruncatedImageError: The file ends before its pixels begin, or inside a segment.
        UnreadableImageError: The structure is damaged, or costly on purpose.
    """
    kept: list[bytes] = [data[:2]]
    frame = scan = exif = b""
    pixels_at = end = 0
    marker = is_sequential = 0
    for marker, start, end in _segments(data):
        segment = data[start:end]
        if marker in _FRAMES and not scan:
            if frame or len(segment) < 10:
                raise UnreadableImageError.damaged("JPEG")
            frame, is_sequential = segment[4:], marker in _SEQUENTIAL
        if marker == _SOS and not scan:
            scan, pixels_at = segment[4:], start
        if _is_marked(segment, _EXIF):
            exif = exif or segment[4:]
        if not scan and (
            marker in _KEPT or any(_is_marked(segment, m) for m in _KEPT_APPLICATION_DATA)
        ):
            kept.append(segment)
    has_end = marker == _EOI
    if not frame or not scan:
        raise (UnreadableImageError.damaged if has_end else TruncatedImageError.of)("JPEG")
    height_px, width_px = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    sampling = tuple((at >> 4, at & 15) for at in frame[7::3])
    if 0 in (width_px, height_px, *(side for pair in sampling for side in pair)) or not sampling:
        raise UnreadableImageError.damaged("JPEG")
    pixels = memoryview(data)[pixels_at : end - 2 if has_end else len(data)]
    return Jpeg(
        width_px=width_px,
        height_px=height_px,
        sampling=sampling,
        is_one_pass=bool(is_sequential) and scan[0] == len(sampling),
        exif=exif,
        parts=[*kept, pixels],
        has_end=has_end,
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment's marker, its offset and the offset behind it, up to the end marker."""
    end = 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, end)
        if found is None:
            return
        marker, end = found[1][0], found.end()
        if marker == _EOI:
            yield marker, found.start(), end
            return
        length = int.from_bytes(data[end : end + 2])
        if end + max(length, 2) > len(data):
            raise TruncatedImageError.of("JPEG")
        if length < 2:
            raise UnreadableImageError.damaged("JPEG")
        end += length
        yield marker, found.start(), end
    raise UnreadableImageError.too_costly("JPEG", because=f"over {MAX_SEGMENTS:,} parts")


def _is_marked(segment: bytes, mark: tuple[int, bytes]) -> bool:
    marker, tag = mark
    return segment[1] == marker and segment.startswith(tag, 4)
