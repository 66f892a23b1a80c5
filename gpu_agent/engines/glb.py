"""Write the model as GLB, and read it back to see that it is what was promised."""

import io
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from gpu_agent.engines.rendering import TexturedMesh

Floats = NDArray[np.float32]

_JPEG_QUALITY = 88


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A closed mesh ready for export.

    Attributes:
        vertices: (V, 3) metres, +Y up, front to +Z, largest extent 1, centred.
        faces: (F, 3) counter-clockwise seen from outside.
        normals: (V, 3) of length 1.
        uv: (V, 2) with (0, 0) at the top left, or None without a texture.
        texture: (H, W, 3) uint8 sRGB, or None.
        colour: Linear RGB of a model without a texture, 0 to 1.
    """

    vertices: Floats
    faces: NDArray[np.intp]
    normals: Floats
    uv: Floats | None
    texture: NDArray[np.uint8] | None
    colour: tuple[float, float, float]


def write_glb(model: Model) -> bytes:
    """Encode a model as one binary glTF file."""
    mesh = trimesh.Trimesh(
        vertices=model.vertices,
        faces=model.faces,
        vertex_normals=model.normals,
        visual=_visual(model),
        process=False,
        validate=False,
    )
    scene = trimesh.Scene()
    scene.add_geometry(mesh, node_name="model", geom_name="model")
    data: bytes = scene.export(file_type="glb", include_normals=True)
    return data


def read_glb(data: bytes) -> trimesh.Trimesh:
    """Open a GLB as one mesh, its vertices merged where they lie at one place."""
    mesh = trimesh.load_mesh(io.BytesIO(data), file_type="glb", process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return mesh


def drawable(model: Model) -> TexturedMesh:
    """Give what the renderer draws; a model without a texture is drawn in light grey."""
    if model.uv is not None and model.texture is not None:
        uv, texture = model.uv, model.texture
    else:
        uv = np.zeros((len(model.vertices), 2), np.float32)
        texture = np.full((1, 1, 3), 178, np.uint8)
    return TexturedMesh(
        vertices=model.vertices, faces=model.faces, normals=model.normals, uv=uv, texture=texture
    )


def _visual(model: Model) -> TextureVisuals:
    if model.uv is None or model.texture is None:
        material = PBRMaterial(
            baseColorFactor=[*model.colour, 1.0], metallicFactor=0.0, roughnessFactor=0.85
        )
        return TextureVisuals(material=material)
    image = Image.fromarray(model.texture)
    # The exporter writes a JPEG where the image says that it came from one; PNG is slow and large.
    image.format = "JPEG"
    image.encoderinfo = {"quality": _JPEG_QUALITY, "subsampling": 0}
    material = PBRMaterial(baseColorTexture=image, metallicFactor=0.0, roughnessFactor=0.85)
    # trimesh counts v from the bottom.
    return TextureVisuals(uv=model.uv * [1, -1] + [0, 1], material=material)
