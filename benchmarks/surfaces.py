"""How far two triangle meshes lie apart, whatever their vertices are called. Pure."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

SAME_SURFACE = 1e-5
"""Two models at most this far apart are the same, in units of a box whose half edge is 1.01.

Fifty times the noise: 64 models decoded from tiny weights, in batches of one and four, with AVX2
and with AVX-512, were 2e-7 apart at most. Another picture's model was 4e-5 away at least, another
seed's 3.5e-3. It holds for decoded models only: reducing the faces picks edges by the last bits,
and set 2 of 96 such models up to 1.1e-3 apart.
"""

_POINTS_AT_ONCE = 512
_LEAST_HEIGHT = 1e-9
"""Of a triangle with an inside, as a share of its longest edge: flatter is all edges."""

Floats = NDArray[np.float64]


class Surface(Protocol):
    """Triangles in space, such as `RawMesh` and `trimesh.Trimesh`."""

    @property
    def vertices(self) -> Any:
        """Give (V, 3) numbers."""

    @property
    def faces(self) -> Any:
        """Give (F, 3) indices of vertices."""


def is_same_surface(one: Surface, other: Surface) -> bool:
    """Tell whether two models are the same to within the noise of the arithmetic."""
    return surface_distance(one, other, least=SAME_SURFACE) <= SAME_SURFACE


def surface_distance(one: Surface, other: Surface, *, least: float = 0.0) -> float:
    """Give the largest distance from a corner or middle of a face to the other surface, both ways.

    The number, order and names of the vertices make no difference: one bit in the decoded field
    may add a vertex, and then every later row is another.

    Args:
        one: Of any number of faces.
        other: The same.
        least: What lies closer is not told apart, which is faster, and comes back as this.

    Returns:
        In the unit of the vertices; infinite if either has no face.
    """
    if len(one.faces) == 0 or len(other.faces) == 0:
        return float("inf")
    here, there = _triangles(one), _triangles(other)
    return max(
        _farthest(_points(here), there, least=least), _farthest(_points(there), here, least=least)
    )


def _triangles(surface: Surface) -> Floats:
    triangles: Floats = np.asarray(surface.vertices, np.float64)[np.asarray(surface.faces)]
    return triangles


def _points(triangles: Floats) -> Floats:
    """Give corners and middles: the corners alone do not show that a face is missing."""
    return np.concatenate([np.unique(triangles.reshape(-1, 3), axis=0), triangles.mean(axis=1)])


def _farthest(points: Floats, triangles: Floats, *, least: float) -> float:
    """Give the largest distance of a point to its nearest triangle.

    The nearest corner or middle bounds each distance from above. Points with large bounds come
    first, and those whose bound is below the largest distance so far are left out.
    """
    bounds, _ = cKDTree(_points(triangles)).query(points)
    middles = triangles.mean(axis=1)
    reach = np.linalg.norm(triangles - middles[:, None], axis=2).max()
    tree = cKDTree(middles)
    order = np.argsort(-bounds)
    largest = least
    for begin in range(0, len(order), _POINTS_AT_ONCE):
        some = order[begin : begin + _POINTS_AT_ONCE]
        some = some[bounds[some] > largest]
        if len(some) == 0:
            break
        near = tree.query_ball_point(points[some], (bounds[some] + reach) * (1 + 1e-9))
        counts = np.array([len(found) for found in near])
        apart = _distances(
            np.repeat(points[some], counts, axis=0),
            triangles[np.concatenate(near).astype(np.intp)],
        )
        starts = np.cumsum(counts) - counts
        nearest = np.minimum(np.minimum.reduceat(apart, starts), bounds[some])
        largest = max(largest, float(nearest.max()))
    return largest


def _distances(points: Floats, triangles: Floats) -> Floats:
    """Give the distance of each point to the triangle beside it.

    To its edges, or to its plane if the point lies above its inside. Marching cubes makes slivers:
    `trimesh.triangles.closest_point` is wrong by 2e-4 beside them, a sliver's edges are not.
    """
    from_corner = points[:, None] - triangles
    edges = np.roll(triangles, -1, axis=1) - triangles
    length2 = (edges**2).sum(axis=2)
    share = (from_corner * edges).sum(axis=2) / np.maximum(length2, np.finfo(np.float64).tiny)
    to_edge = from_corner - np.clip(share, 0, 1)[..., None] * edges
    distances: Floats = np.sqrt((to_edge**2).sum(axis=2).min(axis=1))

    normal = np.cross(edges[:, 0], edges[:, 1])
    height = np.linalg.norm(normal, axis=1)
    is_above = (np.cross(edges, from_corner) * normal[:, None]).sum(axis=2).min(axis=1) >= 0
    is_above &= height > _LEAST_HEIGHT * length2.max(axis=1)
    to_plane = (from_corner[is_above, 0] * normal[is_above]).sum(axis=1) / height[is_above]
    distances[is_above] = np.minimum(distances[is_above], np.abs(to_plane))
    return distances
