"""Inflate a flat silhouette to a closed surface: a front and a back sheet that share the rim."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from gpu_agent.engines.preview.outline import FlatMesh

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_LEAST_DEPTH, _MOST_DEPTH = 0.2, 1.0
"""Depth of a model as a share of the thickest place of its outline: the largest circle in it, so
that a thing has the same depth whichever way it lies. 0.15 is promised."""

_FRONT, _BACK = 0.85, 0.55
_RELIEF = 0.03
"""Height of the photo's fine detail, as a share of the height there."""

_PLATEAU = 0.30
"""Reach of the rim's pull, as a share of the silhouette's size: wide parts level off there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheets:
    """A closed surface over a flat triangulation, in pixels.

    The front sheet has every point of the flat mesh, in its order; the back sheet too, so rim
    points appear twice at one place.

    Attributes:
        vertices: (2 V, 3) x right, y up, z to the viewer; front sheet first.
        faces: (2 T, 3) counter-clockwise seen from outside.
        normals: (2 V, 3) of length 1; equal for the two copies of a rim point.
        flat: (2 V, 2) the picture coordinates of each vertex, y down.
    """

    vertices: Floats
    faces: Ints
    normals: Floats
    flat: Floats


def inflate(mesh: FlatMesh, relief: NDArray[np.float32] | None = None) -> Sheets:
    """Raise the inside of a silhouette so that its cross-sections are round.

    Args:
        mesh: The flat silhouette.
        relief: (H, W) -1 to 1, fine detail for the front in the picture's pixels, or None.
    """
    height = _round_height(mesh)
    front, back = _FRONT * height, _BACK * height
    depth = float(front.max() + back.max())
    thick = 2 * float(cKDTree(mesh.points[mesh.is_rim]).query(mesh.points)[0].max())
    wanted = np.clip(depth, _LEAST_DEPTH * thick, _MOST_DEPTH * thick)
    front, back = front * (wanted / depth), back * (wanted / depth)
    if relief is not None:
        at = mesh.points.T[::-1]
        bump = ndimage.map_coordinates(relief, at, order=1, mode="nearest")
        # Towards the rim the relief fades, so that the outline stays where it is.
        front = front * (1 + _RELIEF * bump * np.minimum(1, height / (0.35 * height.max())))

    x, y = mesh.points[:, 0], -mesh.points[:, 1]
    vertices = np.concatenate([np.stack([x, y, front], axis=1), np.stack([x, y, -back], axis=1)])
    # The flat triangles turn clockwise once y points up.
    faces = np.concatenate([mesh.triangles[:, ::-1], mesh.triangles + len(x)])
    return Sheets(
        vertices=vertices,
        faces=faces,
        normals=_normals(vertices, faces, mesh.is_rim),
        flat=np.concatenate([mesh.points, mesh.points]),
    )


def _round_height(mesh: FlatMesh) -> Floats:
    """Give the square root of a screened Poisson solution: a disc becomes a ball."""
    stiffness, mass = _finite_elements(mesh)
    free = np.flatnonzero(~mesh.is_rim)
    reach = _PLATEAU * np.sqrt(mass.sum())
    system = stiffness + diags_array(mass / reach**2)
    # 3.4 lies between 4, which rounds a disc, and 2, which rounds a long strip.
    load = 3.4 * mass
    solver = splu(
        system[free][:, free].tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
    )
    height = np.zeros(len(mesh.points))
    height[free] = np.sqrt(np.maximum(solver.solve(load[free]), 0))
    # A positive least height keeps the two sheets apart everywhere inside.
    height[free] = np.maximum(height[free], 0.02 * height.max())
    return height


def _finite_elements(mesh: FlatMesh) -> tuple[coo_array, Floats]:
    """Assemble the linear elements' stiffness (V, V) and the lumped mass (V,)."""
    points, triangles = mesh.points, mesh.triangles
    count = len(points)
    corner = points[triangles]
    edge = corner[:, [2, 0, 1]] - corner[:, [1, 2, 0]]
    area = np.abs(edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]) / 2
    dots = np.einsum("tic,tjc->tij", edge, edge) / (4 * area)[:, None, None]
    rows = np.broadcast_to(triangles[:, :, None], dots.shape)
    columns = np.broadcast_to(triangles[:, None, :], dots.shape)
    stiffness = coo_array(
        (dots.ravel(), (rows.ravel(), columns.ravel())), shape=(count, count)
    ).tocsr()
    mass = np.bincount(triangles.ravel(), np.repeat(area / 3, 3), count).astype(np.float64)
    return stiffness, mass


def _normals(vertices: Floats, faces: Ints, is_rim: NDArray[np.bool_]) -> Floats:
    corner = vertices[faces]
    across = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), minlength=len(vertices))
            for axis in range(3)
        ],
        axis=1,
    )
    rim, half = np.flatnonzero(is_rim), len(vertices) // 2
    joined = normals[rim] + normals[rim + half]
    normals[rim] = normals[rim + half] = joined
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    unit: Floats = np.where(length > 0, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])
    return unit
