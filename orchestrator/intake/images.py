"""Turns the bytes that a caller sent into one upright PNG of sRGB pixels.

1. Size and type are judged from the first bytes.
2. The structure is walked with limits; what the image doesn't need is left out (metadata, text,
   further frames), so that the decoder never sees it.
3. What remains is decoded, brought to RGB or RGBA, reduced, turned upright and written again.
"""

import hashlib
import io
from dataclasses import dataclass

from PIL import Image, ImageCms

from orchestrator.domain.image_rules import (
    ImageFormat,
    ImageLimits,
    check_byte_count,
    check_dimensions,
    check_passes,
    fit_within,
    recognise_format,
)
from orchestrator.domain.image_structure import ImageStructure, reduce_to_essentials
from orchestrator.domain.input_errors import TruncatedImageError, UnreadableImageError
from orchestrator.intake.pixel_budget import PixelBudget

_DECODING = PixelBudget(max_pixels=64_000_000)
"""One for the process, because memory is: about 12 bytes a pixel at the worst moment."""

_PNG_COMPRESS_LEVEL = 4
"""Level 6 takes twice the time for 3 % less of a photo."""

_TRANSPOSE_FOR_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
        source_format: ``PNG``, ``JPEG`` or ``WEBP``.
    """

    png: bytes
    width: int
    height: int
    has_alpha: bool
    sha256: str
    source_format: str


def normalise_image(data: bytes, *, limits: ImageLimits | None = None) -> NormalisedImage:
    """Check and normalise an image; blocks for up to some seconds, so call it in a thread.

    Of an animation the first frame is taken.

    Args:
        data: The file as it came.
        limits: What is taken, and the longest edge of the result.

    Raises:
        ImageError: The image is refused; the message says what to do. Decided from the header
            in milliseconds wherever the header tells.
    """
    limits = limits or ImageLimits()
    check_byte_count(len(data), limits)
    image_format = recognise_format(data)
    structure = reduce_to_essentials(data, image_format)
    check_dimensions(structure.width_px, structure.height_px, limits)
    pixels = structure.width_px * structure.height_px
    check_passes(structure.passes, pixels, limits)
    with _DECODING.take(pixels):
        image = _decode(structure, image_format, max_edge_px=limits.max_edge_px)
        png = _encode(image)
    return NormalisedImage(
        png=png,
        width=image.width,
        height=image.height,
        has_alpha=image.mode == "RGBA",
        sha256=hashlib.sha256(png).hexdigest(),
        source_format=str(image_format),
    )


def _decode(
    structure: ImageStructure, image_format: ImageFormat, *, max_edge_px: int
) -> Image.Image:
    file = io.BytesIO(structure.essentials)
    try:
        with Image.open(file, formats=[image_format.value]) as opened:
            if opened.size == (structure.width_px, structure.height_px):
                return _normalise(opened, structure.orientation, max_edge_px=max_edge_px)
    except MemoryError:
        raise
    # Decoders raise whatever the damage leads them to (SyntaxError, struct.error, IndexError ...).
    except Exception as error:
        if "truncated" in str(error):
            raise TruncatedImageError.of(image_format) from error
        raise UnreadableImageError.damaged(image_format) from error
    # The decoder reads another size than was judged, so the judgement doesn't hold.
    raise UnreadableImageError.damaged(image_format)


def _normalise(opened: Image.Image, orientation: int, *, max_edge_px: int) -> Image.Image:
    profile = opened.info.get("icc_profile")
    size = fit_within(opened.width, opened.height, max_edge_px)
    opened.draft(None, size)
    opened.load()
    image = _to_eight_bits(opened)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    image = _to_srgb(image, profile)
    if orientation in _TRANSPOSE_FOR_ORIENTATION:
        image = image.transpose(_TRANSPOSE_FOR_ORIENTATION[orientation])
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Return the pixels as L, CMYK, RGB or RGBA."""
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "CMYK", "RGB") else image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    wanted = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.PERCEPTUAL,
                outputMode=wanted,
            )
        except (ImageCms.PyCMSError, OSError, ValueError):
            # A profile that can't be used is left aside, as browsers do.
            converted = None
        if converted is not None:
            return converted
    return image.convert(wanted)


def _encode(image: Image.Image) -> bytes:
    image.info.clear()
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=_PNG_COMPRESS_LEVEL)
    return file.getvalue()
