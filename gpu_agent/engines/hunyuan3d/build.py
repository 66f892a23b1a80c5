"""Put the engine together from the environment: the one place that knows who uses whom."""

import importlib.metadata
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_agent.engines import EngineError, EngineInfo, Equipment
from gpu_agent.engines.hunyuan3d import stand_in
from gpu_agent.engines.hunyuan3d.cutout import Cutout, FindMask, cut_out, load_mask_model
from gpu_agent.engines.hunyuan3d.engine import Hunyuan3dEngine
from gpu_agent.engines.hunyuan3d.fitness import Needs
from gpu_agent.engines.hunyuan3d.options import HunyuanOptions
from gpu_agent.engines.hunyuan3d.parts import Parts
from gpu_agent.engines.hunyuan3d.plan import MOST_SEED, JobPlan
from gpu_agent.engines.hunyuan3d.presets import parts_of
from gpu_agent.engines.hunyuan3d.settings import EngineSettings
from gpu_agent.engines.hunyuan3d.weights import Weights

LEAST_OCTREE = 63
"""How far the octree may go down for a job that accepts reduced quality."""

CPU_CHUNKS = 8_000
"""Most points decoded at once on a CPU, hy3dgen's own default: more of them only fill a GPU, and
make a CPU slower, whose caches they leave. The mesh is the same."""


def build_engine(equipment: Equipment) -> Hunyuan3dEngine:
    """Make the engine; nothing is loaded yet.

    Raises:
        SettingsError: The environment lacks or contradicts something.
    """
    settings = EngineSettings.from_environ(equipment.environ)
    cutter = Cutter(settings.weights_dir, threads=settings.torch_threads)
    facts = {**read_facts(settings.weights_dir), **read_versions(settings.device)}
    if settings.texture and settings.device == "cpu":
        facts["texture_notice"] = stand_in.NOTICE
    return Hunyuan3dEngine(
        Parts(
            info=EngineInfo(
                name="hunyuan3d",
                version=f"1.0+{facts.get('weights', 'no-weights')}",
                description="Hunyuan3D-2: a mesh reconstructed from one photo, with its texture.",
                is_concurrent=True,
            ),
            factory="gpu_agent.engines.hunyuan3d.torch_model:TorchModel",
            arguments={
                "weights": settings.weights_dir,
                "presets": settings.presets,
                "device": settings.device,
                "texture": settings.texture,
                "texture_edge_px": settings.texture_edge_px,
                "threads": settings.torch_threads,
            },
            cut_out=cutter.cut_out,
            plan=lambda options: plan_job(options, settings),
            lanes=settings.lanes,
            facts=facts,
            checks={"weights": lambda: check_weights(settings), "background": cutter.load},
            needs=Needs(
                device=settings.device, presets=settings.presets, texture=settings.texture
            ),
            warm_up={
                "preset": settings.presets[0],
                "steps": 5,
                "octree_resolution": LEAST_OCTREE,
                "flash_vdm": False,
                "texture": settings.texture,
                "face_count": 2000,
                "texture_size": 256,
                "seed": 0,
            },
        ),
        equipment,
    )


def plan_job(options: Mapping[str, Any], settings: EngineSettings) -> JobPlan:
    """Decide every option of a job.

    Raises:
        EngineError: One is not accepted (``invalid_options``).
    """
    asked = HunyuanOptions.from_mapping(
        options, presets=settings.presets, can_paint=settings.texture
    )
    least = LEAST_OCTREE if asked.min_quality == "reduced" else asked.octree_resolution
    shape = asked.shape_settings
    if settings.device == "cpu":
        shape = replace(shape, num_chunks=min(shape.num_chunks, CPU_CHUNKS))
    return JobPlan(
        shape=shape,
        seed=secrets.randbelow(MOST_SEED + 1) if asked.seed is None else asked.seed,
        remove_background=asked.remove_background,
        min_quality=asked.min_quality,
        texture=asked.texture,
        texture_size=asked.texture_size,
        face_count=asked.face_count,
        least_octree_resolution=min(least, asked.octree_resolution),
    )


def check_weights(settings: EngineSettings) -> None:
    """See that the weights are whole, by size and header.

    Raises:
        EngineError: They are not (``weights_missing``, ``weights_corrupt``).
    """
    weights = Weights.open(settings.weights_dir)
    # On a CPU stand-ins paint, which need none.
    has_texture_weights = settings.texture and settings.device == "cuda"
    weights.check_sizes_and_headers(parts_of(settings.presets, texture=has_texture_weights))


def read_facts(weights_dir: Path) -> dict[str, Any]:
    """Say which weights there are, for the manifest; nothing where that can't be read.

    The set-up looks at them again, and says what is wrong.
    """
    try:
        weights = Weights.open(weights_dir)
    except EngineError:
        return {}
    return {
        "weights": weights.fingerprint,
        "revisions": dict(weights.revisions),
        "licence": "Tencent Hunyuan 3D 2.0 Community License",
    }


def read_versions(device: str) -> dict[str, Any]:
    """Say what a seed means the same with: noise differs by device, arithmetic by build."""
    return {
        "device": device,
        "hy3dgen": _version_of("hy3dgen"),
        "torch": _version_of("torch"),
    }


class Cutter:
    """Cuts subjects out with the background model of the weights.

    Args:
        weights: Folder of the weights.
        threads: CPU threads for one picture, or None for ONNX's own choice.
    """

    def __init__(self, weights: Path, *, threads: int | None) -> None:
        self._weights = weights
        self._threads = threads
        self._find: FindMask | None = None

    def load(self) -> None:
        """Load the model; once, before the first picture."""
        self._find = load_mask_model(self._weights, threads=self._threads)

    def cut_out(self, image: bytes, remove_background: bool | None) -> Cutout:
        """Cut the subject out; see `cut_out`."""
        assert self._find is not None  # noqa: S101 - loaded by the set-up
        return cut_out(image, self._find, remove_background=remove_background)


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
