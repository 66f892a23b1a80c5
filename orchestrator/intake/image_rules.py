"""Which images are taken, decided from their first bytes before anything is decoded.

Decoding runs in a process with limits. What is decided here is whether it is worth starting: an
answer that says what to do is better than a process that was killed.
"""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.input_errors import (
    EmptyImageError,
    ImageTooLargeError,
    ImageTooSmallError,
    TooManyPixelsError,
    UnsupportedImageTypeError,
)


class ImageFormat(StrEnum):
    """A type of file that is taken; the value is the name that Pillow gives it."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WEBP"
    HEIF = "HEIF"
    AVIF = "AVIF"

    @property
    def label(self) -> str:
        """The name that people know."""
        return {"WEBP": "WebP", "HEIF": "HEIC"}.get(self.value, self.value)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large an image may be.

    Attributes:
        max_bytes: Size of the file. The Functions host takes 100 MB in one request, and base64
            makes four bytes of three.
        max_pixels: Width times height, as announced by the header.
        max_reduced_pixels: The same for a baseline JPEG, which is decoded at a fraction of its
            size.
        max_memory_bytes: What decoding may need, beyond the process itself.
        min_edge_px: Shorter edge, also after the longest edge was cut to `max_edge_px`.
        max_edge_px: Longest edge of the normalised image.
    """

    max_bytes: int = 40 * 1000 * 1000
    max_pixels: int = 64 * 1000 * 1000
    max_reduced_pixels: int = 200 * 1000 * 1000
    max_memory_bytes: int = 700 * 1000 * 1000
    min_edge_px: int = 8
    max_edge_px: int = 2048


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says about its image before a pixel is decoded.

    Attributes:
        image_format: Its type.
        width_px: As stored, before any rotation.
        height_px: As stored.
        decoded_bytes: Memory that the decoder takes for each pixel that it gives, at its worst
            moment.
        reduction: By which whole number it divides both edges while it decodes.
        coefficient_bytes: What it takes besides for each stored pixel, however far it reduces.
    """

    image_format: ImageFormat
    width_px: int
    height_px: int
    decoded_bytes: float
    reduction: int = 1
    coefficient_bytes: float = 0.0

    @property
    def pixels(self) -> int:
        """Width times height, as stored."""
        return self.width_px * self.height_px

    @property
    def pixel_bytes(self) -> float:
        """Memory for each stored pixel."""
        return self.coefficient_bytes + self.decoded_bytes / self.reduction**2

    @property
    def is_row_by_row(self) -> bool:
        """Whether the decoder reduces as it reads, so that memory hardly depends on the size."""
        return self.image_format is ImageFormat.JPEG and self.coefficient_bytes == 0


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


def check_dimensions(header: ImageHeader, limits: ImageLimits) -> None:
    """Refuse an image by the size that its header announces.

    Raises:
        TooManyPixelsError: There are too many for its type.
        ImageTooSmallError: It is too small, or too narrow once it is reduced.
    """
    size = f"{header.width_px:,} x {header.height_px:,} pixels"
    max_pixels = max(limits.max_pixels, limits.max_reduced_pixels if header.is_row_by_row else 0)
    if header.pixels > max_pixels:
        raise TooManyPixelsError(
            f"The image has {size}; at most {max_pixels / 1e6:g} megapixels are taken"
            f"{_others(header, limits)}. "
            "Send it reduced: more than 2048 pixels on the longest edge are not used."
        )
    edges = fit_within(header.width_px, header.height_px, limits.max_edge_px)
    if min(edges) < limits.min_edge_px:
        raise ImageTooSmallError(
            f"The image has {size}, which is too small or too narrow to show an object. "
            "Send a photo of some hundred pixels on each edge."
        )


def _others(header: ImageHeader, limits: ImageLimits) -> str:
    if header.is_row_by_row:
        return ""
    return f" of this type, or {limits.max_reduced_pixels / 1e6:g} as a baseline JPEG"


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
    brands = _read_brands(data)
    if brands & {b"avif", b"avis"}:
        return ImageFormat.AVIF
    if brands & _HEIF_BRANDS:
        return ImageFormat.HEIF
    raise UnsupportedImageTypeError(
        f"The file is {_name_other_type(data)}; PNG, JPEG, WebP, HEIC and AVIF are taken. "
        "Send the photo as one of these."
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
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_MAX_BRANDS_BYTES = 256
_SNIFFED_BYTES = 1024


def _read_brands(data: bytes) -> set[bytes]:
    """Return the kinds of content that an ISO container claims, the foremost included."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4]), _MAX_BRANDS_BYTES)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}


def _name_other_type(data: bytes) -> str:
    for magic, name in _MAGIC_NAMES:
        if data.startswith(magic):
            return name
    if data[4:8] == b"ftyp":
        return "a camera's raw file" if data[8:12] == b"crx " else "a video"
    head = data[:_SNIFFED_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in head:
        return "an SVG"
    if head.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return "a text file" if _is_text(data[:_SNIFFED_BYTES]) else "of a type that is not known here"


def _is_text(head: bytes) -> bool:
    # A character may be cut at the end of the sample, so what does not decode is left out there.
    text = head.decode("utf-8", errors="ignore")
    is_whole = len(text.encode()) >= len(head) - 3
    return is_whole and all(char.isprintable() or char in "\t\r\n\f" for char in text)
