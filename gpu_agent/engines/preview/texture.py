"""Paint the model: the photo on the front, a soft continuation of its rim on the back.

One texture holds both charts: the front at full size, the back at half size beside or below it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_RIM_PX = 1.5
"""Pixels this near to the outline hold some background and are painted over from inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """A texture of two charts, both showing the whole cut-out picture.

    Attributes:
        image: (H, W, 3) uint8 sRGB.
        front: (left, top, width, height) of the front's chart, as shares of the texture.
        back: The same for the back.
    """

    image: Bytes
    front: tuple[float, float, float, float]
    back: tuple[float, float, float, float]

    def coordinates(self, flat: NDArray[np.float64], size: tuple[int, int]) -> Floats:
        """Give glTF texture coordinates, (0, 0) at the top left.

        Args:
            flat: (2 V, 2) picture coordinates, the front sheet's first.
            size: Width and height of the picture that `flat` refers to, in pixels.
        """
        share = (flat + 0.5) / np.asarray(size, np.float64)
        half = len(flat) // 2
        charts = np.empty_like(share)
        for rows, chart in ((slice(0, half), self.front), (slice(half, None), self.back)):
            charts[rows] = share[rows] * np.asarray(chart[2:]) + np.asarray(chart[:2])
        return charts.astype(np.float32)


def paint_atlas(rgb: Bytes, coverage: Floats, *, longest_edge: int) -> Atlas:
    """Paint both charts.

    Args:
        rgb: (H, W, 3) the cut-out picture, background still in it.
        coverage: (H, W) 0 to 1.
        longest_edge: Most pixels of the texture along an edge.
    """
    high, wide = coverage.shape
    is_wide = wide >= high
    scale = min(
        1.0, longest_edge / max(wide * (1 if is_wide else 1.5), high * (1.5 if is_wide else 1))
    )
    size = (_even(wide * scale), _even(high * scale))
    small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX, reducing_gap=2.0))
    cover = np.asarray(Image.fromarray(coverage).resize(size, Image.Resampling.BILINEAR))
    front = bleed(small.astype(np.float32), _solid(cover))
    back = _paint_back(front, cover, is_wide=is_wide)
    image = np.concatenate([_bytes(front), back], axis=0 if is_wide else 1)
    share = size[1] / image.shape[0], size[0] / image.shape[1]
    if is_wide:
        charts = (0.0, 0.0, 1.0, share[0]), (0.0, share[0], 1.0, 1 - share[0])
    else:
        charts = (0.0, 0.0, share[1], 1.0), (share[1], 0.0, 1 - share[1], 1.0)
    return Atlas(image=image, front=charts[0], back=charts[1])


def bleed(colour: Floats, weight: Floats) -> Floats:
    """Spread colours outward over pixels without weight, smoothly, by a pyramid.

    Args:
        colour: (H, W, C).
        weight: (H, W) 0 to 1; where it is 1 the colour stays.
    """
    if min(weight.shape) <= 1 or weight.min() >= 1:
        total = max(float(weight.sum()), 1e-6)
        mean = (colour * weight[..., None]).sum(axis=(0, 1)) / total
        flat: Floats = colour * weight[..., None] + mean * (1 - weight[..., None])
        return flat
    high, wide = weight.shape
    padded = np.pad(
        np.dstack([colour * weight[..., None], weight]), ((0, high % 2), (0, wide % 2), (0, 0))
    )
    halved = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2, -1).sum(axis=(1, 3))
    mass = halved[..., -1]
    coarse = bleed(halved[..., :-1] / np.maximum(mass, 1e-6)[..., None], mass.clip(0, 1))
    layers = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(coarse[..., c])).resize(
                (wide, high), Image.Resampling.BILINEAR
            )
        )
        for c in range(coarse.shape[-1])
    ]
    kept = weight[..., None]
    filled: Floats = colour * kept + np.dstack(layers).astype(np.float32) * (1 - kept)
    return filled


def _solid(cover: Floats) -> Floats:
    """Weigh pixels 1 well inside the outline and 0 at it."""
    inside = cover >= 0.5
    away = ndimage.distance_transform_edt(inside).astype(np.float32)
    # A part thinner than the rim has no inside; there its middle must do.
    reach = np.minimum(_RIM_PX, 0.7 * ndimage.maximum_filter(away, 5))
    solid: Floats = ((away - reach) + 0.5).clip(0, 1) * inside
    return solid


def _paint_back(front: Floats, cover: Floats, *, is_wide: bool) -> Bytes:
    """Blur the front, the more the further from the rim, so that both meet at the rim.

    It is half as high as the front if that is wide, else half as wide.
    """
    half = (front.shape[1] // 2, front.shape[0] // 2)
    small = np.asarray(Image.fromarray(_bytes(front)).resize(half, Image.Resampling.BOX)).astype(
        np.float32
    )
    mask = np.asarray(Image.fromarray(cover).resize(half, Image.Resampling.BILINEAR))
    away = ndimage.distance_transform_edt(mask >= 0.5).astype(np.float32)
    size = max(1.0, float(np.sqrt((mask >= 0.5).sum())))
    sigmas = [0.0, 0.015 * size, 0.04 * size, 0.09 * size]
    layers = [small] + [_blur_inside(small, mask, sigma) for sigma in sigmas[1:]]
    wanted = np.interp(0.45 * away, sigmas, np.arange(len(sigmas))).astype(np.float32)
    back = np.zeros_like(small)
    for number, layer in enumerate(layers):
        back += layer * (1 - np.abs(wanted - number)).clip(0)[..., None]
    picture = Image.fromarray(_bytes(back))
    size_px = (front.shape[1], half[1]) if is_wide else (half[0], front.shape[0])
    return np.asarray(picture.resize(size_px, Image.Resampling.BILINEAR))


def _blur_inside(colour: Floats, mask: Floats, sigma: float) -> Floats:
    weight = ndimage.gaussian_filter(mask, sigma, truncate=2.5)[..., None] + np.float32(1e-4)
    mixed = ndimage.gaussian_filter(
        colour * mask[..., None] + 1e-4 * colour, (sigma, sigma, 0), truncate=2.5
    )
    blurred: Floats = (mixed / weight).clip(0, 255)
    return blurred


def _bytes(colour: Floats) -> Bytes:
    return (colour + 0.5).clip(0, 255).astype(np.uint8)


def _even(value: float) -> int:
    return max(8, round(value / 2) * 2)
