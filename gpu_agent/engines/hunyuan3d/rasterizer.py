"""A rasteriser on the CPU, behind the two functions of Hunyuan3D-2's ``custom_rasterizer``.

That one is a CUDA extension which no index has; it is compiled into the image of a GPU VM. This
one lets the texture pipeline run where there is no GPU: the same conventions, a depth buffer in
numpy, some hundred times slower.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_agent.engines.hunyuan3d import libraries

_CANDIDATES = 2_000_000
"""Pairs of triangle and pixel looked at in one go; 200 MB of intermediate values."""

_VIEWS = 6
"""hy3dgen draws each of its views three times: normals, positions, and to bake its picture."""

_recent: dict[bytes, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def rasterize(
    pos: Any, tri: Any, resolution: Any, clamp_depth: Any = None, use_depth_prior: int = 0
) -> tuple[Any, Any]:
    """Find the nearest triangle of each pixel.

    Args:
        pos: (1, V, 4) clip coordinates.
        tri: (F, 3) indices.
        resolution: Height and width in pixels.
        clamp_depth: Not used, as there.
        use_depth_prior: Not used.

    Returns:
        (H, W) int32, the triangle's number counted from 1 and 0 for none, and (H, W, 3) float32,
        its corners' weights, corrected for perspective.
    """
    size = int(resolution[0]), int(resolution[1])
    corners = np.ascontiguousarray(pos[0].detach().cpu().numpy())
    faces = np.ascontiguousarray(tri.detach().cpu().numpy())
    digest = hashlib.sha256(repr(size).encode() + corners.tobytes() + faces.tobytes()).digest()
    if digest not in _recent:
        if len(_recent) >= _VIEWS:
            del _recent[next(iter(_recent))]
        _recent[digest] = _draw(corners.astype(np.float64), faces.astype(np.int64), *size)
    number, weights = _recent[digest]
    torch = libraries.torch()
    return torch.from_numpy(number.copy()), torch.from_numpy(weights.copy())


def interpolate(col: Any, findices: Any, barycentric: Any, tri: Any) -> Any:
    """Interpolate a value of the corners over the pixels.

    Args:
        col: (1, V, C) values.
        findices: From `rasterize`.
        barycentric: From `rasterize`.
        tri: (F, 3) indices into `col`.

    Returns:
        (1, H, W, C); 0 where there is no triangle.
    """
    face = (findices.long() - 1).clamp(min=0)
    values = col[0][tri.long()[face]]
    return (barycentric[..., None] * values).sum(dim=-2)[None]


def _draw(
    corners: Floats, faces: Ints, height: int, width: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    screen = _to_screen(corners, width, height)
    depth = np.full(height * width, np.inf)
    number = np.zeros(height * width, np.int32)
    weights = np.zeros((height * width, 3))
    for face, pixel in _candidates(screen, faces, width, height):
        point = np.stack([pixel % width + 0.5, pixel // width + 0.5], axis=-1)
        share = _barycentric(screen[faces[face], :2], point)
        inside = (share >= 0).all(axis=-1)
        face, pixel, share = face[inside], pixel[inside], share[inside]
        z = (screen[faces[face], 2] * share).sum(axis=-1)
        # The nearest candidate of each pixel comes first.
        order = np.lexsort((z, pixel))
        _, first = np.unique(pixel[order], return_index=True)
        nearest = order[first]
        nearest = nearest[z[nearest] < depth[pixel[nearest]]]
        hit = pixel[nearest]
        depth[hit], number[hit], weights[hit] = z[nearest], face[nearest] + 1, share[nearest]
    seen = number > 0
    corrected = weights[seen] / corners[faces[number[seen] - 1], 3]
    weights[seen] = corrected / corrected.sum(axis=-1, keepdims=True)
    return number.reshape(height, width), weights.astype(np.float32).reshape(height, width, 3)


def _to_screen(corners: Floats, width: int, height: int) -> Floats:
    flat = corners[:, :3] / corners[:, 3:]
    return np.stack(
        [
            (flat[:, 0] * 0.5 + 0.5) * (width - 1) + 0.5,
            (flat[:, 1] * 0.5 + 0.5) * (height - 1) + 0.5,
            flat[:, 2] * 0.49999 + 0.5,
        ],
        axis=-1,
    )


def _candidates(
    screen: Floats, faces: Ints, width: int, height: int
) -> Iterator[tuple[Ints, Ints]]:
    """Give pairs of a triangle and a pixel of its box, some at a time."""
    points = screen[faces, :2]
    low = np.floor(points.min(axis=1)).astype(np.int64).clip(0, [width, height])
    high = (np.floor(points.max(axis=1)).astype(np.int64) + 1).clip(0, [width, height])
    size = (high - low).clip(0)
    count = size[:, 0] * size[:, 1]
    start = 0
    while start < len(faces):
        total = np.cumsum(count[start:])
        stop = start + max(1, int(np.searchsorted(total, _CANDIDATES, side="right")))
        some = count[start:stop]
        face = np.repeat(np.arange(start, stop), some)
        within = np.arange(len(face)) - np.repeat(np.cumsum(some) - some, some)
        across = low[face, 0] + within % size[face, 0]
        down = low[face, 1] + within // size[face, 0]
        yield face, down * width + across
        start = stop


def _barycentric(corners: Floats, point: Floats) -> Floats:
    """Give the weights of a triangle's corners at a point; negative outside, or if it has no area.

    Args:
        corners: (N, 3, 2).
        point: (N, 2).
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = _cross(b - a, c - a)
    flat = area == 0
    area = np.where(flat, 1.0, area)
    second = _cross(point - a, c - a) / area
    third = _cross(b - a, point - a) / area
    weights = np.stack([1 - second - third, second, third], axis=-1)
    weights[flat] = -1
    return weights


def _cross(one: Floats, other: Floats) -> Floats:
    product: Floats = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return product
