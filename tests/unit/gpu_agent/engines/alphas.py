"""Transparency whose meaning is known, for the tests of engines: (H, W) uint8, 255 is solid."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Draw = Callable[[ImageDraw.ImageDraw, int, int], None]

_SCALE = 4


def drawn(draw: Draw, size: tuple[int, int], ground: int = 0) -> Image.Image:
    """Draw with smooth edges; `draw` is told the width and height that it draws in."""
    image = Image.new("L", (size[0] * _SCALE, size[1] * _SCALE), ground)
    draw(ImageDraw.Draw(image), *image.size)
    return image.resize(size, Image.Resampling.BOX)


def rounded(size: tuple[int, int], share: float) -> np.ndarray:
    """Give a photo whose corners are rounded by this share of its shorter side."""
    radius = share * min(size) * _SCALE

    def draw(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
        pen.rounded_rectangle((0, 0, wide - 1, high - 1), radius, fill=255)

    return np.asarray(drawn(draw, size))


def turned(size: tuple[int, int], degrees: float, *, expand: bool = True) -> np.ndarray:
    """Give a photo that an editor has turned, on a larger canvas or cut to the same one."""
    photo = Image.new("L", size, 255)
    return np.asarray(photo.rotate(degrees, Image.Resampling.BICUBIC, expand=expand))


def framed(size: tuple[int, int], share: float, blur_px: float = 0.0) -> np.ndarray:
    """Give a photo with a transparent margin, feathered if told so."""
    wide, high = size
    alpha = Image.new("L", size, 0)
    alpha.paste(
        255,
        (
            round(share * wide),
            round(share * high),
            wide - round(share * wide),
            high - round(share * high),
        ),
    )
    return np.asarray(alpha.filter(ImageFilter.GaussianBlur(blur_px)) if blur_px else alpha)


def vignette(size: tuple[int, int], begin: float, end: float) -> np.ndarray:
    """Give a photo that fades out between two radii, 1 being half of its width and height."""
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    return (255 * ((end - np.hypot(x, y)) / (end - begin)).clip(0, 1)).astype(np.uint8)


def between_bars(size: tuple[int, int]) -> np.ndarray:
    """Give a photo in the middle of a square canvas."""
    edge = max(size)
    alpha = Image.new("L", (edge, edge), 0)
    alpha.paste(255, ((edge - size[0]) // 2, (edge - size[1]) // 2, *_low_right(size, edge)))
    return np.asarray(alpha)


def _low_right(size: tuple[int, int], edge: int) -> tuple[int, int]:
    return (edge - size[0]) // 2 + size[0], (edge - size[1]) // 2 + size[1]


def disc(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """A ball with a margin."""
    pen.ellipse((0.1 * wide, 0.1 * high, 0.9 * wide, 0.9 * high), fill=255)


def tight_disc(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """A ball cropped to its box."""
    pen.ellipse((0, 0, wide - 1, high - 1), fill=255)


def ring(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """A ring cropped to its box."""
    tight_disc(pen, wide, high)
    pen.ellipse((0.25 * wide, 0.25 * high, 0.75 * wide, 0.75 * high), fill=0)


def window(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """A frame that fills the picture, with nothing in it."""
    pen.rectangle((0, 0, wide, high), fill=255)
    pen.rectangle((0.2 * wide, 0.2 * high, 0.8 * wide, 0.8 * high), fill=0)


def bust(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """Head and shoulders, cut off below."""
    pen.ellipse((0.32 * wide, 0.05 * high, 0.68 * wide, 0.6 * high), fill=255)
    pen.ellipse((0.08 * wide, 0.55 * high, 0.92 * wide, 1.5 * high), fill=255)


def mug(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """A mug cropped to its box."""
    pen.rounded_rectangle((0, 0, 0.7 * wide, high - 1), 0.05 * wide, fill=255)
    pen.ellipse((0.5 * wide, 0.25 * high, wide - 1, 0.75 * high), outline=255, width=wide // 16)


def car(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """A car that touches the frame left and right."""
    pen.rounded_rectangle((0, 0.45 * high, wide - 1, 0.75 * high), 0.05 * wide, fill=255)
    pen.polygon([(x * wide, y * high) for x, y in _ROOF], fill=255)
    for left in (0.12, 0.68):
        pen.ellipse((left * wide, 0.6 * high, (left + 0.2) * wide, 0.9 * high), fill=255)


_ROOF = ((0.25, 0.45), (0.35, 0.2), (0.65, 0.2), (0.8, 0.45))


def box(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """A carton in the middle."""
    pen.rectangle((0.3 * wide, 0.15 * high, 0.7 * wide, 0.85 * high), fill=255)


def speck(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """A subject far away."""
    pen.ellipse((0.5 * wide, 0.5 * high, 0.58 * wide, 0.58 * high), fill=255)


def pair(pen: ImageDraw.ImageDraw, wide: int, high: int) -> None:
    """Two shoes."""
    pen.ellipse((0, 0.3 * high, 0.45 * wide, 0.7 * high), fill=255)
    pen.ellipse((0.55 * wide, 0.3 * high, wide - 1, 0.7 * high), fill=255)


CUTOUTS = (disc, tight_disc, ring, window, bust, mug, car, box, speck, pair)
