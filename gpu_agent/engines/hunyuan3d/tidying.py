"""Clean a decoded mesh: drop what floats, what is degenerate, and faces that are too many."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gpu_agent.engines import EngineError
from gpu_agent.engines.hunyuan3d.model import RawMesh, UvMesh
from gpu_agent.engines.hunyuan3d.rows import compact, unique_rows

Ints = NDArray[np.int32]

_LEAST_PART_SHARE = 0.005
"""A part with a smaller share of the faces floats, the measure of hy3dgen's own remover."""


def tidy(mesh: RawMesh, *, face_count: int | None) -> RawMesh:
    """Clean a mesh, then take it down to `face_count` faces if it has more.

    Raises:
        EngineError: Nothing is left (``model_rejected``).
    """
    cleaned = drop_floaters(drop_degenerate(mesh))
    if len(cleaned.faces) == 0:
        raise EngineError("model_rejected", "The decoded shape is empty.", retryable=True)
    if face_count is None or len(cleaned.faces) <= face_count:
        return cleaned
    return drop_degenerate(reduce_faces(cleaned, face_count))


def drop_degenerate(mesh: RawMesh) -> RawMesh:
    """Merge vertices at one place and drop faces that name a vertex twice, or another's three.

    Two faces back to back, which decimation makes, are a fold without a volume: both go, for one
    alone would hang from the surface and open it. Thin faces stay: dropping one would open it too.
    """
    places, index = unique_rows(mesh.vertices)
    faces = index[mesh.faces].astype(np.int32)
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    return compact(places, faces[_list_single(faces)])


def _list_single(faces: Ints) -> NDArray[np.intp]:
    """List one face of each three vertices, turned as most of them are; none if they cancel."""
    a, b, c = faces.T
    turn = np.sign(b - a) * np.sign(c - b) * np.sign(a - c)
    _, group = unique_rows(np.sort(faces, axis=1))
    most = np.sign(np.bincount(group, weights=turn))
    candidates = np.flatnonzero(turn == most[group])
    _, first = np.unique(group[candidates], return_index=True)
    return candidates[np.sort(first)]


def drop_floaters(mesh: RawMesh) -> RawMesh:
    """Drop parts that have almost no faces; the largest one always stays."""
    if len(mesh.faces) == 0:
        return mesh
    faces = mesh.faces
    start, end = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    count = len(mesh.vertices)
    graph = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(count, count))
    _, part = connected_components(graph, directed=False)
    size = np.bincount(part[faces[:, 0]])
    keep = size >= _LEAST_PART_SHARE * len(faces)
    keep[int(size.argmax())] = True
    return compact(mesh.vertices, faces[keep[part[faces[:, 0]]]])


def reduce_faces(mesh: RawMesh, face_count: int) -> RawMesh:
    """Take a mesh down to about `face_count` faces, its surface still closed if it was."""
    import fast_simplification  # comes with the engine's lock

    vertices, faces = fast_simplification.simplify(
        mesh.vertices, mesh.faces, target_count=face_count
    )[:2]
    return RawMesh(vertices=np.asarray(vertices, np.float32), faces=np.asarray(faces, np.int32))


def unwrap(mesh: RawMesh) -> UvMesh:
    """Give each face a place in an atlas; vertices on seams are doubled."""
    import xatlas  # comes with the engine's lock

    origin, faces, uv = xatlas.parametrize(mesh.vertices, mesh.faces)
    return UvMesh(
        vertices=mesh.vertices[origin],
        faces=np.asarray(faces, np.int32),
        uv=np.asarray(uv, np.float32),
    )
