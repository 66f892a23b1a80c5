"""Opens a GLB again, as anyone would who was given it."""

from dataclasses import dataclass
from pathlib import Path

import trimesh


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """What the file holds.

    Attributes:
        watertight: Once vertices at one place are merged: a texture's seams part them.
        volume: In cubic units of the model, above 0 when its faces look outward.
    """

    faces: int
    vertices: int
    watertight: bool
    volume: float


def check_model(path: Path) -> ModelCheck:
    """Read a GLB and measure it.

    Raises:
        ValueError: It is no GLB with a mesh in it.
    """
    mesh = trimesh.load(path, file_type="glb", force="mesh")
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        raise ValueError(f"{path} holds no mesh")
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return ModelCheck(
        faces=len(mesh.faces),
        vertices=len(mesh.vertices),
        watertight=bool(mesh.is_watertight),
        volume=float(mesh.volume),
    )
