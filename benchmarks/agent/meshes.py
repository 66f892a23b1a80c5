"""Whether a model is the one that was asked for: its surface beside that of the reference."""

import io
import itertools
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import trimesh

from benchmarks.agent.sides import Made
from benchmarks.surfaces import Surface, is_same_surface, surface_distance


class Verdict(StrEnum):
    """What became of a job."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"


def judge(made: Made, references: Mapping[str, Surface]) -> Verdict:
    """Compare a model with the reference of its task."""
    if not made.glb:
        return Verdict.MISSING
    mesh: Any = trimesh.load(io.BytesIO(made.glb), file_type="glb", force="mesh", process=False)
    is_right = is_same_surface(mesh, references[made.task.name])
    return Verdict.RIGHT if is_right else Verdict.WRONG


def least_distance(references: Iterable[Surface]) -> float:
    """Give the distance of the two that are most alike: what a mix-up shows at the least."""
    return min(surface_distance(*pair) for pair in itertools.combinations(references, 2))
