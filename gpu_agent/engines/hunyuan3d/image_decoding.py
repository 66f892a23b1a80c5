"""Decode the input image: any mode, upright, first frame, with a ceiling on memory.

The service stores its images normalised already; an agent that is used alone is sent anything.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from gpu_agent.engines.transparency import AlphaKind, classify_alpha
from gpu_agent.errors import EngineError

MOST_PIXELS = 50_000_000
"""Of the file: 200 MB decoded. hy3dgen's own path takes 9 GB for 144 million."""

LONGEST_EDGE_PX = 2048
_FORMATS = ("PNG", "JPEG", "WEBP")

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation. PIL's own way writes the EXIF anew, and fails on fields of a wrong type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """An upright picture.

    Attributes:
        rgb: Longest edge at most `LONGEST_EDGE_PX`.
        alpha: (H, W) its transparency, or None where that says nothing.
        alpha_kind: What it says.
    """

    rgb: Image.Image
    alpha: NDArray[np.uint8] | None
    alpha_kind: AlphaKind = AlphaKind.OPAQUE


def decode_image(data: bytes) -> DecodedImage:
    """Decode a PNG, JPEG or WebP of any mode.

    Raises:
        EngineError: It can't be read or is too large (``invalid_image``).
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise _too_large(opened.width * opened.height)
            # A JPEG is decoded at half or a quarter of its size where that will do.
            opened.draft(None, (LONGEST_EDGE_PX, LONGEST_EDGE_PX))
            # An open file may still be cut short: decoding finds out.
            opened.load()
            picture = _upright(_eight_bit(opened), opened.getexif().get(ExifTags.Base.Orientation))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large() from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise EngineError("invalid_image", "The image can't be decoded.") from error
    picture.thumbnail(
        (LONGEST_EDGE_PX, LONGEST_EDGE_PX), Image.Resampling.LANCZOS, reducing_gap=2.0
    )
    if picture.mode == "RGB":
        return DecodedImage(rgb=picture, alpha=None)
    alpha = np.asarray(picture.getchannel("A"))
    kind = classify_alpha(alpha)
    return DecodedImage(
        rgb=picture.convert("RGB"),
        alpha=None if kind is AlphaKind.OPAQUE else alpha,
        alpha_kind=kind,
    )


def _eight_bit(opened: Image.Image) -> Image.Image:
    """Give the first frame as RGB, or as RGBA where it has transparency."""
    if opened.mode in ("I;16", "I;16B", "I"):
        # PIL's own conversion clips at 255, which leaves almost every pixel white.
        levels = np.asarray(opened).astype(np.float32) / 257
        return Image.fromarray(levels.clip(0, 255).round().astype(np.uint8)).convert("RGB")
    has_alpha = opened.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in opened.info
    return opened.convert("RGBA" if has_alpha else "RGB")


def _upright(picture: Image.Image, orientation: Any) -> Image.Image:
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _too_large(pixels: int | None = None) -> EngineError:
    size = "too many" if pixels is None else f"{pixels / 1e6:.0f} million"
    return EngineError(
        "invalid_image",
        f"The image has {size} pixels; the most is {MOST_PIXELS // 10**6} million.",
    )
