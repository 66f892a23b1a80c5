"""Whether a machine can do what the engine is configured for, asked before the model is loaded.

`require_gpu_memory` decides; `check_gpu` asks torch, in the process that owns the GPU.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from gpu_agent.engines import EngineError

WORKING_GIB = 6.0
"""Beside the weights: activations of one batch, and a volume decoded in chunks."""

PRESET_GIB = {"draft": 4.0, "standard": 5.0, "high": 5.0}
"""A bundle in half precision, by preset."""

TEXTURE_GIB = 6.0
"""The texture models and what they need more than a shape does.

With all presets the sum is 26 GiB. Weights as published (4.9, 4.9, 3.8 and 3.7 GB), working memory
from public reports (shape 6 to 11.5 GB, with texture up to 24.5); planned, not measured.
"""

_GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the engine is configured for.

    Attributes:
        device: ``cuda`` or ``cpu``.
        presets: Whose weights are loaded.
        texture: Whether textures are painted.
    """

    device: str
    presets: tuple[str, ...]
    texture: bool

    @property
    def gpu_gib(self) -> float:
        """GPU memory that it takes, in GiB."""
        return count_gib(self.presets, texture=self.texture)


def count_gib(presets: Sequence[str], *, texture: bool) -> float:
    """Count the GPU memory that some presets take, in GiB."""
    shapes = sum(PRESET_GIB.get(name, max(PRESET_GIB.values())) for name in presets)
    return WORKING_GIB + shapes + (TEXTURE_GIB if texture else 0.0)


def require_gpu_memory(name: str, total_gib: float, needs: Needs) -> None:
    """Refuse a GPU that is too small, and name what would fit.

    Raises:
        EngineError: ``gpu_too_small``.
    """
    # A card sold as 24 GB shows a little less than 24 GiB; half a GiB decides nothing.
    if total_gib + 0.5 >= needs.gpu_gib:
        return
    fitting = find_fitting(total_gib, needs)
    advice = "nothing of it would fit" if fitting is None else f"what would fit: {fitting}"
    raise EngineError(
        "gpu_too_small",
        f"{name} has {total_gib:.1f} GiB; {', '.join(needs.presets)}"
        f"{' with texture' if needs.texture else ''} need {needs.gpu_gib:g}; {advice}.",
    )


def find_fitting(total_gib: float, needs: Needs) -> str | None:
    """Name the settings that keep the most of what is configured and fit; None if none do."""
    textures = (True, False) if needs.texture else (False,)
    for count in range(len(needs.presets), 0, -1):
        for texture in textures:
            for presets in combinations(needs.presets, count):
                if total_gib + 0.5 >= count_gib(presets, texture=texture):
                    return (
                        f"GPU_ENGINE_PRESETS={','.join(presets)} and "
                        f"GPU_ENGINE_TEXTURE={str(texture).lower()}"
                    )
    return None


def check_gpu(needs: Needs, report: Callable[[int, str], None]) -> None:
    """Ask the driver and the GPU, and look for the compiled extensions.

    Args:
        needs: What is configured.
        report: Takes percent and a sentence.

    Raises:
        EngineError: ``no_gpu``, ``gpu_too_small``, ``extension_missing``.
    """
    if needs.device != "cuda":
        report(100, f"The device is {needs.device}: the checks of the GPU are skipped.")
        return
    from gpu_agent.engines.hunyuan3d import libraries  # torch takes seconds to import

    torch = libraries.torch()
    report(30, "Asking the driver.")
    if not torch.cuda.is_available():
        raise EngineError("no_gpu", "torch finds no CUDA device: is the driver loaded?")
    name, total_gib = _ask_gpu(torch)
    report(70, f"{name} with {total_gib:.1f} GiB answers.")
    require_gpu_memory(name, total_gib, needs)
    if needs.texture:
        check_extensions()
    report(100, f"{name} with {total_gib:.1f} GiB is fit.")


def _ask_gpu(torch: Any) -> tuple[str, float]:
    try:
        properties = torch.cuda.get_device_properties(0)
        square = torch.full((64, 64), 2.0, device="cuda")
        total = float((square @ square).sum().item())
    except RuntimeError as error:
        first_line = str(error).partition("\n")[0]
        raise EngineError("no_gpu", f"The GPU does not answer: {first_line}") from error
    if total != 64.0**3 * 4:
        raise EngineError("no_gpu", "The GPU calculates wrong: 64 times 64 twos give no sum.")
    return str(properties.name), properties.total_memory / _GIB


EXTENSIONS = (
    "custom_rasterizer_kernel",
    "hy3dgen.texgen.differentiable_renderer.mesh_processor",
)
"""Textures need both. hy3dgen falls back to a mesh_processor in Python, 112 times slower."""


def check_extensions(find: Callable[[str], Any] = importlib.util.find_spec) -> None:
    """See that what has to be compiled was compiled.

    Args:
        find: Gives a module's spec, or None.

    Raises:
        EngineError: ``extension_missing``.
    """
    for name in EXTENSIONS:
        try:
            spec = find(name)
        except ImportError:
            spec = None
        origin = getattr(spec, "origin", None)
        if origin is None or not origin.endswith((".so", ".pyd")):
            raise EngineError(
                "extension_missing",
                f"{name} is not compiled ({origin or 'not found'}); build the disk image again.",
            )
