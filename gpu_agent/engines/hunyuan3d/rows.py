"""Vertices and faces as rows of arrays: which are the same, and which are used."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_agent.engines.hunyuan3d.model import RawMesh


def unique_rows(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Give what ``np.unique(rows, axis=0, return_inverse=True)`` gives, several times faster.

    It sorts by one column after the other, where numpy compares records.

    Args:
        rows: (N, C) numbers, none of them NaN.

    Returns:
        (U, C) rows in lexicographic order, each once, and (N,) the place of each row among them.
    """
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    is_first = np.ones(len(rows), np.bool_)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    place = np.empty(len(rows), np.intp)
    place[order] = np.cumsum(is_first) - 1
    return ordered[is_first], place


def compact(vertices: NDArray[np.float32], faces: NDArray[np.integer[Any]]) -> RawMesh:
    """Leave out the vertices that no face names; the others keep their order.

    Args:
        vertices: (V, 3).
        faces: (F, 3) indices of them.
    """
    is_used = np.zeros(len(vertices), np.bool_)
    is_used[faces] = True
    place = np.cumsum(is_used) - 1
    return RawMesh(
        vertices=np.ascontiguousarray(vertices[is_used], np.float32),
        faces=np.ascontiguousarray(place[faces], np.int32),
    )
