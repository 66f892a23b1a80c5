"""Decode the input image."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gpu_agent.engines import EngineError
from gpu_agent.engines.transparency import AlphaKind, classify_alpha

_MOST_PIXELS = 50_000_000
_FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """An upright picture.

    Attributes:
        image: RGB.
        alpha: (H, W) its transparency, or None where that says nothing.
        alpha_kind: What it says.
    """

    image: Image.Image
    alpha: NDArray[np.uint8] | None
    alpha_kind: AlphaKind = AlphaKind.OPAQUE


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
    alpha = np.asarray(picture.getchannel("A"))
    kind = classify_alpha(alpha)
    if kind is AlphaKind.EMPTY:
        raise EngineError("no_subject_found", "The image is transparent throughout.")
    return Photo(
        image=picture.convert("RGB"),
        alpha=None if kind is AlphaKind.OPAQUE else alpha,
        alpha_kind=kind,
    )
