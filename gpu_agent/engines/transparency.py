"""What a picture's own transparency says about its subject. One rule for every engine, pure.

Alpha that draws a subject's outline is a cut-out. Alpha that only takes away the corners or edges
of a photo (rounded, turned, feathered or padded in an editor) is not: its background is still
there. Which of the two it is follows from where the alpha lies.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

HAZE = 12
"""Alpha below this shows nothing: mattes are rarely 0 on the background."""

_HALF = 128
"""Of an outline: where a subject begins."""

_LEVEL_PERCENTILE = 75
"""Of the alpha that shows something, this is the subject's own: highlights on glass are fewer than
the rest, and so is the soft shadow under a solid thing."""

_LEAST_HIDDEN = 0.005
"""A picture that hides a smaller share is opaque: some have a stray transparent pixel."""

_LEAST_PIECE = 0.01
"""A visible piece below this share of the largest one is a speck."""

_EDGE_PX = 512
"""Longest edge of the reduced alpha whose form is measured."""

_NEARLY_ALL = 0.9
"""A picture that shows this share of its frame, without a hole, is a photo."""

_CONVEX = 0.97
_LEAST_FRAME_CONTACT = 0.25
"""Share of each side of the frame that a photo without its corners still reaches. A round subject
cropped tight reaches less than a fifth."""

_RECTANGLE_FILL = 0.88
_LEAST_SIDE_CONTACT = 0.4
_SIDE_TOLERANCE = 0.012
"""A form is a rectangle, turned and rounded as it may be, if it fills this share of the smallest
one around it, and follows this share of each side to within the tolerance (of the longer side)."""

_PHOTO_SPAN = 0.7
"""A rectangle is a photo with a margin if it spans this share of the frame both ways."""

_EXACT_FILL = 0.99
_BAR_SPAN = 0.98
_LEAST_BETWEEN_BARS = 0.3
"""An upright rectangle with sharp corners that spans the frame one way is a photo between two
transparent bars, unless it is thinner than this the other way."""

_SOFT_CONVEX = 0.95
_SOFT_SPAN = 0.4
_SOFT_RIM = 0.04
_SOFT_RIM_PX = 6.0
"""A convex form whose rim takes this share of its size, and this many pixels of the reduced alpha,
is a photo that fades out: the rim of a cut-out is a few pixels wide."""


class AlphaKind(StrEnum):
    """What alpha says.

    Attributes:
        OPAQUE: Nothing: it hides no more than stray pixels.
        EMPTY: The picture shows nothing at all.
        TRIMMED: It hides corners or edges of a photo, whose background is still there.
        CUTOUT: It is the outline of a subject.
    """

    OPAQUE = "opaque"
    EMPTY = "empty"
    TRIMMED = "trimmed"
    CUTOUT = "cutout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """How the subject of a picture is come by.

    Attributes:
        looks: Whether it is looked for; else it is what the picture shows.
        note: One sentence for the result's notes where transparency or an option mattered.
    """

    looks: bool
    note: str | None = None


def choose_approach(kind: AlphaKind, remove_background: bool | None) -> Approach:
    """Decide from the alpha and from what was asked for; what was asked for wins.

    Args:
        kind: Not `AlphaKind.EMPTY`.
        remove_background: As the caller said; None where it was not said.
    """
    if kind is AlphaKind.OPAQUE:
        return Approach(looks=remove_background is not False)
    if remove_background is False:
        return Approach(
            looks=False,
            note="The picture's transparency was taken as it is: remove_background is false.",
        )
    if kind is AlphaKind.TRIMMED:
        return Approach(
            looks=True,
            note="The picture's transparency hides only corners or edges, so the subject was "
            "looked for; remove_background=false keeps the picture as it is.",
        )
    if remove_background:
        return Approach(
            looks=True,
            note="The subject was looked for within the picture's transparency: "
            "remove_background is true.",
        )
    return Approach(
        looks=False,
        note="The picture's transparency was taken for the subject's outline; "
        "remove_background=true looks for the subject.",
    )


def classify_alpha(alpha: Bytes) -> AlphaKind:
    """Tell what alpha says from where it lies.

    Args:
        alpha: (H, W) of any range.
    """
    level = _level(alpha)
    if level is None:
        return AlphaKind.EMPTY
    hidden = alpha < level / 2
    if float(hidden.mean()) < _LEAST_HIDDEN:
        return AlphaKind.OPAQUE
    outline = draw_outline(_reduced(alpha))
    visible = _main_pieces(outline >= _HALF)
    if not visible.any():
        return AlphaKind.CUTOUT
    filled: Mask = ndimage.binary_fill_holes(visible)
    if float((filled & ~visible).mean()) >= _LEAST_HIDDEN:
        return AlphaKind.CUTOUT
    is_photo = (
        float(filled.mean()) >= _NEARLY_ALL
        or _has_the_frame(filled)
        or _is_rectangular_photo(filled)
        or _fades_out(filled, outline)
    )
    return AlphaKind.TRIMMED if is_photo else AlphaKind.CUTOUT


def draw_outline(alpha: Bytes) -> Bytes:
    """Bring alpha to its own range: 255 where the subject is as solid as it gets.

    Glass whose alpha never passes 110 is as much a subject as wood. What it encloses and shows
    weakly belongs to it; a hole that shows nothing stays one.

    Args:
        alpha: (H, W) of any range.

    Returns:
        (H, W), 128 and more on the subject, 0 where nothing shows.
    """
    level = _level(alpha)
    if level is None:
        return np.zeros_like(alpha)
    outline = (alpha.astype(np.float32) * (255 / level)).clip(0, 255).round().astype(np.uint8)
    outline[alpha < HAZE] = 0
    covered = outline >= _HALF
    label, count = ndimage.label(ndimage.binary_fill_holes(covered) & ~covered)
    if count:
        numbers = np.arange(1, count + 1)
        weak = np.asarray(ndimage.median(alpha, label, numbers)) >= HAZE
        outline[np.concatenate([[False], weak])[label]] = 255
    return outline


def fill_hidden(rgb: Image.Image, outline: Bytes, kind: AlphaKind) -> Image.Image:
    """Paint over what alpha hides, for those that look for the subject: its colours are anybody's.

    A photo goes on beyond its rim; around a cut-out is one colour that differs from it.

    Args:
        rgb: The picture.
        outline: (H, W) from `draw_outline`.
        kind: `AlphaKind.TRIMMED` or `AlphaKind.CUTOUT`.
    """
    small = _reduced(outline)
    pixels = np.asarray(rgb.resize(small.shape[::-1], Image.Resampling.BOX))
    covered = small >= _HALF
    if kind is AlphaKind.CUTOUT:
        ground = Image.new("RGB", rgb.size, _unlike(pixels[covered]))
        ground.paste(rgb, mask=Image.fromarray(outline))
        return ground
    # The rim's colours are mixed with those of the hidden side.
    sound = ndimage.binary_erosion(covered, iterations=2, border_value=1)
    sound = sound if sound.any() else covered
    nearest = ndimage.distance_transform_edt(~sound, return_distances=False, return_indices=True)
    beyond = Image.fromarray(pixels[tuple(nearest)]).resize(rgb.size, Image.Resampling.BILINEAR)
    beyond.paste(rgb, mask=Image.fromarray(sound).resize(rgb.size, Image.Resampling.NEAREST))
    return beyond


def _level(alpha: Bytes) -> float | None:
    """Give the alpha of what is solid in this picture, or None where nothing shows."""
    shown = alpha[alpha >= HAZE]
    return float(np.percentile(shown, _LEVEL_PERCENTILE)) if len(shown) else None


def _reduced(alpha: Bytes) -> Bytes:
    image = Image.fromarray(alpha)
    scale = min(1.0, _EDGE_PX / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def _main_pieces(visible: Mask) -> Mask:
    label, count = ndimage.label(visible)
    if count < 2:
        return visible
    sizes = np.bincount(label.ravel())
    sizes[0] = 0
    kept: Mask = (sizes >= _LEAST_PIECE * sizes.max())[label] & visible
    return kept


def _has_the_frame(visible: Mask) -> bool:
    """Tell whether a convex form lies along all four sides of the frame."""
    sides = (visible[0], visible[-1], visible[:, 0], visible[:, -1])
    if min(float(side.mean()) for side in sides) < _LEAST_FRAME_CONTACT:
        return False
    return _convexity(visible) >= _CONVEX


def _is_rectangular_photo(visible: Mask) -> bool:
    rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    if len(rows) < 3 or len(columns) < 3:
        return False
    high, wide = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    spans = sorted((high / visible.shape[0], wide / visible.shape[1]))
    is_exact = float(visible.sum()) >= _EXACT_FILL * high * wide
    if is_exact and spans[1] >= _BAR_SPAN and spans[0] >= _LEAST_BETWEEN_BARS:
        return True
    return spans[0] >= _PHOTO_SPAN and _is_rectangle(visible)


def _is_rectangle(visible: Mask) -> bool:
    """Tell whether a form is a rectangle, perhaps turned, perhaps with rounded corners."""
    hull = _hull(visible)
    corners = hull.points[hull.vertices]
    edges = np.roll(corners, -1, axis=0) - corners
    angles = np.unique((np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2)).round(4))
    turned = [corners @ _turn(angle) for angle in angles]
    areas = [float(np.prod(np.ptp(part, axis=0))) for part in turned]
    best = int(np.argmin(areas))
    if float(visible.sum()) < _RECTANGLE_FILL * areas[best]:
        return False
    y, x = np.nonzero(visible & ~ndimage.binary_erosion(visible))
    rim = np.stack([x, y], axis=1) @ _turn(angles[best])
    rim -= rim.min(axis=0)
    size = rim.max(axis=0)
    tolerance = max(1.5, _SIDE_TOLERANCE * float(size.max()))
    return all(
        _follow_side(rim[:, along], gap, tolerance) >= _LEAST_SIDE_CONTACT
        for along, across in ((0, 1), (1, 0))
        for gap in (rim[:, across], size[across] - rim[:, across])
    )


def _turn(angle: float) -> Floats:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _follow_side(along: Floats, gap: Floats, tolerance: float) -> float:
    """Give the share of a side at which a form comes within the tolerance of it."""
    # The pixels of a turned rim lie up to 1.4 apart.
    count = max(1, int(along.max() / 2))
    place = np.minimum((along / 2).astype(np.intp), count - 1)
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, place, gap)
    return float((nearest <= tolerance).mean())


def _fades_out(visible: Mask, outline: Bytes) -> bool:
    """Tell whether a convex form of some size has a wide, soft rim."""
    rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    spans = (np.ptp(rows) / visible.shape[0], np.ptp(columns) / visible.shape[1])
    if min(visible.shape) < 2 or min(spans) < _SOFT_SPAN:
        return False
    rim = visible & ~ndimage.binary_erosion(visible, border_value=1)
    if not rim.any() or _convexity(visible) < _SOFT_CONVEX:
        return False
    slope = np.hypot(*np.gradient(outline.astype(np.float64) / 255))
    rim_px = 1 / max(float(np.median(slope[rim])), 1e-6)
    return rim_px >= max(_SOFT_RIM_PX, _SOFT_RIM * float(np.sqrt(visible.sum())))


def _convexity(visible: Mask) -> float:
    """Give the share of its convex hull that a form fills, 0 to 1."""
    # In two dimensions, `volume` is the area.
    return float(visible.sum() / _hull(visible).volume)


def _hull(visible: Mask) -> ConvexHull:
    """Give the convex hull of the corners of all pixels, of which there is at least one."""
    rows = np.flatnonzero(visible.any(axis=1))
    first = visible[rows].argmax(axis=1)
    last = visible.shape[1] - visible[rows, ::-1].argmax(axis=1)
    return ConvexHull(
        np.concatenate(
            [
                np.stack([x, rows + below], axis=1).astype(np.float64)
                for x in (first, last)
                for below in (0, 1)
            ]
        )
    )


def _unlike(colours: Bytes) -> tuple[int, int, int]:
    """Give the grey that is furthest from the nearest of some (N, 3) colours."""
    greys = (255, 128, 0)
    if not len(colours):
        return (greys[0],) * 3
    away = [
        float(np.percentile(np.linalg.norm(colours.astype(np.float32) - grey, axis=1), 5))
        for grey in greys
    ]
    grey = greys[int(np.argmax(away))]
    return (grey, grey, grey)
