"""Which engine the demo's agent runs, on which weights, and what is said about it."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpu_agent.engines.hunyuan3d.presets import PRESETS, TEXTURE_PARTS, parts_of
from gpu_agent.engines.hunyuan3d.weights import Weights
from localcloud.last_words import ExplainedError

ENGINES = ("preview", "hunyuan3d")

_TINY_OPTIONS = {"preset": "draft", "octree_resolution": 126, "texture": True}
"""What a small net makes of a photo is a blob; a finer one would only take longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoEngine:
    """An engine as the demo runs it.

    Attributes:
        name: One of `ENGINES`.
        told: One sentence before it begins, or nothing.
        not_shown: What the run does not show, for the closing table.
        environ: Settings of the agent.
        options: Of the job.
        job_limit_s: Longest time that it is waited for, in seconds.
    """

    name: str = "preview"
    told: str = ""
    not_shown: str = "Azure, a GPU and the real model."
    environ: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    job_limit_s: float = 300.0


def prepare_engine(name: str, weights: Path | None, folder: Path) -> DemoEngine:
    """Get an engine ready.

    Args:
        name: One of `ENGINES`.
        weights: Folder of real weights with their manifest; None: tiny ones are made.
        folder: Where to put those.

    Raises:
        ExplainedError: It can't be had; says what to do.
        EngineError: The weights have no manifest.
    """
    if name == "preview":
        return DemoEngine()
    if weights is None:
        return _with_tiny_weights(folder / "weights")
    return _with_real_weights(Weights.open(weights.absolute()))


def _with_tiny_weights(folder: Path) -> DemoEngine:
    # In a process of its own: it imports torch.
    made = subprocess.run(  # noqa: S603 -- a command of our own
        [sys.executable, "-W", "ignore", "-m", "gpu_agent.engines.hunyuan3d.tiny", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        last = (made.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ExplainedError(f"the tiny weights could not be made: {last}")
    return DemoEngine(
        name="hunyuan3d",
        told=(
            "The engine is hunyuan3d with tiny weights made on the spot: the real loaders and "
            "pipelines, but a net that knows nothing. The model will be a blob."
        ),
        not_shown="Azure, a GPU and what real weights make of a photo (WEIGHTS=DIR).",
        environ={
            **_environ(folder, presets=("draft",), device="cpu", texture=True),
            # More threads than this only get into each other's way in nets so small.
            "GPU_ENGINE_TORCH_THREADS": "1",
        },
        options=_TINY_OPTIONS,
    )


def _with_real_weights(weights: Weights) -> DemoEngine:
    presets = tuple(
        name for name in PRESETS if all(_has(weights, part) for part in PRESETS[name].parts)
    )
    if not presets:
        wanted = ", ".join(parts_of(PRESETS, texture=False))
        raise ExplainedError(f"{weights.folder} holds no preset's weights; known are {wanted}")
    has_gpu, has_cuda = shutil.which("nvidia-smi") is not None, _torch_knows_cuda()
    device = "cuda" if has_gpu and has_cuda else "cpu"
    texture = device == "cpu" or all(_has(weights, part) for part in TEXTURE_PARTS)
    why = "The torch of this environment knows no GPU" if has_gpu else "There is no GPU"
    hint = "" if device == "cuda" else f" {why}, so this may take an hour."
    return DemoEngine(
        name="hunyuan3d",
        told=f"The engine is hunyuan3d with the weights in {weights.folder}.{hint}",
        not_shown="Azure." if device == "cuda" else "Azure and a GPU.",
        environ=_environ(weights.folder, presets=presets, device=device, texture=texture),
        options={"preset": presets[0], "texture": texture},
        job_limit_s=7200.0,
    )


def _environ(
    weights: Path, *, presets: tuple[str, ...], device: str, texture: bool
) -> dict[str, str]:
    # What paints on a CPU has no more to say, and would take minutes to say it.
    small = {} if device == "cuda" else {"GPU_ENGINE_TEXTURE_EDGE_PX": "256"}
    return {
        **small,
        "GPU_AGENT_ENGINE": "hunyuan3d",
        "GPU_ENGINE_WEIGHTS_DIR": str(weights),
        "GPU_ENGINE_PRESETS": ",".join(presets),
        "GPU_ENGINE_DEVICE": device,
        "GPU_ENGINE_TEXTURE": str(texture).lower(),
    }


def _torch_knows_cuda() -> bool:
    """Tell by its name alone: importing it takes seconds. The engine's lock has the CPU build."""
    try:
        return not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def _has(weights: Weights, part: str) -> bool:
    return any(name.startswith(part + "/") for name in weights.files)
