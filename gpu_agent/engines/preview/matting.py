"""Background removal by rembg, only where the package and its weights are already there.

Nothing is ever downloaded: rembg fetches weights that are absent, so the file is looked for first,
and the model is always named, because rembg's default asks for a paid licence.
"""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gpu_agent.engines.preview.background import Region

MODELS = ("isnet-general-use", "u2net", "silueta", "u2netp")
"""Models whose weights may be used freely, the best first."""

_LONGEST_EDGE_PX = 1024

FindSubject = Callable[[Image.Image], Region]


def load_matting(environ: Mapping[str, str]) -> FindSubject | None:
    """Load the best model at hand, or give None where there is none.

    Args:
        environ: The environment; ``REMBG_HOME`` and ``U2NET_HOME`` say where rembg's weights lie.
    """
    name = find_weights(environ)
    if name is None or importlib.util.find_spec("rembg") is None:
        return None
    import rembg  # takes seconds, and is absent from most machines

    session: Any = rembg.new_session(name, providers=["CPUExecutionProvider"])

    def find(image: Image.Image) -> Region:
        return region_from_mask(image, rembg.remove(_reduced(image), session, only_mask=True))

    return find


def find_weights(environ: Mapping[str, str]) -> str | None:
    """Name the best model whose weights lie where rembg would look."""
    home = Path(environ.get("HOME", "/"))
    named = environ.get("REMBG_HOME") or environ.get("U2NET_HOME")
    folder = Path(named) if named else home / ".u2net"
    for name in MODELS:
        places = (folder / "models" / name / f"{name}.onnx", folder / f"{name}.onnx")
        if any(place.is_file() and place.stat().st_size for place in places):
            return name
    return None


def region_from_mask(image: Image.Image, mask: Image.Image) -> Region:
    """Turn rembg's mask of a (reduced) photo into a region of the photo."""
    coverage: NDArray[np.float32] = np.asarray(mask.convert("L"), np.float32) / np.float32(255)
    return Region(coverage=coverage, box=(0, 0, *image.size))


def _reduced(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((_LONGEST_EDGE_PX, _LONGEST_EDGE_PX), Image.Resampling.BOX)
    return small
