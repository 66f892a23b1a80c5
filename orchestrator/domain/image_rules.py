"""Which images are taken, decided from their first bytes before anything is decoded.

A decoder's own checks come too late for a hostile file: some allocate the canvas on opening, some
read a million empty segments one by one. What is decided here costs a walk over the file's
structure, with a limit on every loop.
"""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.input_errors import (
    EmptyImageError,
    ImageTooLargeError,
    ImageTooSmallError,
    TooManyPixelsError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)


class ImageFormat(StrEnum):
    """A type of file that is taken; the value is the name that Pillow gives it."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WEBP"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large an image may be.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Width times height, as announced by the header.
        min_edge_px: Shorter edge, also after the longest edge was cut to `max_edge_px`.
        max_edge_px: Longest edge of the normalised image.
        max_passes: How often the file may go over its pixels; a progressive JPEG does so about
            ten times.
        max_pass_pixels: Passes times pixels, which bounds the seconds that a crafted file costs.
    """

    max_bytes: int = 20 * 1000 * 1000
    max_pixels: int = 50 * 1000 * 1000
    min_edge_px: int = 8
    max_edge_px: int = 2048
    max_passes: int = 100
    max_pass_pixels: int = 1000 * 1000 * 1000


def check_byte_count(byte_count: int, limits: ImageLimits) -> None:
    """Refuse a file by its size alone.

    Raises:
        EmptyImageError: There is nothing.
        ImageTooLargeError: There is too much.
    """
    if byte_count == 0:
        raise EmptyImageError("The image is empty (0 bytes). Send the bytes of a photo.")
    if byte_count > limits.max_bytes:
        raise ImageTooLargeError(
            f"The image has {byte_count / 1e6:.1f} MB; at most {limits.max_bytes / 1e6:g} MB are "
            "taken. Send it smaller: more than 2048 pixels on the longest edge are not used."
        )


def check_dimensions(width_px: int, height_px: int, limits: ImageLimits) -> None:
    """Refuse an image by the size that its header announces.

    Raises:
        TooManyPixelsError: Decoding it would cost too much memory.
        ImageTooSmallError: It is too small, or too narrow once it is reduced.
    """
    size = f"{width_px:,} x {height_px:,} pixels"
    if width_px * height_px > limits.max_pixels:
        raise TooManyPixelsError(
            f"The image has {size}; at most {limits.max_pixels / 1e6:g} megapixels are taken. "
            "Send it reduced: more than 2048 pixels on the longest edge are not used."
        )
    if min(fit_within(width_px, height_px, limits.max_edge_px)) < limits.min_edge_px:
        raise ImageTooSmallError(
            f"The image has {size}, which is too small or too narrow to show an object. "
            "Send a photo of some hundred pixels on each edge."
        )


def check_passes(passes: int, pixels: int, limits: ImageLimits) -> None:
    """Refuse a file that takes too long to decode for its size.

    Raises:
        UnreadableImageError: It goes over its pixels too often.
    """
    if passes > limits.max_passes or passes * pixels > limits.max_pass_pixels:
        raise UnreadableImageError.too_costly("JPEG", because=f"{passes} passes over its pixels")


def fit_within(width_px: int, height_px: int, max_edge_px: int) -> tuple[int, int]:
    """Return the size with the longest edge cut to `max_edge_px`, in proportion, never larger."""
    longest = max(width_px, height_px)
    if longest <= max_edge_px:
        return width_px, height_px
    return (
        max(1, round(width_px * max_edge_px / longest)),
        max(1, round(height_px * max_edge_px / longest)),
    )


def recognise_format(data: bytes) -> ImageFormat:
    """Tell the type of a file from its first bytes; its name and declared type are not trusted.

    Raises:
        UnsupportedImageTypeError: It is another type, which the message names if it is known.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFormat.PNG
    if data.startswith(b"\xff\xd8\xff"):
        return ImageFormat.JPEG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    raise UnsupportedImageTypeError(
        f"The file is {_name_other_type(data)}; PNG, JPEG and WebP are taken. "
        f"{_advice_for(data)}Send the photo as one of these."
    )


_MAGIC_NAMES: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF (or a camera's raw file)"),
    (b"MM\0*", "a TIFF (or a camera's raw file)"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"glTF", "a GLB model"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"})
_SNIFFED_BYTES = 1024


def _name_other_type(data: bytes) -> str:
    for magic, name in _MAGIC_NAMES:
        if data.startswith(magic):
            return name
    if data[4:8] == b"ftyp":
        if data[8:12] in _HEIF_BRANDS:
            return "a HEIC"
        return "an AVIF" if data[8:12] in (b"avif", b"avis") else "a video"
    head = data[:_SNIFFED_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in head:
        return "an SVG"
    if head.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return "a text file" if _is_text(data[:_SNIFFED_BYTES]) else "of a type that is not known here"


def _advice_for(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return 'On an iPhone, choose "Most Compatible" or export as JPEG. '
    return ""


def _is_text(head: bytes) -> bool:
    # A character may be cut at the end of the sample, so what does not decode is left out there.
    text = head.decode("utf-8", errors="ignore")
    is_whole = len(text.encode()) >= len(head) - 3
    return is_whole and all(char.isprintable() or char in "\t\r\n\f" for char in text)
