"""From a coverage picture to a flat triangulation whose rim lies on the subject's outline.

Coordinates are pixels of the coverage picture: x right, y down, whole numbers in the middle of a
pixel. The triangulation is fine at the rim, where an inflated surface bends most, and coarse
inside. No edge joins two rim vertices across the inside: such an edge would lie in the front and
in the back sheet alike and glue them together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, cKDTree
from skimage.measure import find_contours

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_SMALLEST_LOOP_PX2 = 5.0
_CONFORMING_ROUNDS = 6
_RIM_SHARE = 0.3
"""Spacing at the rim, as a share of the spacing inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatMesh:
    """A triangulated silhouette.

    Attributes:
        points: (V, 2) x and y in pixels.
        triangles: (T, 3) indices into `points`, positive area with y down.
        is_rim: (V,) whether the point lies on the outline.
    """

    points: Floats
    triangles: Ints
    is_rim: NDArray[np.bool_]


class OutlineError(ValueError):
    """The coverage holds no region large enough to triangulate."""


def triangulate_outline(coverage: NDArray[np.float32], *, triangle_limit: int) -> FlatMesh:
    """Triangulate where `coverage` is at least one half; holes stay open.

    Args:
        coverage: (H, W) 0 to 1. What touches the picture's edge is closed there.
        triangle_limit: Most triangles wanted; kept unless the outline itself needs more.

    Raises:
        OutlineError: Nothing is covered, or only specks.
    """
    level = ndimage.gaussian_filter(np.pad(coverage, 3), 0.7)
    loops = [loop for loop in find_contours(level, 0.5) if _area(loop) >= _SMALLEST_LOOP_PX2]
    inside_px = float(np.count_nonzero(level > 0.5))
    if not loops or inside_px < _SMALLEST_LOOP_PX2:
        raise OutlineError("nothing to triangulate")
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(level > 0.5), 1.0)
    length = sum(_length(loop) for loop in loops)
    spacing = _spacing_for(inside_px, length, triangle_limit)
    for _ in range(6):
        mesh = _triangulate(level, depth, loops, spacing)
        if len(mesh.triangles) <= triangle_limit:
            break
        spacing *= 1.02 * np.sqrt(len(mesh.triangles) / triangle_limit)
    return FlatMesh(points=mesh.points - 3.0, triangles=mesh.triangles, is_rim=mesh.is_rim)


def _spacing_for(area_px: float, length_px: float, limit: int) -> float:
    """Estimate the inside spacing that gives about `limit` triangles."""
    # Inside: 2 / (sqrt(3)/2 s^2) triangles a pixel; the graded band adds about 9 L / s.
    a, b = float(limit), 9.0 * length_px
    return float((b + np.sqrt(b * b + 4 * a * 2.31 * area_px)) / (2 * a))


def _triangulate(
    level: NDArray[np.float32], depth: NDArray[np.float32], loops: list[Floats], spacing: float
) -> FlatMesh:
    rim_step = spacing * _RIM_SHARE
    rings = [_resample(loop, rim_step) for loop in loops]
    rim = np.concatenate(rings)[:, ::-1]
    ends = np.cumsum([len(ring) for ring in rings])
    following = np.arange(len(rim)) + 1
    following[ends - 1] = np.concatenate([[0], ends[:-1]])
    segments = np.stack([np.arange(len(rim)), following], axis=1)

    inner = _inner_points(depth, spacing, rim_step)
    inner = inner[cKDTree(rim).query(inner)[0] > 0.6 * rim_step]
    rim, segments, triangles = _conform(rim, segments, inner)
    points = np.concatenate([rim, inner])
    triangles = _keep_inside(points, triangles, segments, level)
    if not len(triangles):
        raise OutlineError("nothing to triangulate")
    return _compact(*_split_chords(points, triangles))


def _area(loop: Floats) -> float:
    y, x = loop[:, 0], loop[:, 1]
    return abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2


def _length(loop: Floats) -> float:
    return float(np.linalg.norm(np.diff(loop, axis=0), axis=1).sum())


def _resample(loop: Floats, step: float) -> Floats:
    """Place points along a closed loop, `step` pixels apart, at least eight."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(loop, axis=0), axis=1))])
    count = max(8, round(along[-1] / step))
    at = np.arange(count) * (along[-1] / count)
    return np.stack([np.interp(at, along, loop[:, axis]) for axis in (0, 1)], axis=1)


def _inner_points(depth: NDArray[np.float32], spacing: float, rim_step: float) -> Floats:
    """Place points inside: rings along the rim that widen to a hexagonal lattice."""
    chosen = []
    step, at = rim_step, 0.9 * rim_step
    while step < spacing:
        # Rings closer than a pixel to the rim would only repeat the picture's staircase.
        if at >= 0.8:
            chosen += [_resample(ring, step)[:, ::-1] for ring in find_contours(depth, at + 0.5)]
        step *= 1.45
        at += 0.87 * step
    band = at
    high, wide = depth.shape
    rows = np.arange(0, high, spacing * np.sqrt(0.75))
    columns = np.arange(0, wide, spacing)
    x, y = np.meshgrid(columns, rows)
    x[1::2] += spacing / 2
    lattice = np.stack([x.ravel(), y.ravel()], axis=1)
    lattice = lattice[(lattice[:, 0] <= wide - 1) & (lattice[:, 1] <= high - 1)]
    within = ndimage.map_coordinates(depth, lattice.T[::-1], order=1)
    lattice = lattice[within > band - 0.25 * spacing + 0.5]
    reach = np.concatenate(
        [*(np.full(len(c), 0.5 * rim_step) for c in chosen), np.full(len(lattice), 0.6 * spacing)]
    )
    points = np.concatenate([*chosen, lattice])
    return _thin_out(points, reach) if len(points) else np.zeros((0, 2))


def _thin_out(points: Floats, reach: Floats) -> Floats:
    """Drop each point that an earlier one is nearer to than its own reach."""
    pairs = cKDTree(points).query_pairs(float(reach.max()), output_type="ndarray")
    early, late = pairs.min(axis=1), pairs.max(axis=1)
    near = np.linalg.norm(points[early] - points[late], axis=1) < reach[late]
    dropped = np.zeros(len(points), np.bool_)
    dropped[late[near]] = True
    return points[~dropped]


def _conform(rim: Floats, segments: Ints, inner: Floats) -> tuple[Floats, Ints, Ints]:
    """Triangulate so that the outline's segments are edges, halving those that are not."""
    for _ in range(_CONFORMING_ROUNDS):
        triangles = Delaunay(np.concatenate([rim, inner])).simplices.astype(np.intp)
        count = len(rim) + len(inner)
        missing = ~np.isin(_keys(segments, count), _keys(_edges(triangles), count))
        if not missing.any():
            break
        cut = segments[missing]
        middle = np.arange(len(rim), len(rim) + len(cut))
        rim = np.concatenate([rim, rim[cut].mean(axis=1)])
        segments = np.concatenate(
            [
                segments[~missing],
                np.stack([cut[:, 0], middle], axis=1),
                np.stack([middle, cut[:, 1]], axis=1),
            ]
        )
    else:
        triangles = Delaunay(np.concatenate([rim, inner])).simplices.astype(np.intp)
    return rim, segments, triangles


def _edges(triangles: Ints) -> Ints:
    """List the three edges of each triangle: first corners 0-1, then 1-2, then 2-0."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def _keys(edges: Ints, count: int) -> Ints:
    """Number edges so that both directions of one edge get one number."""
    keys: Ints = edges.min(axis=1) * count + edges.max(axis=1)
    return keys


def _keep_inside(
    points: Floats, triangles: Ints, segments: Ints, level: NDArray[np.float32]
) -> Ints:
    """Keep the regions between outline segments that are mostly covered."""
    corner = points[triangles]
    first, second = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    triangles = np.where((area < 0)[:, None], triangles[:, ::-1], triangles)
    triangles = triangles[np.abs(area) > 1e-9]
    area = np.abs(area[np.abs(area) > 1e-9])

    keys = _keys(_edges(triangles), len(points))
    owner = np.tile(np.arange(len(triangles)), 3)
    open_edge = ~np.isin(keys, _keys(segments, len(points)))
    keys, owner = keys[open_edge], owner[open_edge]
    order = np.argsort(keys, kind="stable")
    keys, owner = keys[order], owner[order]
    same = keys[1:] == keys[:-1]
    links = coo_array(
        (np.ones(int(same.sum()), np.int8), (owner[:-1][same], owner[1:][same])),
        shape=(len(triangles), len(triangles)),
    )
    _, region = connected_components(links, directed=False)
    middle = points[triangles].mean(axis=1)
    cover = ndimage.map_coordinates(level, middle.T[::-1], order=1, mode="nearest")
    share = np.bincount(region, area * (cover - 0.5)) > 0
    kept: Ints = triangles[share[region]]
    return kept


def _split_chords(points: Floats, triangles: Ints) -> tuple[Floats, Ints, NDArray[np.bool_]]:
    """Put a vertex into the middle of each inner edge that joins two rim vertices."""
    count = len(points)
    keys = _keys(_edges(triangles), count)
    unique, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    is_rim = np.zeros(count, np.bool_)
    border = unique[times == 1]
    is_rim[border // count] = True
    is_rim[border % count] = True
    chord = (times == 2) & is_rim[unique // count] & is_rim[unique % count]
    number = np.where(chord, count + np.cumsum(chord) - 1, -1)
    ends = np.stack([unique[chord] // count, unique[chord] % count], axis=1)
    points = np.concatenate([points, points[ends].mean(axis=1)])
    is_rim = np.concatenate([is_rim, np.zeros(len(ends), np.bool_)])
    middle = number[inverse].reshape(3, -1).T
    return points, _subdivide(triangles, middle), is_rim


def _subdivide(triangles: Ints, middle: Ints) -> Ints:
    """Split triangles at edge middles.

    Args:
        triangles: (T, 3).
        middle: (T, 3) vertex in the middle of edges 0-1, 1-2 and 2-0, or -1.
    """
    cuts = (middle >= 0).sum(axis=1)
    parts = [triangles[cuts == 0]]
    for turn in range(3):
        # Turned so that a single cut lies on edge 0-1, and a single uncut edge is 2-0.
        a, b, c = np.roll(triangles, -turn, axis=1).T
        ab, bc, ca = np.roll(middle, -turn, axis=1).T
        one = (cuts == 1) & (ab >= 0)
        parts += [np.stack(t, axis=1)[one] for t in ((a, ab, c), (ab, b, c))]
        two = (cuts == 2) & (ca < 0)
        parts += [np.stack(t, axis=1)[two] for t in ((ab, b, bc), (a, ab, bc), (a, bc, c))]
    a, b, c = triangles.T
    ab, bc, ca = middle.T
    all_three = cuts == 3
    corners = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
    parts += [np.stack(t, axis=1)[all_three] for t in corners]
    return np.concatenate(parts)


def _compact(points: Floats, triangles: Ints, is_rim: NDArray[np.bool_]) -> FlatMesh:
    """Drop points that no triangle uses."""
    used, flat = np.unique(triangles, return_inverse=True)
    return FlatMesh(points=points[used], triangles=flat.reshape(-1, 3), is_rim=is_rim[used])
