"""The image of a job: what was posted, where it comes from, and what it is once it was read."""

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Posted(NamedTuple):
    """The body of a POST, unread.

    Attributes:
        what: What it is to become.
        content_type: As the header has it, or empty.
        body: At least one byte.
    """

    what: Literal["job", "batch"]
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Bytes that came with the request, or a URL to fetch."""

    data: bytes | None = None
    url: str | None = None
    name: str | None = None

    def digest(self) -> str:
        """Identify the image as it was sent."""
        content = self.data if self.data is not None else f"url:{self.url}".encode()
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class NormalisedImage:
    """An image as jobs use it.

    Attributes:
        png: The file: RGB or RGBA, 8 bits, sRGB, upright, no metadata. Equal input gives equal
            bytes under one version of Pillow.
        width: In pixels, at most `ImageLimits.max_edge_px`.
        height: In pixels, likewise.
        has_alpha: Whether any pixel is not opaque.
        sha256: Of `png`, in hex.
        source_format: ``PNG``, ``JPEG``, ``WEBP``, ``HEIF`` or ``AVIF``.
        notes: Sentences about what was left aside, such as a colour profile.
    """

    png: bytes
    width: int
    height: int
    has_alpha: bool
    sha256: str
    source_format: str
    notes: tuple[str, ...] = ()
