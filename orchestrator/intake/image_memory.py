"""Plans how an image is reduced in bands of rows, and bounds the memory that this takes."""

from math import ceil, floor
from typing import NamedTuple

from orchestrator.domain.input_errors import TooManyPixelsError
from orchestrator.intake.image_rules import ImageHeader, ImageLimits, fit_within

_BAND_PIXELS = 1_500_000
"""About how many pixels are worked on at once."""

_BAND_BYTES = 16
"""For a pixel of a band: its copies in other modes, one after the other."""

_TARGET_BYTES = 11
"""For a pixel of the result: before and after its colours are converted, and as a file."""

_FILE_COPIES = 2
_FIXED_BYTES = 8_000_000

_REDUCTION_GAP = 1.5
"""What a whole number leaves to the good filter, which costs more."""

_FILTER_REACH = 3
"""Of Lanczos, in pixels of the result, to both sides."""


class Band(NamedTuple):
    """Some rows of the result and those of the source that they are made from.

    Attributes:
        top: First row of the source, with what the filter reaches above.
        bottom: Behind the last one.
        factor: The whole number to divide by first.
        inner_top: Where the band itself begins, counted from `top`, once divided.
        inner_bottom: Where it ends.
        target_top: First row of the result.
        target_bottom: Behind the last one.
    """

    top: int
    bottom: int
    factor: int
    inner_top: float
    inner_bottom: float
    target_top: int
    target_bottom: int


def plan_bands(size: tuple[int, int], target: tuple[int, int]) -> list[Band]:
    """Cut an image of this size into bands, from which the target is made from top to bottom."""
    width_px, height_px = size
    ratio = min(width_px / target[0], height_px / target[1])
    factor = max(1, floor(ratio / _REDUCTION_GAP))
    rows = ceil(height_px / factor)
    step = height_px / factor / target[1]
    reach = 0 if size == target else ceil(_FILTER_REACH * step) + 1
    at_once = max(1, floor(_BAND_PIXELS / (width_px * factor * step)))
    bands = []
    for first in range(0, target[1], at_once):
        last = min(first + at_once, target[1])
        low = max(0, floor(first * step) - reach)
        high = min(rows, ceil(last * step) + reach)
        bands.append(
            Band(
                top=low * factor,
                bottom=min(high * factor, height_px),
                factor=factor,
                inner_top=first * step - low,
                inner_bottom=min(last * step, height_px / factor) - low,
                target_top=first,
                target_bottom=last,
            )
        )
    return bands


def decoding_bytes(header: ImageHeader, file_bytes: int, limits: ImageLimits) -> int:
    """Return an upper bound of the memory that decoding and writing again takes.

    Args:
        header: Of the image.
        file_bytes: Size of the file. It is there already and not counted, its copies are.
        limits: The longest edge of the result.
    """
    size = (-(-header.width_px // header.reduction), -(-header.height_px // header.reduction))
    target = fit_within(header.width_px, header.height_px, limits.max_edge_px)
    band_rows = max(band.bottom - band.top for band in plan_bands(size, target))
    return round(
        header.pixels * header.pixel_bytes
        + _BAND_BYTES * size[0] * band_rows
        + _TARGET_BYTES * target[0] * target[1]
        + _FILE_COPIES * file_bytes
        + _FIXED_BYTES
    )


def check_memory(header: ImageHeader, memory_bytes: int, limits: ImageLimits) -> None:
    """Refuse an image that needs more memory to decode than there is.

    Args:
        header: Of the image.
        memory_bytes: What `decoding_bytes` answered.
        limits: What is taken.

    Raises:
        TooManyPixelsError: It does; the message says how many pixels of its type would fit.
    """
    if memory_bytes <= limits.max_memory_bytes:
        return
    other_bytes = memory_bytes - header.pixels * header.pixel_bytes
    fitting = max(0.0, (limits.max_memory_bytes - other_bytes) / header.pixel_bytes)
    raise TooManyPixelsError(
        f"The image has {header.width_px:,} x {header.height_px:,} pixels; of "
        f"this kind of {header.image_format.label} at most {floor(fitting / 1e6)} megapixels are "
        "taken, because decoding needs memory for all of them at once. "
        "Send it reduced to 2048 pixels on the longest edge, or as a baseline JPEG."
    )


def jpeg_reduction(size: tuple[int, int], target: tuple[int, int]) -> int:
    """Return by how much libjpeg divides while it decodes: 1, 2, 4 or 8."""
    scale = min(size[0] // target[0], size[1] // target[1])
    return next(step for step in (8, 4, 2, 1) if scale >= step)
