"""How far the decoding of a volume is, told from the points that were decoded."""

from collections.abc import Callable

_DENSE_UP_TO = 63
"""FlashVDM decodes the first level whole and then halves the cells near the surface only."""

_POINTS_PER_SURFACE_CELL = 44
"""Measured at 380 on a ball-like surface; at 126 and 252 it is 18 and 31."""


class PointCounter:
    """Turns points decoded into a share that never falls and reaches 1 at the end alone."""

    def __init__(
        self, octree_resolution: int, *, flash_vdm: bool, on_share: Callable[[float], None]
    ) -> None:
        """Report nothing yet.

        Args:
            octree_resolution: As in `ShapeSettings`.
            flash_vdm: As in `ShapeSettings`; the number of its points is only an estimate.
            on_share: Takes the share done, 0 to 1.
        """
        self._total = estimate_points(octree_resolution, flash_vdm=flash_vdm)
        self._done = 0
        self._on_share = on_share

    def add(self, points: int) -> None:
        """Count points that have been decoded."""
        self._done += points
        self._on_share(min(0.99, self._done / self._total))

    def finish(self) -> None:
        """Say that there are no more."""
        self._on_share(1.0)


def estimate_points(octree_resolution: int, *, flash_vdm: bool) -> int:
    """Give how many points a volume takes: exact without FlashVDM."""
    if not flash_vdm:
        return (octree_resolution + 1) ** 3
    level, surface = octree_resolution, 0
    while level // 2 >= _DENSE_UP_TO:
        surface += _POINTS_PER_SURFACE_CELL * level * level
        level //= 2
    return (level + 1) ** 3 + surface
