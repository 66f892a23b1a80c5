"""Opens images with the decoders' own classes, and reads what they say before they decode."""

import io
from dataclasses import dataclass

from pi_heif import options as heif_options
from pi_heif.as_plugin import HeifImageFile
from PIL import AvifImagePlugin, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from orchestrator.domain.input_errors import TruncatedImageError, UnreadableImageError
from orchestrator.intake.formats.colour_space import choose_numbered_profile, choose_png_profile
from orchestrator.intake.formats.container import (
    check_boxes_are_whole,
    fit_webp_container,
    is_avif_large,
    is_webp_cut,
    read_avif_colours,
    read_webp_size,
)
from orchestrator.intake.formats.exif import UPRIGHT, read_orientation
from orchestrator.intake.formats.icc_profile import Profile, ProfileError, read_plain_profile
from orchestrator.intake.formats.jpeg import Jpeg, read_jpeg
from orchestrator.intake.formats.png import GREY, GREY_ALPHA, PALETTE, RGB, Png, read_png
from orchestrator.intake.image_memory import jpeg_reduction
from orchestrator.intake.image_rules import ImageFormat, ImageHeader, ImageLimits, fit_within

# One thread each: the process has a limit of CPU, and every thread takes address space.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
heif_options.DECODE_THREADS = 1
# What is not asked for is not looked at.
heif_options.THUMBNAILS = heif_options.DEPTH_IMAGES = heif_options.AUX_IMAGES = False

_WEBP_BYTES = 16.5
"""The canvas twice, the frame's copy and Pillow's: libwebp's decoder for animations."""
_AVIF_BYTES, _LARGE_AVIF_BYTES = 12, 22
"""The planes, alpha included; the same as bytes; and Pillow's. More than 8 bits take twice."""
_HEIF_BYTES, _HEIF_CHROMA_BYTES, _HEIF_ALPHA_BYTES, _HEIF_DEPTH_BYTES = 9, 3, 3, 8
"""Of a usual one, and what full chroma, alpha, and more than 8 bits of either add."""

_PROBE = b"\x55" * 4096
"""Read as pixels, these change the picture, if any pixel was still missing."""


@dataclass(slots=True)
class Opened:
    """An image that is about to be decoded.

    Attributes:
        image: Opened, not loaded.
        orientation: Exif's number, 1 to 8.
        profile: Of its colours, if they are not sRGB.
        notes: What was left aside.
        depth: Bits a channel in the file, where a level is transparent.
        transparent_level: One grey or colour, in the file's own depth, that is transparent.
        low_bytes: The same image, giving the lower byte of each 16-bit channel, where that decides
            what is transparent.
    """

    image: ImageFile.ImageFile
    orientation: int = UPRIGHT
    profile: Profile | None = None
    notes: tuple[str, ...] = ()
    depth: int = 8
    transparent_level: tuple[int, ...] | None = None
    low_bytes: ImageFile.ImageFile | None = None


def read_header(data: bytes, image_format: ImageFormat, limits: ImageLimits) -> ImageHeader:
    """Read what the file announces, without decoding.

    Raises:
        ImageError: The file is cut or damaged.
    """
    match image_format:
        case ImageFormat.PNG:
            return _png_header(read_png(data))
        case ImageFormat.JPEG:
            return _jpeg_header(read_jpeg(data), limits)
        case ImageFormat.WEBP:
            width_px, height_px = read_webp_size(data)
            return ImageHeader(image_format, width_px, height_px, decoded_bytes=_WEBP_BYTES)
    check_boxes_are_whole(data, image_format.label)
    if image_format is ImageFormat.HEIF:
        with HeifImageFile(io.BytesIO(data)) as opened:
            width_px, height_px = opened.size
            decoded_bytes = _heif_bytes(opened)
    else:
        with AvifImageFile(io.BytesIO(data)) as opened:
            width_px, height_px = opened.size
            decoded_bytes = _LARGE_AVIF_BYTES if is_avif_large(data) else _AVIF_BYTES
    return ImageHeader(image_format, width_px, height_px, decoded_bytes=decoded_bytes)


def open_image(data: bytes, image_format: ImageFormat) -> Opened:
    """Open an image of this type.

    Raises:
        ImageError: The file is cut or damaged.
        Exception: Whatever the damage leads a decoder to.
    """
    match image_format:
        case ImageFormat.PNG:
            return _open_png(read_png(data))
        case ImageFormat.JPEG:
            return _open_jpeg(read_jpeg(data))
        case ImageFormat.WEBP:
            webp = WebPImageFile(io.BytesIO(fit_webp_container(data)))
            return _with_profile(webp, orientation=read_orientation(webp.info.get("exif", b"")))
        case ImageFormat.AVIF:
            # Pillow tells the turns of the container in place of those that Exif names.
            avif = AvifImageFile(io.BytesIO(data))
            orientation = read_orientation(avif.info.get("exif", b""))
            return _with_profile(avif, orientation=orientation, numbers=read_avif_colours(data))
        case ImageFormat.HEIF:
            # libheif turns the image itself; what Exif says of it is history.
            heif = HeifImageFile(io.BytesIO(data))
            named = heif.info.get("nclx_profile") or {}
            pair = named.get("color_primaries", 2), named.get("transfer_characteristics", 2)
            return _with_profile(heif, numbers=(int(pair[0]), int(pair[1])))


def check_every_pixel_is_there(opened: Opened, data: bytes, image_format: ImageFormat) -> None:
    """Look for pixels that the decoder filled in without a word.

    Args:
        opened: Loaded already.
        data: The file.
        image_format: Its type.

    Raises:
        TruncatedImageError: Pixels are missing.
    """
    match image_format:
        case ImageFormat.PNG:
            png, image = read_png(data), opened.image
            # Pillow leaves what is missing at zero. The last row to come is the lowest one;
            # interlaced, the lowest of the odd ones.
            last = image.height - 1 - (png.is_interlaced and image.height % 2)
            row = image.crop((0, max(last, 0), image.width, max(last, 0) + 1))
            is_whole = (last > 0 and any(row.tobytes())) or png.has_all_pixels()
        case ImageFormat.JPEG:
            jpeg = read_jpeg(data)
            is_whole = jpeg.has_end or _is_deaf_to_more(opened.image, jpeg)
        case _:
            return
    if not is_whole:
        raise TruncatedImageError.of(image_format.label)


def failure_of(error: Exception, data: bytes, image_format: ImageFormat) -> Exception:
    """Return what to tell the caller about a decoder's error."""
    is_cut = image_format is ImageFormat.WEBP and is_webp_cut(data)
    words = str(error).lower()
    if is_cut or "truncated" in words or "end of file" in words:
        return TruncatedImageError.of(image_format.label)
    return UnreadableImageError.damaged(image_format.label)


def _heif_bytes(opened: ImageFile.ImageFile) -> int:
    has_chroma, has_alpha = opened.info.get("chroma") == 444, "A" in opened.mode.upper()
    is_deep = opened.info.get("bit_depth", 8) > 8 and (has_chroma or has_alpha)
    extra = _HEIF_CHROMA_BYTES * has_chroma + _HEIF_ALPHA_BYTES * has_alpha
    return _HEIF_BYTES + extra + _HEIF_DEPTH_BYTES * is_deep


def _png_header(png: Png) -> ImageHeader:
    bytes_each = 4
    if png.colour_type == PALETTE or (png.colour_type == GREY and png.depth <= 8):
        bytes_each = 1
    elif png.colour_type == GREY:
        bytes_each = 2
    elif _needs_low_bytes(png):
        bytes_each = 8
    return ImageHeader(ImageFormat.PNG, png.width_px, png.height_px, decoded_bytes=bytes_each)


def _needs_low_bytes(png: Png) -> bool:
    return png.transparent_level is not None and (png.colour_type, png.depth) == (RGB, 16)


def _jpeg_header(jpeg: Jpeg, limits: ImageLimits) -> ImageHeader:
    size = jpeg.width_px, jpeg.height_px
    coefficient_bytes = 0.0
    if not jpeg.is_one_pass:
        across, down = (max(side) for side in zip(*jpeg.sampling, strict=True))
        share = sum(x * y for x, y in jpeg.sampling) / (across * down)
        # Kept for whole blocks, so that a narrow picture takes more.
        padded = [edge + 8 * most for edge, most in zip(size, (across, down), strict=True)]
        coefficient_bytes = 2 * share * padded[0] * padded[1] / (size[0] * size[1])
    return ImageHeader(
        ImageFormat.JPEG,
        *size,
        decoded_bytes=1 if len(jpeg.sampling) == 1 else 4,
        reduction=jpeg_reduction(size, fit_within(*size, limits.max_edge_px)),
        coefficient_bytes=coefficient_bytes,
    )


def _open_png(png: Png) -> Opened:
    essentials = png.essentials
    opened = Opened(
        PngImageFile(io.BytesIO(essentials)),
        orientation=read_orientation(png.chunks.get(b"eXIf", b"")),
        depth=png.depth,
        transparent_level=png.transparent_level,
    )
    if _needs_low_bytes(png):
        opened.low_bytes = PngImageFile(io.BytesIO(essentials))
        opened.low_bytes.tile = [opened.low_bytes.tile[0]._replace(args="RGB;16L")]
    try:
        is_grey = png.colour_type in (GREY, GREY_ALPHA)
        opened.profile = choose_png_profile(png.chunks, is_grey=is_grey)
    except ProfileError as error:
        opened.notes = (_without_profile(error),)
    return opened


def _open_jpeg(jpeg: Jpeg) -> Opened:
    image = JpegImageFile(io.BytesIO(jpeg.with_end()))
    return _with_profile(image, orientation=read_orientation(jpeg.exif))


def _with_profile(
    image: ImageFile.ImageFile,
    *,
    orientation: int = UPRIGHT,
    numbers: tuple[int, int] | None = None,
) -> Opened:
    opened = Opened(image, orientation=orientation)
    embedded = image.info.get("icc_profile")
    try:
        if embedded:
            opened.profile = read_plain_profile(embedded)
        elif numbers:
            opened.profile = choose_numbered_profile(*numbers)
    except ProfileError as error:
        opened.notes = (_without_profile(error),)
    return opened


def _without_profile(error: ProfileError) -> str:
    return f"The colour profile was left aside, because {error}; the colours are read as sRGB."


def _is_deaf_to_more(image: ImageFile.ImageFile, jpeg: Jpeg) -> bool:
    """Tell whether further bytes would change nothing, because every pixel has been read."""
    with JpegImageFile(io.BytesIO(jpeg.with_end(_PROBE))) as probed:
        if image.size != probed.size:
            probed.draft(None, image.size)
        probed.load()
        rows = max(1, 500_000 // image.width)
        bands = (
            (0, top, image.width, min(top + rows, image.height))
            for top in range(0, image.height, rows)
        )
        return probed.size == image.size and all(
            image.crop(band).tobytes() == probed.crop(band).tobytes() for band in bands
        )
