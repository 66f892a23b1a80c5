"""Find the subject of a photo and cut it out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab

from gpu_agent.engines import EngineError
from gpu_agent.engines.preview.cut import cut_subject
from gpu_agent.engines.preview.photo import Photo
from gpu_agent.engines.preview.saliency import find_salience

Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]

_CUT_EDGE_PX = 320
"""Longest edge of the reduced picture in which the cut is made."""

_LEAST_AREA_PX = 24
"""A subject of fewer pixels of the photo is no subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """A subject, cropped.

    Attributes:
        rgb: (H, W, 3) uint8, background still in it.
        coverage: (H, W) float32, 1 on the subject, 0 beside it.
        box: (left, top, right, bottom) of the crop in the photo's pixels.
    """

    rgb: NDArray[np.uint8]
    coverage: Floats
    box: Box


def cut_out(photo: Photo, *, remove_background: bool, longest_edge: int) -> Cutout:
    """Cut the subject out of its photo.

    A photo that brings its own transparency is cut along that.

    Args:
        photo: The photo.
        remove_background: Otherwise an opaque photo is all subject.
        longest_edge: Most pixels of the cut-out along an edge.

    Raises:
        EngineError: There is no subject (``no_subject_found``).
    """
    if photo.alpha is not None:
        return _crop(photo, np.asarray(photo.alpha, np.float32) / np.float32(255), longest_edge)
    if not remove_background:
        return _crop(photo, np.ones(photo.image.size[::-1], np.float32), longest_edge)
    return _crop(photo, find_subject(photo.image), longest_edge)


def find_subject(image: Image.Image) -> Floats:
    """Find what a photo shows, without a learned model.

    Returns:
        (H, W) 0 to 1 for the whole photo.

    Raises:
        EngineError: Nothing stands out (``no_subject_found``).
    """
    whole = (0, 0, *image.size)
    small, lab = _reduce(image, whole)
    if float(np.ptp(lab[..., 0])) + float(np.ptp(lab[..., 1])) + float(np.ptp(lab[..., 2])) < 6:
        raise EngineError("no_subject_found", "The image shows one even colour and no subject.")
    subject = tidy(cut_subject(lab, find_salience(lab)), lab)
    return _refine(image, whole, small, subject)


def _refine(image: Image.Image, box: Box, small: Image.Image, subject: Floats) -> Floats:
    del box, small
    return np.asarray(Image.fromarray(subject).resize(image.size, Image.Resampling.BICUBIC)).clip(
        0, 1
    )


def tidy(subject: Floats, lab: Floats) -> Floats:
    """Keep the parts that matter, and fill holes that do not show the background."""
    mask = ndimage.binary_opening(subject > 0.5, iterations=1)
    label, count = ndimage.label(mask)
    if not count:
        raise EngineError("no_subject_found", "No subject stands out from the background.")
    area = np.bincount(label.ravel())[1:]
    keep = area >= 0.08 * area.max()
    mask = np.concatenate([[False], keep])[label]
    filled: Floats = ndimage.binary_fill_holes(mask).astype(np.float32)
    return filled


def _reduce(image: Image.Image, box: Box) -> tuple[Image.Image, Floats]:
    scale = min(1.0, _CUT_EDGE_PX / max(box[2] - box[0], box[3] - box[1]))
    size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    small = image.resize(size, Image.Resampling.BOX, box=box, reducing_gap=2.0)
    return small, rgb2lab(np.asarray(small)).astype(np.float32)


def _crop(photo: Photo, coverage: Floats, longest_edge: int) -> Cutout:
    """Crop photo and coverage to the subject and a margin, and reduce both."""
    rows, columns = (np.flatnonzero((coverage >= 0.5).any(axis=axis)) for axis in (1, 0))
    if np.count_nonzero(coverage >= 0.5) < _LEAST_AREA_PX:
        raise EngineError("no_subject_found", "No subject stands out from the background.")
    wide, high = photo.image.size
    margin = max(3, round(0.02 * max(len(rows), len(columns))))
    box = (
        max(0, int(columns[0]) - margin),
        max(0, int(rows[0]) - margin),
        min(wide, int(columns[-1]) + 1 + margin),
        min(high, int(rows[-1]) + 1 + margin),
    )
    scale = min(1.0, longest_edge / max(box[2] - box[0], box[3] - box[1]))
    size = (max(2, round((box[2] - box[0]) * scale)), max(2, round((box[3] - box[1]) * scale)))
    rgb = photo.image.resize(size, Image.Resampling.BOX, box=box, reducing_gap=2.0)
    cover = Image.fromarray(coverage).resize(size, Image.Resampling.BOX, box=box)
    return Cutout(rgb=np.asarray(rgb), coverage=np.asarray(cover), box=box)
