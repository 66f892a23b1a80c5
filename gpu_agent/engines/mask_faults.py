"""What is wrong with a mask that was found in a photo. One rule for every engine, pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gpu_agent.errors import EngineError

Mask = NDArray[np.bool_]

QUALITIES = ("full", "reduced")
"""Of the option `min_quality`: ``full`` as asked for, or the job fails; ``reduced`` with notes."""

_LEAST_SHARE = 0.02
"""Of the picture. A smaller subject shows too little to model."""

_ALL_AROUND = 0.2
"""Of each side of the frame. A round subject that fills the frame touches less of it."""

_LEAST_MAIN_PIECE = 0.8
"""Of the subject. With less than this in its largest piece it falls apart."""

_LEAST_PIECE = 0.01
"""Of the subject. Smaller pieces are specks, and not counted."""


def find_mask_faults(mask: Mask, frame: Mask | None = None) -> list[str]:
    """Say what makes a found mask doubtful.

    Not for an outline that the caller gave: it is what was wanted.

    Args:
        mask: (H, W) of the whole picture, at any scale, with something in it.
        frame: (H, W) the part of the picture that shows something, or None for all of it.

    Returns:
        One sentence for each fault; none for a sound mask.
    """
    frame = np.ones_like(mask) if frame is None else frame
    mask = mask & frame
    covered, shown = int(mask.sum()), int(frame.sum())
    faults = []
    if covered < _LEAST_SHARE * shown:
        share = 100 * covered / max(shown, 1)
        faults.append(f"The subject that was found covers only {share:.2g} % of the picture.")
    if _touches_all_around(mask, frame):
        faults.append(
            "The subject that was found reaches the edge of the picture on all four sides: "
            "it may be the background, or cut off."
        )
    if (pieces := _count_pieces(mask)) > 1:
        faults.append(f"The subject that was found falls apart into {pieces} pieces.")
    return faults


def require_quality(faults: Sequence[str], min_quality: str) -> None:
    """Refuse a doubtful mask for a job that takes nothing less than what it asked for.

    Raises:
        EngineError: There are faults, and ``full`` was asked for (``no_subject_found``).
    """
    if faults and min_quality == "full":
        raise EngineError(
            "no_subject_found", f"{' '.join(faults)} This job takes no less: min_quality is full."
        )


def _touches_all_around(mask: Mask, frame: Mask) -> bool:
    """Tell whether the mask holds part of the frame's rim above, below, left and right."""
    rim = frame & ~ndimage.binary_erosion(frame)
    y, x = np.nonzero(rim)
    if not len(y):
        return False
    touched = mask[y, x]
    # Parted along the diagonals, so that a rim of any form has four sides.
    down, across = (
        (place - place.min() - np.ptp(place) / 2) / max(np.ptp(place) / 2, 0.5) for place in (y, x)
    )
    is_lying = np.abs(down) >= np.abs(across)
    sides = (
        is_lying & (down < 0),
        is_lying & (down >= 0),
        ~is_lying & (across < 0),
        ~is_lying & (across >= 0),
    )
    return all(bool(side.any()) and touched[side].mean() >= _ALL_AROUND for side in sides)


def _count_pieces(mask: Mask) -> int:
    """Count the pieces of a mask that falls apart; 1 where one holds nearly all of it."""
    label, count = ndimage.label(mask, np.ones((3, 3)))
    if count < 2:
        return int(count)
    sizes = np.bincount(label.ravel())[1:]
    if sizes.max() >= _LEAST_MAIN_PIECE * sizes.sum():
        return 1
    return int((sizes >= _LEAST_PIECE * sizes.sum()).sum())
