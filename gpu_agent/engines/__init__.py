"""The model behind a Protocol. An engine knows images and meshes, never jobs or HTTP."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gpu_agent.errors import EngineError, JobCancelledError, JobTimeoutError
from gpu_agent.wire import Stage

__all__ = [
    "Artifact",
    "Engine",
    "EngineError",
    "EngineInfo",
    "Generated",
    "JobCancelledError",
    "JobTimeoutError",
    "Watch",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What an engine is.

    Attributes:
        name: As chosen in the settings: ``preview``, ``hunyuan3d`` …
        version: Changes whenever the same input may give another model.
        description: One honest sentence for people.
    """

    name: str
    version: str
    description: str


class Watch(Protocol):
    """What an engine reports to and asks while it works on one job."""

    def stage(self, stage: Stage, percent: float = 0.0) -> None:
        """Say which stage is under way and how far it is.

        Args:
            stage: The same as before, or a later one; `Stage`'s order is kept.
            percent: 0 to 100 within this stage.

        Raises:
            JobCancelledError: The job was cancelled; let it pass through.
            JobTimeoutError: The job's time is up; let it pass through.
        """

    def check(self) -> None:
        """Ask whether to go on; call it at least once a second.

        Raises:
            JobCancelledError: The job was cancelled; let it pass through.
            JobTimeoutError: The job's time is up; let it pass through.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that a job produces.

    Attributes:
        name: File name without a folder, ``model.glb``.
        content_type: Media type, ``model/gltf-binary``.
        data: The whole file.
    """

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What an engine made of one image.

    Attributes:
        artifacts: In the order in which they are shown; the model first.
        mesh: ``{faces, vertices, watertight, volume, extents[3]}``, plain JSON values.
        seed: The seed used, also when the options named none.
        notice: Licence notice that travels with the model.
    """

    artifacts: tuple[Artifact, ...]
    mesh: dict[str, Any]
    seed: int
    notice: str


class Engine(Protocol):
    """Turns an image into a model. Called by one thread at a time."""

    info: EngineInfo

    def set_up(self, report: Callable[[int, str], None]) -> None:
        """Load what is needed; called once, before the first `generate`.

        Args:
            report: Takes percent done (0 to 100) and one sentence for a person.

        Raises:
            EngineError: It can't be used on this machine.
        """

    def generate(self, image_png: bytes, options: Mapping[str, Any], watch: Watch) -> Generated:
        """Make a model of the subject of an image.

        Reports the stages from `Stage.BACKGROUND` to `Stage.EXPORT`; fetching and uploading
        are the caller's.

        Args:
            image_png: Upright PNG, RGB or RGBA, longest edge at most 2048 pixels.
            options: Engine options, already checked; keys that are not known are ignored.
            watch: Reported to and asked during the work.

        Raises:
            EngineError: No model can be made; says whether trying again may help.
            JobCancelledError: From `watch`.
            JobTimeoutError: From `watch`.
        """
