"""Open the finished file again and measure whether it is what was promised."""

import io
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from gpu_agent.engines import EngineError
from gpu_agent.engines.glb import read_glb

_LEAST_EXTENT_SHARE = 0.001
"""Thinner than this share of its length in any direction, a model is flat."""

_MOST_EXTENT = 4.0
"""hy3dgen decodes in a box from -1.01 to 1.01; what is larger was not decoded there."""

_LEAST_CONTRAST = 2
"""A texture whose levels differ by less than this, in every channel, is blank."""


def check_model(
    data: bytes, *, face_count: int, vertices: NDArray[np.float32], is_textured: bool
) -> dict[str, Any]:
    """Measure a GLB.

    Args:
        data: The file.
        face_count: Faces that were written.
        vertices: (V, 3) that were written.
        is_textured: Whether a texture was.

    Returns:
        ``{faces, vertices, watertight, volume, extents[3], bounds[2][3], textured, notes}``,
        plain JSON values. `notes` are sentences about what is less than perfect.

    Raises:
        EngineError: It is not what was written, or nothing to show (``model_rejected``).
    """
    try:
        mesh = read_glb(data)
        raw = trimesh.load_mesh(io.BytesIO(data), file_type="glb", process=False)
    except Exception as error:
        raise _rejected(["it can't be opened again"]) from error
    if len(mesh.faces) == 0:
        raise _rejected(["it is empty"])
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    bounds = np.asarray(mesh.bounds, np.float64)
    extents = bounds[1] - bounds[0]
    is_finite = bool(np.isfinite(mesh.vertices).all())
    complaints = [
        text
        for text, fault in (
            ("it has places that are no numbers", not is_finite),
            (
                f"it has {len(raw.faces)} faces instead of {face_count}",
                len(raw.faces) != face_count,
            ),
            ("it lies elsewhere", is_finite and not np.allclose(bounds, [low, high], atol=1e-4)),
            ("it is flat", bool(extents.min() < _LEAST_EXTENT_SHARE * extents.max())),
            ("it is too large", bool(extents.max() > _MOST_EXTENT)),
            ("its texture is missing or blank", is_textured and not _has_contrast(raw)),
        )
        if fault
    ]
    if complaints:
        raise _rejected(complaints)
    is_watertight = bool(mesh.is_watertight and mesh.is_winding_consistent)
    return {
        "faces": len(raw.faces),
        "vertices": len(raw.vertices),
        "watertight": is_watertight,
        "volume": float(mesh.volume) if is_watertight else None,
        "extents": [round(float(value), 6) for value in extents],
        "bounds": [[round(float(value), 6) for value in corner] for corner in bounds],
        "textured": is_textured,
        "notes": [] if is_watertight else ["The surface is not closed: it has no volume."],
    }


def _has_contrast(mesh: trimesh.Trimesh) -> bool:
    material: Any = getattr(mesh.visual, "material", None)
    image = getattr(material, "baseColorTexture", None)
    if image is None:
        return False
    pixels = np.asarray(image.convert("RGB"), np.int16).reshape(-1, 3)
    return bool((pixels.max(axis=0) - pixels.min(axis=0)).max() >= _LEAST_CONTRAST)


def _rejected(complaints: list[str]) -> EngineError:
    return EngineError(
        "model_rejected",
        f"The finished model was rejected: {', '.join(complaints)}.",
        retryable=True,
    )


def is_rejected(error: EngineError) -> bool:
    """Tell whether another seed may give what this one did not."""
    return error.code in ("model_rejected", "no_surface")
