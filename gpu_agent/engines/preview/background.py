"""Find the subject of a photo and cut it out.

The subject is looked for in a reduced picture, then once more in a closer view of what was found;
the outline is then drawn along the edges of the full picture.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab

from gpu_agent.engines import EngineError
from gpu_agent.engines.mask_faults import find_mask_faults
from gpu_agent.engines.preview.cut import cut_subject
from gpu_agent.engines.preview.edges import follow_edges
from gpu_agent.engines.preview.photo import Photo
from gpu_agent.engines.preview.saliency import find_salience
from gpu_agent.engines.preview.tidying import tidy
from gpu_agent.engines.transparency import AlphaKind, choose_approach, draw_outline, fill_hidden

Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]

_CUT_EDGE_PX = 320
"""Longest edge of the reduced picture in which the cut is made."""

_LEAST_AREA_PX = 24
"""A subject of fewer pixels of the photo is no subject."""

_EVEN_LAB = 4.0
"""Spread of a picture that shows nothing, in Lab units."""

_CLOSER_SHARE = 0.8
"""A second, closer look is taken when it shows less than this share of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where the subject lies in a photo.

    Attributes:
        coverage: (H, W) float32, 0 to 1, a reduced picture of `box`.
        box: (left, top, right, bottom) in the photo's pixels; outside of it is no subject.
    """

    coverage: Floats
    box: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """A subject, cropped.

    Attributes:
        rgb: (H, W, 3) uint8, background still in it.
        coverage: (H, W) float32, 1 on the subject, 0 beside it.
        box: (left, top, right, bottom) of the crop in the photo's pixels.
        note: What was done about the photo's transparency, one sentence, or None.
        faults: Sentences on what makes a found subject doubtful.
    """

    rgb: NDArray[np.uint8]
    coverage: Floats
    box: Box
    note: str | None = None
    faults: tuple[str, ...] = ()


def cut_out(
    photo: Photo,
    *,
    find: Callable[[Image.Image], Region],
    longest_edge: int,
    remove_background: bool | None = None,
) -> Cutout:
    """Cut the subject out of its photo.

    Args:
        photo: The photo.
        find: Tells the subject from the background.
        longest_edge: Most pixels of the cut-out along an edge.
        remove_background: Whether to look for the subject; None where the photo's transparency
            decides (`choose_approach`).

    Raises:
        EngineError: There is no subject (``no_subject_found``).
    """
    whole = (0, 0, *photo.image.size)
    approach = choose_approach(photo.alpha_kind, remove_background)
    if photo.alpha is None:
        image, shown = photo.image, np.ones(photo.image.size[::-1], np.float32)
    else:
        outline = draw_outline(photo.alpha)
        shown = outline.astype(np.float32) / np.float32(255)
        image = photo.image
        if approach.looks:
            image = fill_hidden(image, outline, photo.alpha_kind)
    if not approach.looks:
        region = Region(coverage=shown, box=whole)
        return replace(crop(image, region, longest_edge=longest_edge), note=approach.note)
    region = find(image)
    cutout = crop(image, region, longest_edge=longest_edge, along_edges=True)
    coverage = cutout.coverage
    if photo.alpha is not None:
        size = (coverage.shape[1], coverage.shape[0])
        coverage = np.minimum(coverage, _part(shown, whole, cutout.box, size))
        if not (coverage >= 0.5).any():
            raise EngineError("no_subject_found", "No subject stands out from the background.")
    if photo.alpha_kind is AlphaKind.CUTOUT:
        shown = np.ones_like(shown)
    faults = tuple(_find_faults(region, shown))
    return replace(cutout, coverage=coverage, note=approach.note, faults=faults)


def _find_faults(region: Region, shown: Floats) -> list[str]:
    """Say what makes a found region doubtful, in a reduced picture of the whole photo."""
    high, wide = shown.shape
    scale = min(1.0, _CUT_EDGE_PX / max(high, wide))
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    frame = np.asarray(Image.fromarray(shown).resize(size, Image.Resampling.BOX)) >= 0.5
    left, right = (round(edge * size[0] / wide) for edge in (region.box[0], region.box[2]))
    top, low = (round(edge * size[1] / high) for edge in (region.box[1], region.box[3]))
    part = (max(1, right - left), max(1, low - top))
    found = Image.new("F", size)
    found.paste(Image.fromarray(region.coverage).resize(part, Image.Resampling.BOX), (left, top))
    return find_mask_faults(np.asarray(found) >= 0.5, frame)


def find_subject(image: Image.Image) -> Region:
    """Find what a photo shows, without a learned model.

    Raises:
        EngineError: Nothing stands out (``no_subject_found``).
    """
    whole = (0, 0, *image.size)
    lab = _lab(_view(image, whole, _CUT_EDGE_PX))
    if float(np.ptp(lab, axis=(0, 1)).max()) < _EVEN_LAB:
        raise EngineError("no_subject_found", "The image shows one even colour and no subject.")
    subject = tidy(cut_subject(lab, find_salience(lab)), lab)
    box = _around(subject, whole, margin=0.15)
    if max(box[2] - box[0], box[3] - box[1]) > _CLOSER_SHARE * max(whole[2:]):
        return Region(coverage=subject, box=whole)
    closer = _lab(_view(image, box, _CUT_EDGE_PX))
    likely = _part(subject, whole, box, (closer.shape[1], closer.shape[0]))
    likely = ndimage.gaussian_filter(likely, max(closer.shape) / 80)
    return Region(coverage=tidy(cut_subject(closer, likely), closer), box=box)


def crop(
    image: Image.Image, region: Region, *, longest_edge: int, along_edges: bool = False
) -> Cutout:
    """Crop a photo to its subject and a narrow margin.

    Args:
        image: The photo.
        region: Where the subject is.
        longest_edge: Most pixels of the result along an edge.
        along_edges: Draw the outline along the edges of the photo.

    Raises:
        EngineError: Fewer than a few pixels are covered (``no_subject_found``).
    """
    inside = int((region.coverage >= 0.5).sum())
    scale = (region.box[2] - region.box[0]) / region.coverage.shape[1]
    if inside * scale * scale < _LEAST_AREA_PX:
        raise EngineError("no_subject_found", "No subject stands out from the background.")
    box = _around(region.coverage, region.box, margin=0.03)
    view = _view(image, box, longest_edge)
    cover = _part(region.coverage, region.box, box, view.size)
    if along_edges:
        cover = follow_edges(cover, np.asarray(view), grain_px=_grain(region, view.size, box))
    return Cutout(rgb=np.asarray(view), coverage=cover, box=box)


def _grain(region: Region, size: tuple[int, int], box: Box) -> float:
    """Give the size of one pixel of the region's coverage in pixels of the view."""
    coarse = (region.box[2] - region.box[0]) / region.coverage.shape[1]
    return float(coarse * size[0] / (box[2] - box[0]))


def _view(image: Image.Image, box: Box, longest_edge: int) -> Image.Image:
    """Reduce a part of the photo, never enlarging it."""
    wide, high = box[2] - box[0], box[3] - box[1]
    scale = min(1.0, longest_edge / max(wide, high))
    size: tuple[int, int] = (max(2, round(wide * scale)), max(2, round(high * scale)))
    if box == (0, 0, *image.size) and size == image.size:
        return image
    return image.resize(size, Image.Resampling.BOX, box=box, reducing_gap=2.0)


def _lab(view: Image.Image) -> Floats:
    lab: Floats = rgb2lab(np.asarray(view)).astype(np.float32)
    return lab


def _around(coverage: Floats, box: Box, *, margin: float) -> Box:
    """Give the part of `box`, in its units, that holds all that is covered and a margin."""
    rows, columns = (np.flatnonzero((coverage >= 0.5).any(axis=axis)) for axis in (1, 0))
    step = (box[2] - box[0]) / coverage.shape[1], (box[3] - box[1]) / coverage.shape[0]
    left, right = box[0] + columns[0] * step[0], box[0] + (columns[-1] + 1) * step[0]
    top, low = box[1] + rows[0] * step[1], box[1] + (rows[-1] + 1) * step[1]
    more = max(3.0, 2 * max(step), margin * max(right - left, low - top))
    return (
        max(box[0], int(left - more)),
        max(box[1], int(top - more)),
        min(box[2], int(np.ceil(right + more))),
        min(box[3], int(np.ceil(low + more))),
    )


def _part(coverage: Floats, box: Box, part: Box, size: tuple[int, int]) -> Floats:
    """Give `part` of a picture of `box`, `size` pixels large."""
    across = coverage.shape[1] / (box[2] - box[0])
    down = coverage.shape[0] / (box[3] - box[1])
    source = (
        (part[0] - box[0]) * across,
        (part[1] - box[1]) * down,
        (part[2] - box[0]) * across,
        (part[3] - box[1]) * down,
    )
    shrinks = size[0] < source[2] - source[0]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    resized = Image.fromarray(coverage).resize(size, how, box=source)
    return np.asarray(resized, np.float32)
