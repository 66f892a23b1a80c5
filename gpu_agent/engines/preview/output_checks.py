"""Open the finished file again and measure whether it is what was promised."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gpu_agent.engines import EngineError
from gpu_agent.engines.glb import Model, drawable, read_glb
from gpu_agent.engines.rendering import Camera, render, silhouette, srgb_from_linear

Floats = NDArray[np.float32]

_LEAST_OVERLAP = 0.95
_LEAST_DEPTH_SHARE = 0.15
"""Of the largest circle in the outline: a pen that lies is thin, and not flat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a model lay in the outline's picture before it was scaled and centred.

    Attributes:
        metres_per_px: Scale.
        middle_px: (3,) the model's origin: x right, y up, z to the viewer.
    """

    metres_per_px: float
    middle_px: Floats


def front_colour(model: Model) -> list[float] | None:
    """Give the mean sRGB, 0 to 255, of the unlit model seen from the front."""
    if model.texture is None:
        return None
    view = render(
        drawable(model),
        Camera.front(span=1.05),
        width=192,
        height=192,
        lights=(),
        ambient=1,
        supersample=1,
    )
    mean = srgb_from_linear(view[view[..., 3] > 0][:, :3]).mean(axis=0) * 255
    return [float(value) for value in mean.round(2)]


def check_model(data: bytes, outline: Floats, place: Place) -> dict[str, Any]:
    """Open the file again and measure it.

    Raises:
        EngineError: It is not the closed mesh of this outline (``model_rejected``).
    """
    mesh = read_glb(data)
    high, wide = outline.shape
    camera = Camera.front(
        span=high * place.metres_per_px,
        target=(np.array([(wide - 1) / 2, -(high - 1) / 2, 0], np.float32) - place.middle_px)
        * np.float32(place.metres_per_px),
    )
    seen = silhouette(
        np.asarray(mesh.vertices, np.float32), mesh.faces, camera, width=wide, height=high
    )
    mask = outline >= 0.5
    overlap = float(int((seen & mask).sum()) / max(int((seen | mask).sum()), 1))
    thick = 2 * float(ndimage.distance_transform_edt(np.pad(mask, 1)).max()) * place.metres_per_px
    extents = [float(value) for value in mesh.extents]
    figures = {
        "faces": len(mesh.faces),
        "vertices": len(mesh.vertices),
        "watertight": bool(mesh.is_watertight),
        "volume": float(mesh.volume),
        "extents": extents,
        "silhouette_iou": round(overlap, 4),
    }
    complaints = [
        text
        for text, fault in (
            ("it is not closed", not (mesh.is_watertight and mesh.is_winding_consistent)),
            ("it is inside out", mesh.volume <= 0),
            ("it is flat", extents[2] < _LEAST_DEPTH_SHARE * thick),
            ("its outline is not the subject's", overlap < _LEAST_OVERLAP),
        )
        if fault
    ]
    if complaints:
        raise EngineError(
            "model_rejected",
            f"The finished model was rejected: {', '.join(complaints)}.",
            retryable=True,
        )
    return figures
