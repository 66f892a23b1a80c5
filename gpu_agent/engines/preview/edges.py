"""Draw a coarse outline along the edges of a finer picture (He et al., Guided Filter)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Floats = NDArray[np.float32]

_REACH_GRAINS = 3.0
_EVENNESS = 4e-4


def follow_edges(coverage: Floats, rgb: NDArray[np.uint8], *, grain_px: float) -> Floats:
    """Move an outline onto the picture's edges where some are near.

    Args:
        coverage: (H, W) 0 to 1, blurred by its enlargement.
        rgb: (H, W, 3) the picture, of the same size.
        grain_px: Pixels of the picture for one of the coverage that was enlarged.

    Returns:
        (H, W) 0 to 1, one half on the outline, with a smooth ramp of about a grain.
    """
    step = max(1, round(grain_px))
    high, wide = coverage.shape
    size = (max(2, wide // step), max(2, high // step))
    reduced = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX), np.float32)
    guide = reduced / np.float32(255)
    target = np.asarray(Image.fromarray(coverage).resize(size, Image.Resampling.BOX))
    slopes, offset = _local_lines(guide, target, round(2 * _REACH_GRAINS) + 1)
    fine = _enlarged(offset, (wide, high))
    for channel in range(3):
        fine = fine + _enlarged(slopes[..., channel], (wide, high)) * (
            rgb[..., channel].astype(np.float32) / np.float32(255)
        )
    # Only near the outline: inside and outside the coarse answer stands.
    band = ndimage.gaussian_filter(coverage, 2.0 * max(grain_px, 1.0), truncate=2.0)
    unsure = (1 - np.abs(2 * band - 1)) > 0.08
    drawn = np.where(unsure, ((fine - 0.5) * 2 + 0.5).clip(0, 1), coverage).astype(np.float32)
    smooth: Floats = ndimage.gaussian_filter(drawn, 0.6 * max(grain_px, 1.5))
    return smooth


def _local_lines(guide: Floats, target: Floats, window: int) -> tuple[Floats, Floats]:
    """Fit target = slope . guide + offset around each pixel, and average the fits."""

    def mean(values: Floats) -> Floats:
        local: Floats = ndimage.uniform_filter(values, window, mode="nearest")
        return local

    middle = np.stack([mean(guide[..., c]) for c in range(3)], axis=-1)
    level = mean(target)
    spread = np.empty((*target.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            product = mean(guide[..., i] * guide[..., j]) - middle[..., i] * middle[..., j]
            spread[..., i, j] = spread[..., j, i] = product
    spread += np.eye(3, dtype=np.float32) * np.float32(_EVENNESS)
    together = [mean(guide[..., c] * target) - middle[..., c] * level for c in range(3)]
    slopes = np.linalg.solve(spread, np.stack(together, axis=-1)[..., None])[..., 0]
    offset = level - (slopes * middle).sum(axis=-1)
    averaged = np.stack([mean(slopes[..., c]) for c in range(3)], axis=-1)
    return averaged.astype(np.float32), mean(offset).astype(np.float32)


def _enlarged(values: Floats, size: tuple[int, int]) -> Floats:
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))
