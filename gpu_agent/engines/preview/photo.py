"""Decode the input image."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gpu_agent.engines import EngineError

_MOST_PIXELS = 50_000_000
_OPAQUE = 250
"""Alpha from here on counts as opaque: some encoders leave 254 in an opaque picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """An upright picture.

    Attributes:
        image: RGB.
        alpha: 8-bit transparency where it says something about the subject, else None.
    """

    image: Image.Image
    alpha: Image.Image | None


def decode_photo(data: bytes) -> Photo:
    """Decode a PNG (or whatever else Pillow reads) of any mode.

    Raises:
        EngineError: It can't be read (``invalid_image``) or shows nothing at all
            (``no_subject_found``).
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise EngineError("invalid_image", "The image has too many pixels.")
            if opened.mode in ("RGB", "L"):
                return Photo(image=opened.convert("RGB"), alpha=None)
            picture = opened.convert("RGBA")
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as error:
        raise EngineError("invalid_image", "The image can't be decoded.") from error
    alpha = picture.getchannel("A")
    values = np.asarray(alpha)
    lowest, highest = int(values.min()), int(values.max())
    if highest < 128:
        raise EngineError("no_subject_found", "The image is transparent throughout.")
    return Photo(image=picture.convert("RGB"), alpha=alpha if lowest < _OPAQUE else None)


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Give (H, W, 3) or (H, W) uint8."""
    return np.asarray(image)
