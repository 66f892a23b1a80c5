"""Reads the structure of PNG, JPEG and WebP files, and keeps only what an image needs.

`reduce_to_essentials` returns the announced size and a copy without comments, thumbnails, extra
frames and text, so that the decoder never meets them: compressed text that unpacks to gigabytes,
millions of empty segments, passes over the same pixels that never end.
"""

import struct
import zlib
from dataclasses import dataclass

from orchestrator.domain.exif import UPRIGHT, read_orientation
from orchestrator.domain.image_rules import ImageFormat
from orchestrator.domain.input_errors import TruncatedImageError, UnreadableImageError
from orchestrator.domain.jpeg_structure import read_jpeg

MAX_PNG_CHUNKS = 65_536
"""Writers put 4 to 64 KiB of pixels in a chunk, so that 20 MB have a few thousand."""

MAX_WEBP_CHUNKS = 16_384
"""An animation has one a frame; the Exif stands behind them."""

MAX_PROFILE_BYTES = 1_000_000
"""Of a colour profile once unpacked; the decoder refuses the whole file beyond 1 MiB."""


@dataclass(frozen=True, slots=True)
class ImageStructure:
    """What a file announces about its image.

    Attributes:
        width_px: Width as stored, before any rotation.
        height_px: Height as stored.
        essentials: The file without what the image does not need. For a WebP, the file itself.
        orientation: Exif's number, 1 to 8, of how the pixels must be turned to be upright.
        passes: How often the file goes over its pixels; above 1 for a progressive JPEG.
    """

    width_px: int
    height_px: int
    essentials: bytes
    orientation: int = UPRIGHT
    passes: int = 1


def reduce_to_essentials(data: bytes, image_format: ImageFormat) -> ImageStructure:
    """Walk over the file's structure.

    Args:
        data: The whole file, which begins with the magic bytes of `image_format`.
        image_format: Its type.

    Raises:
        TruncatedImageError: The file ends inside its structure.
        UnreadableImageError: The structure is damaged, or costly on purpose.
    """
    match image_format:
        case ImageFormat.PNG:
            return _read_png(data)
        case ImageFormat.JPEG:
            jpeg = read_jpeg(data)
            return ImageStructure(
                jpeg.width_px,
                jpeg.height_px,
                jpeg.essentials,
                orientation=read_orientation(jpeg.exif),
                passes=jpeg.scans,
            )
        case ImageFormat.WEBP:
            return _read_webp(data)


_PNG_SIGNATURE_LENGTH = 8
_PNG_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT"})
_PNG_KEPT = _PNG_CRITICAL | {b"tRNS", b"iCCP", b"sRGB"}


def _read_png(data: bytes) -> ImageStructure:
    kept: list[bytes] = [data[:_PNG_SIGNATURE_LENGTH]]
    offset = _PNG_SIGNATURE_LENGTH
    size: tuple[int, int] | None = None
    exif = b""
    for _ in range(MAX_PNG_CHUNKS):
        if offset + 8 > len(data):
            raise TruncatedImageError.of("PNG")
        (length,) = struct.unpack_from(">I", data, offset)
        kind = data[offset + 4 : offset + 8]
        end = offset + 12 + length
        if end > len(data):
            raise TruncatedImageError.of("PNG")
        if kind == b"IEND":
            break
        if (size is None) != (kind == b"IHDR"):
            raise UnreadableImageError.damaged("PNG")
        if kind == b"IHDR":
            size = _read_png_header(data[offset + 8 : end - 4])
        if kind == b"eXIf":
            exif = data[offset + 8 : end - 4]
        if kind in _PNG_KEPT and _is_sound(kind, data[offset + 8 : end]):
            kept.append(data[offset:end])
        offset = end
    else:
        raise UnreadableImageError.too_costly("PNG", because=f"over {MAX_PNG_CHUNKS:,} parts")
    if size is None:
        raise UnreadableImageError.damaged("PNG")
    essentials = b"".join([*kept, data[offset : offset + 12]])
    return ImageStructure(*size, essentials, orientation=read_orientation(exif))


def _read_png_header(body: bytes) -> tuple[int, int]:
    if len(body) != 13:
        raise UnreadableImageError.damaged("PNG")
    width_px, height_px = struct.unpack_from(">II", body)
    return width_px, height_px


def _is_sound(kind: bytes, body_and_crc: bytes) -> bool:
    """Tell whether a chunk is whole; one that the image can't do without must be."""
    crc = zlib.crc32(memoryview(body_and_crc)[:-4], zlib.crc32(kind))
    if crc != int.from_bytes(body_and_crc[-4:], "big"):
        if kind in _PNG_CRITICAL:
            raise UnreadableImageError.damaged("PNG")
        return False
    return kind != b"iCCP" or not _is_profile_bomb(body_and_crc)


def _is_profile_bomb(body: bytes) -> bool:
    _name, _, packed = body.partition(b"\0")
    try:
        unpacked = zlib.decompressobj().decompress(packed[1:], MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return True
    return len(unpacked) > MAX_PROFILE_BYTES


def _read_webp(data: bytes) -> ImageStructure:
    if len(data) < 30:
        raise TruncatedImageError.of("WebP")
    (riff_length,) = struct.unpack_from("<I", data, 4)
    if riff_length + 8 > len(data):
        raise TruncatedImageError.of("WebP")
    kind = data[12:16]
    if kind == b"VP8X":
        width_px = int.from_bytes(data[24:27], "little") + 1
        height_px = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width_px, height_px = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    elif kind == b"VP8L" and data[20] == 0x2F:
        (packed,) = struct.unpack_from("<I", data, 21)
        width_px, height_px = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        raise UnreadableImageError.damaged("WebP")
    return ImageStructure(
        width_px, height_px, data, orientation=read_orientation(_find_webp_exif(data))
    )


def _find_webp_exif(data: bytes) -> bytes:
    offset = 12
    for _ in range(MAX_WEBP_CHUNKS):
        if offset + 8 > len(data):
            break
        (length,) = struct.unpack_from("<I", data, offset + 4)
        if data[offset : offset + 4] == b"EXIF":
            return data[offset + 8 : offset + 8 + length]
        offset += 8 + length + length % 2
    return b""
