"""Pictures with a known subject, for the tests of engines."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage
from PIL import Image, ImageDraw

Draw = Callable[[ImageDraw.ImageDraw], None]

_SCALE = 4
_GREY = (224, 226, 228)


def photo(draw: Draw, size: tuple[int, int] = (480, 360), background=_GREY) -> bytes:
    """Draw on a grainy, even background; coordinates are four times the picture's pixels."""
    image = Image.new("RGB", (size[0] * _SCALE, size[1] * _SCALE), background)
    draw(ImageDraw.Draw(image))
    pixels = np.asarray(image.resize(size, Image.Resampling.BOX), np.float32)
    grain = np.random.default_rng(7).normal(0, 2, pixels.shape)
    return png(Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8)))


def mask(draw: Draw, size: tuple[int, int] = (480, 360)) -> np.ndarray:
    """Give the (H, W) truth of `photo`; fill colours count as subject unless they are grey."""
    image = Image.new("RGB", (size[0] * _SCALE, size[1] * _SCALE), _GREY)
    draw(ImageDraw.Draw(image))
    pixels = np.asarray(image.resize(size, Image.Resampling.BOX), np.float32)
    return np.abs(pixels - _GREY).max(axis=-1) > 30


def disc(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((560, 240, 1360, 1040), fill=(150, 60, 50))


def ring(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((500, 200, 1460, 1160), fill=(40, 90, 160))
    draw.ellipse((760, 460, 1200, 900), fill=_GREY)


def mug(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((1000, 420, 1500, 920), outline=(60, 130, 110), width=90)
    draw.rounded_rectangle((480, 240, 1200, 1100), 80, fill=(60, 140, 120))


def lamp(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon((700, 120, 1220, 120, 1360, 480, 560, 480), fill=(200, 150, 60))
    draw.line((960, 480, 960, 1300), fill=(50, 50, 55), width=40)
    draw.ellipse((740, 1240, 1180, 1340), fill=(50, 50, 55))


def cut_off(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((400, 600, 1500, 2200), fill=(120, 50, 130))


def two(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((200, 360, 800, 1080), fill=(190, 60, 50))
    draw.ellipse((1120, 400, 1700, 980), fill=(60, 90, 190))


def lying_pen(draw: ImageDraw.ImageDraw) -> None:
    draw.rounded_rectangle((300, 660, 1620, 780), 50, fill=(40, 60, 150))


def standing_pen(draw: ImageDraw.ImageDraw) -> None:
    draw.rounded_rectangle((900, 60, 1020, 1380), 50, fill=(40, 60, 150))


def small(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((900, 700, 1020, 800), fill=(200, 40, 30))


def see_through(photo_png: bytes, alpha: np.ndarray) -> bytes:
    """Give a photo another alpha, and black where nothing shows, as canvases do."""
    image = Image.open(io.BytesIO(photo_png)).convert("RGB").resize(alpha.shape[::-1])
    pixels = np.dstack([np.where(alpha[..., None] > 0, np.asarray(image), 0), alpha])
    return png(Image.fromarray(pixels.astype(np.uint8)))


def png(image: Image.Image) -> bytes:
    """Encode as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def packaged(name: str) -> bytes:
    """Read a real photograph out of scikit-image's own files."""
    return (Path(skimage.__file__).parent / "data" / name).read_bytes()


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Give the intersection over the union of two masks."""
    return float((a & b).sum() / (a | b).sum())
