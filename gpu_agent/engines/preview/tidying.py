"""Clean a cut: drop specks and bystanders, close cracks, and decide which holes are holes."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gpu_agent.engines import EngineError
from gpu_agent.engines.preview.texture import bleed

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LEAST_SHARE = 0.04
"""A part smaller than this share of the largest one is dropped."""

_LEAST_HOLE_SHARE = 0.003
"""A smaller hole, as a share of the subject, is filled."""

_EVEN_GRAIN_LAB = 1.0
"""A background with less grain than this is even: colour alone tells it from the subject."""

_SAME_LAB = 3.0
"""Difference below which a pixel on an even background is background."""

_BACKGROUND_LAB = 9.0
"""A hole shows the background when it differs less than this from what surrounds the subject."""


def tidy(subject: Floats, lab: Floats) -> Floats:
    """Keep the parts that matter, and fill holes that do not show the background.

    Args:
        subject: (H, W) 0 to 1, a raw cut.
        lab: (H, W, 3) the picture it was made in, CIE Lab.

    Returns:
        (H, W) 0 or 1.

    Raises:
        EngineError: No part is left, or all of the picture is (``no_subject_found``).
    """
    mask = subject > 0.5
    radius = max(mask.shape) / 160
    mask = _main_parts(_opened(_closed(mask, radius), radius / 2))
    if not mask.any() or mask.mean() > 0.985:
        raise EngineError("no_subject_found", "No subject stands out from the background.")
    return _fill(mask, lab).astype(np.float32)


def _closed(mask: Mask, radius: float) -> Mask:
    """Bridge cracks narrower than twice the radius."""
    grown = np.pad(mask, 8)
    grown = ndimage.distance_transform_edt(~grown) <= radius
    closed: Mask = ndimage.distance_transform_edt(grown)[8:-8, 8:-8] > radius
    return closed | mask


def _opened(mask: Mask, radius: float) -> Mask:
    """Drop what is thinner than the radius, but keep thin parts that belong to thick ones."""
    core = ndimage.distance_transform_edt(mask) > radius
    if not core.any():
        return mask
    near: Mask = ndimage.distance_transform_edt(~core) <= 3 * radius
    return mask & near


def _main_parts(mask: Mask) -> Mask:
    """Keep the largest part, weighed by how central it is, and others of some size."""
    label, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        return mask
    numbers = np.arange(1, count + 1)
    area = ndimage.sum_labels(mask, label, numbers)
    middle = np.asarray(ndimage.center_of_mass(mask, label, numbers))
    offset = np.linalg.norm(middle / np.array(mask.shape) - 0.5, axis=1)
    weight = area * np.exp(-((offset / 0.35) ** 2))
    main = int(weight.argmax())
    on_frame = np.unique(np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]]))
    keep = weight >= _LEAST_SHARE * weight[main]
    # Bystanders that the frame cuts off belong to the scene, not to the subject.
    keep &= ~np.isin(numbers, on_frame) | (weight >= 0.5 * weight[main])
    keep[main] = True
    kept: Mask = np.concatenate([[False], keep])[label]
    return kept


def _fill(mask: Mask, lab: Floats) -> Mask:
    filled: Mask = ndimage.binary_fill_holes(mask)
    away = ndimage.distance_transform_edt(~filled)
    beside = (away > 2).astype(np.float32)
    if not beside.any():
        return filled
    # What the picture would show if the subject were not there.
    expected = bleed(lab, beside)
    differs = np.linalg.norm(lab - expected, axis=-1)
    holes = filled & ~mask
    # On an even background a hole is known by its colour alone, even if the cut took it in.
    if _grain(lab, away > 4) < _EVEN_GRAIN_LAB:
        inner = ndimage.distance_transform_edt(filled) > 2
        seen = _opened(inner & (ndimage.gaussian_filter(differs, 1.0) < _SAME_LAB), 2.0)
        # The smoothing took a pixel or two from the hole's edge.
        near = ndimage.distance_transform_edt(~seen) <= 2.5
        holes |= filled & near & (differs < 2 * _SAME_LAB)
    label, count = ndimage.label(holes)
    for number in range(1, count + 1):
        hole = label == number
        shows = float(np.median(differs[hole])) < _BACKGROUND_LAB
        if shows and hole.sum() >= _LEAST_HOLE_SHARE * filled.sum():
            filled = filled & ~hole
    return filled


def _grain(lab: Floats, where: Mask) -> float:
    """Give the typical difference between a pixel and its surroundings."""
    if not where.any():
        return float("inf")
    blurred = ndimage.gaussian_filter(lab, (2, 2, 0))
    return float(np.median(np.abs(lab - blurred)[where]))
