"""What the agent and the process that owns the GPU say to each other.

Plain values that are pickled between two processes of one program: numpy arrays, bytes, numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpu_agent.engines.hunyuan3d.fitness import Needs
from gpu_agent.engines.hunyuan3d.health import Step
from gpu_agent.engines.hunyuan3d.model import RawMesh, ShapeSettings, UvMesh


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """First of all: which model to own.

    Attributes:
        factory: ``module:function``, which gives a `GpuModel`.
        arguments: Its keyword arguments.
        work_dir: Folder for temporary files of this process.
        beat_s: Seconds between two signs of life.
        needs: What is asked of the GPU first, or None to ask nothing.
    """

    factory: str
    arguments: Mapping[str, Any]
    work_dir: str
    beat_s: float
    needs: Needs | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeWork:
    """One shape of a batch.

    Attributes:
        number: Names it in the answers.
        cutout_png: As in `ShapeRequest`.
        seed: As in `ShapeRequest`.
        settings: What to decode with, one after the other as the memory runs out.
        about: For log lines.
    """

    number: int
    cutout_png: bytes
    seed: int
    settings: tuple[ShapeSettings, ...]
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeShapes:
    """Run one batch; its members have equal first settings."""

    items: tuple[ShapeWork, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintWork:
    """Paint one mesh."""

    number: int
    mesh: UvMesh
    cutout_png: bytes
    seed: int
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Nobody wants this number any more."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The process lives.

    Attributes:
        gpu_memory_bytes: What it has taken of the GPU's memory, or None without a GPU.
    """

    gpu_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """How far the set-up is.

    Attributes:
        step: ``gpu`` or ``model``.
        percent: 0 to 100 of the step.
    """

    step: str
    percent: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    """The model can't be had; the process ends."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """The process waits for work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far work is.

    Attributes:
        numbers: Whose.
        share: 0 to 1 of the step.
    """

    step: Step
    numbers: tuple[int, ...]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A step took so long; what a batch shares is counted for each of its members."""

    step: Step
    numbers: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLarge:
    """A batch of so many did not fit, and was run in halves."""

    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """A shape is done.

    Attributes:
        settings: What it was decoded with.
        batch: How many shapes were in its batch.
    """

    number: int
    mesh: RawMesh
    settings: ShapeSettings
    batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """A texture is done."""

    number: int
    texture_png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The work can't be done; the process is sound."""

    number: int
    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """The work was given up because nobody wants it."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The model failed in a way that may have spoilt the GPU's context; the process ends."""

    detail: str
