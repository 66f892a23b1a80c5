"""The engine's part of the environment, read once. Each is the variable ``GPU_ENGINE_<NAME>``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gpu_agent.engines.hunyuan3d.health import Limits, Step
from gpu_agent.engines.hunyuan3d.presets import PRESETS
from gpu_agent.settings import EnvironReader

_PREFIX = "GPU_ENGINE_"

DEVICES = ("cuda", "cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """How the engine's lanes are laid out, and how patient it is.

    Attributes:
        batch_limit: Most shapes that share one diffusion.
        cutouts: Most images that are cut out at one time, on CPU threads of the agent.
        finishers: Processes that clean and export meshes.
        beat_s: Seconds between two signs of life of the GPU process.
        limits: When the GPU process counts as lost.
        finish_limit_s: Longest task of a finisher, in seconds.
        picture_px: Width of the picture of a model, or 0 for none.
        least_free_gib: No job is begun with less free space for temporary files, in GiB.
    """

    batch_limit: int = 4
    cutouts: int = 2
    finishers: int = 2
    beat_s: float = 1.0
    limits: Limits
    finish_limit_s: float = 120.0
    picture_px: int = 1024
    least_free_gib: float = 2.0

    @classmethod
    def from_reader(cls, reader: EnvironReader) -> Self:
        """Read the settings; what is wrong is left with the reader."""

        def seconds(name: str, default: float) -> float:
            return reader.number(name, default, low=0.05, high=3600.0)

        def count(name: str, default: int, high: int) -> int:
            return int(reader.number(name, default, low=1, high=high, whole=True))

        return cls(
            batch_limit=count("BATCH_LIMIT", 4, 16),
            cutouts=count("CUTOUTS", 2, 16),
            finishers=count("FINISHERS", 2, 16),
            beat_s=seconds("BEAT_S", 1.0),
            limits=Limits(
                silence_s=seconds("SILENCE_S", 30.0),
                progress_s={
                    Step.LOAD: seconds("LOAD_LIMIT_S", 600.0),
                    Step.DIFFUSE: seconds("DIFFUSE_LIMIT_S", 60.0),
                    Step.DECODE: seconds("DECODE_LIMIT_S", 60.0),
                    Step.PAINT: seconds("PAINT_LIMIT_S", 180.0),
                },
                cancel_s=seconds("CANCEL_LIMIT_S", 2.0),
            ),
            finish_limit_s=seconds("FINISH_LIMIT_S", 120.0),
            picture_px=int(reader.number("PICTURE_PX", 1024, low=0, high=2048, whole=True)),
            least_free_gib=reader.number("LEAST_FREE_GIB", 2.0, low=0.0, high=1e6),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What the engine is told from outside.

    Attributes:
        weights_dir: Folder of the weights, with their manifest.
        presets: Those that are offered, at least one.
        device: ``cuda`` or ``cpu``.
        texture: Whether textures are painted.
        texture_edge_px: Edge of a painted texture, before a job's own size.
        torch_threads: CPU threads of torch, and of ONNX for one picture; None for their own
            choice.
        lanes: How wide the lanes are.
    """

    weights_dir: Path
    presets: tuple[str, ...]
    device: str
    texture: bool
    texture_edge_px: int
    torch_threads: int | None
    lanes: LaneSettings

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            SettingsError: Names everything that is absent or wrong, in one message.
        """
        reader = EnvironReader(environ, _PREFIX)
        names = (reader.text("PRESETS") or ",".join(PRESETS)).split(",")
        presets = tuple(name.strip() for name in names)
        if not set(presets) <= PRESETS.keys() or len(set(presets)) < len(presets):
            reader.complain(f"{_PREFIX}PRESETS is not some of {', '.join(PRESETS)}, each once")
        device = reader.text("DEVICE") or "cuda"
        if device not in DEVICES:
            reader.complain(f"{_PREFIX}DEVICE is none of {', '.join(DEVICES)}")
        texture = (reader.text("TEXTURE") or "true").lower()
        if texture not in ("true", "false"):
            reader.complain(f"{_PREFIX}TEXTURE is neither true nor false")
        threads = int(reader.number("TORCH_THREADS", 0, low=0, high=256, whole=True))
        settings = cls(
            weights_dir=Path(reader.required("WEIGHTS_DIR")),
            presets=presets,
            device=device,
            texture=texture == "true",
            texture_edge_px=int(
                reader.number("TEXTURE_EDGE_PX", 2048, low=64, high=4096, whole=True)
            ),
            torch_threads=threads or None,
            lanes=LaneSettings.from_reader(reader),
        )
        reader.raise_complaints()
        return settings
