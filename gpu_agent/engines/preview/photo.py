"""Decode the input image."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from gpu_agent.engines import EngineError

_MOST_PIXELS = 50_000_000
_FORMATS = ("PNG", "JPEG", "WEBP")
_HALF = 128
_LEAST_TRANSPARENT = 0.005
"""With a smaller share of transparent pixels the picture counts as opaque: some pictures have
soft corners or a stray pixel."""


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
    """Decode a PNG, JPEG or WebP of any mode.

    Raises:
        EngineError: It can't be read (``invalid_image``) or shows nothing at all
            (``no_subject_found``).
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
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
    transparent = np.asarray(alpha) < _HALF
    if transparent.all():
        raise EngineError("no_subject_found", "The image is transparent throughout.")
    says_something = float(transparent.mean()) >= _LEAST_TRANSPARENT
    return Photo(image=picture.convert("RGB"), alpha=alpha if says_something else None)
