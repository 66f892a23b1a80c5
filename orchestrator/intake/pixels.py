"""Brings decoded pixels to the size and the colours that jobs use.

The order is fixed here: transparent level and depth, palette and alpha, size, colour profile (CMYK
too), orientation, and last whether the alpha hides anything.
"""

import io
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageCms

from orchestrator.intake.decoding import Opened
from orchestrator.intake.formats.icc_profile import Profile
from orchestrator.intake.image_memory import plan_bands
from orchestrator.intake.image_rules import fit_within

_TRANSPOSE_FOR_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FAINTEST = 2
"""Levels by which the pixels of one colour may differ after a decoder's rounding."""


def normalise_pixels(
    opened: Opened, stored_size: tuple[int, int], max_edge_px: int
) -> Image.Image:
    """Return RGB or RGBA in sRGB, upright, with the longest edge cut; notes go to `opened`.

    Args:
        opened: Loaded.
        stored_size: Before the decoder itself reduced it.
        max_edge_px: Of the result.
    """
    image = _fit(opened, fit_within(*stored_size, max_edge_px))
    image = _to_srgb(image, opened)
    if opened.orientation in _TRANSPOSE_FOR_ORIENTATION:
        image = image.transpose(_TRANSPOSE_FOR_ORIENTATION[opened.orientation])
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image


def is_blank(image: Image.Image) -> bool:
    """Tell whether there is nothing to see: one colour alone, or no pixel that is not clear."""
    # Levels in use, from the lowest: a histogram has 256 numbers for each channel.
    counts = image.histogram()
    used = [
        [level for level in range(256) if counts[start + level]]
        for start in range(0, len(counts), 256)
    ]
    if image.mode == "RGBA" and used[3][-1] <= _FAINTEST:
        return True
    return all(levels[-1] - levels[0] <= _FAINTEST for levels in used)


def _fit(opened: Opened, size: tuple[int, int]) -> Image.Image:
    """Reduce in bands of rows, by a whole number first: hardly more memory than the image has."""
    source = opened.image
    bands = plan_bands(source.size, size)
    fitted: Image.Image | None = None
    for band in bands:
        part = _to_eight_bits(opened, (0, band.top, source.width, band.bottom))
        if source.size != size:
            part = part.convert("RGBa") if part.mode == "RGBA" else part
            part = part.reduce(band.factor) if band.factor > 1 else part
            box = (0, band.inner_top, source.width / band.factor, band.inner_bottom)
            target = (size[0], band.target_bottom - band.target_top)
            part = part.resize(target, Image.Resampling.LANCZOS, box=box)
            part = part.convert("RGBA") if part.mode == "RGBa" else part
        fitted = fitted or Image.new(part.mode, size)
        fitted.paste(part, (0, band.target_top))
    assert fitted is not None  # noqa: S101 - an image has at least one row
    return fitted


def _to_eight_bits(opened: Opened, box: tuple[int, int, int, int]) -> Image.Image:
    """Return some rows as L, CMYK, RGB or RGBA."""
    band = opened.image.crop(box)
    levels = opened.transparent_level
    if band.mode.startswith("I"):
        wide = band.convert("I")
        band = wide.point([round(value / 257) for value in range(65536)], "L")
        if levels:
            return _hide(band, wide.point([255 * (v != levels[0]) for v in range(65536)], "L"))
        return band
    if levels:
        return _hide_level(opened, band, box, levels)
    if band.mode == "1":
        return band.convert("L")
    if band.mode in ("LA", "La", "PA", "RGBa") or band.has_transparency_data:
        return band.convert("RGBA")
    return band if band.mode in ("L", "CMYK", "RGB") else band.convert("RGB")


def _hide_level(
    opened: Opened, band: Image.Image, box: tuple[int, int, int, int], levels: Sequence[int]
) -> Image.Image:
    band = band.convert("L") if band.mode == "1" else band
    channels = list(band.split())
    if opened.low_bytes is not None:
        channels += opened.low_bytes.crop(box).split()
        wanted = [*(level >> 8 for level in levels), *(level & 255 for level in levels)]
    else:
        wanted = [level * 255 // ((1 << opened.depth) - 1) for level in levels]
    alpha = Image.new("L", band.size, 0)
    for channel, level in zip(channels, wanted, strict=True):
        differs = channel.point([255 * (value != level) for value in range(256)])
        alpha = ImageChops.lighter(alpha, differs)
    return _hide(band, alpha)


def _hide(colours: Image.Image, alpha: Image.Image) -> Image.Image:
    image = colours.convert("RGB")
    image.putalpha(alpha)
    return image


def _to_srgb(image: Image.Image, opened: Opened) -> Image.Image:
    profile = opened.profile
    if profile is None:
        return image.convert("RGBA" if image.mode == "RGBA" else "RGB")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = _in_space(image, profile)
    converted = _converted(colours, profile) if colours is not None else None
    if converted is None:
        opened.notes += ("The colour profile was left aside, because it does not fit the image.",)
        return image.convert("RGBA" if alpha is not None else "RGB")
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _in_space(image: Image.Image, profile: Profile) -> Image.Image | None:
    """Return the colours as the profile takes them, or None if they are of another kind."""
    if profile.space == b"CMYK" or image.mode == "CMYK":
        return image if (profile.space, image.mode) == (b"CMYK", "CMYK") else None
    if profile.space == b"RGB ":
        return image.convert("RGB")
    red, green, blue = image.convert("RGB").split()
    is_grey = not any(ImageChops.difference(red, other).getbbox() for other in (green, blue))
    return red if is_grey else None


def _converted(colours: Image.Image, profile: Profile) -> Image.Image | None:
    try:
        return ImageCms.profileToProfile(
            colours,
            ImageCms.ImageCmsProfile(io.BytesIO(profile.data)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.PERCEPTUAL,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
