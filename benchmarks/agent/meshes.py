"""Whether a model is the one that was asked for: its vertices beside those of the reference."""

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.agent.sides import Made

TOLERANCE = 1e-4
"""Of a vertex, in units of the decoded box, whose half edge is 1.01."""

Vertices = NDArray[np.float32]


class Verdict(StrEnum):
    """What became of a job."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"


def judge(made: Made, references: Mapping[str, Vertices]) -> Verdict:
    """Compare a model with the reference of its task."""
    if not made.glb:
        return Verdict.MISSING
    mesh: Any = trimesh.load(io.BytesIO(made.glb), file_type="glb", force="mesh", process=False)
    apart = distance(np.asarray(mesh.vertices, np.float32), references[made.task.name])
    return Verdict.RIGHT if apart <= TOLERANCE else Verdict.WRONG


def distance(one: Vertices, other: Vertices) -> float:
    """Give the largest distance from a vertex of either to the nearest one of the other.

    In which order the vertices are, and how often one is named, makes no difference.
    """
    if len(one) == 0 or len(other) == 0:
        return float("inf")
    there, _ = cKDTree(one).query(other)
    back, _ = cKDTree(other).query(one)
    return float(max(there.max(), back.max()))


def least_distance(references: Iterable[Vertices]) -> float:
    """Give the distance of the two that are most alike: what a mix-up shows at the least."""
    pairs: Sequence[tuple[Vertices, Vertices]] = list(itertools.combinations(references, 2))
    return min(distance(one, other) for one, other in pairs)
