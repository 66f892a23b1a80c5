"""The model behind a Protocol. An engine knows images and meshes, never jobs or HTTP."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gpu_agent.errors import EngineError, JobCancelledError, JobTimeoutError
from gpu_agent.wire import Stage

__all__ = [
    "Artifact",
    "Engine",
    "EngineError",
    "EngineInfo",
    "Equipment",
    "Generated",
    "Instruments",
    "JobCancelledError",
    "JobTimeoutError",
    "NoInstruments",
    "SetUpReport",
    "Watch",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What an engine is.

    Attributes:
        name: As chosen in the settings: ``preview``, ``hunyuan3d`` …
        version: Changes whenever the same input may give another model.
        description: One honest sentence for people.
        is_concurrent: Whether several threads may be in `Engine.generate` at one time, because
            the engine has queues of its own; else its callers stand in a line of one.
    """

    name: str
    version: str
    description: str
    is_concurrent: bool = False


class Watch(Protocol):
    """What an engine reports to and asks while it works on one job."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What log lines about this run carry; means nothing to the engine."""

    def stage(self, stage: Stage, percent: float = 0.0) -> None:
        """Say which stage is under way and how far it is.

        Args:
            stage: The same as before, or a later one; `Stage`'s order is kept.
            percent: 0 to 100 within this stage.

        Raises:
            JobCancelledError: The job was cancelled; let it pass through.
            JobTimeoutError: The job's time is up; let it pass through.
        """

    def end_stage(self) -> None:
        """Say that the stage is done and the next one has to wait; the wait is not counted.

        Raises:
            JobCancelledError: As in `stage`.
            JobTimeoutError: As in `stage`.
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
        result: How it came about where that differs from what was asked, plain JSON values.
    """

    artifacts: tuple[Artifact, ...]
    mesh: dict[str, Any]
    seed: int
    notice: str
    result: Mapping[str, Any] = field(default_factory=dict)


class Instruments(Protocol):
    """Takes the figures of an engine. Called by any thread."""

    def set_queue(self, queue: str, length: int) -> None:
        """Say how many jobs wait in one of the engine's queues."""

    def observe_batch(self, jobs: int) -> None:
        """Say how many jobs shared one batch."""

    def observe_step(self, step: str, seconds: float) -> None:
        """Say how long a step of one job took."""

    def count_restart(self, process: str, cause: str) -> None:
        """Say that a child process was lost; both words come from short lists."""

    def set_gpu_memory(self, used_bytes: int) -> None:
        """Say how much memory of the GPU is taken."""


class NoInstruments:
    """Takes figures and forgets them."""

    def set_queue(self, queue: str, length: int) -> None:  # noqa: D102
        pass

    def observe_batch(self, jobs: int) -> None:  # noqa: D102
        pass

    def observe_step(self, step: str, seconds: float) -> None:  # noqa: D102
        pass

    def count_restart(self, process: str, cause: str) -> None:  # noqa: D102
        pass

    def set_gpu_memory(self, used_bytes: int) -> None:  # noqa: D102
        pass


def _ignore(_reason: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What the agent gives an engine.

    Attributes:
        environ: The environment.
        work_dir: Folder for temporary files, the engine's alone. May hold what an agent left
            that was killed.
        slots: Most threads that will be in `Engine.generate` at one time.
        instruments: Takes the engine's figures.
        give_up: Called with one sentence when the engine can make no model ever again; the
            agent's process then ends.
    """

    environ: Mapping[str, str]
    work_dir: Path
    slots: int = 1
    instruments: Instruments = field(default_factory=NoInstruments)
    give_up: Callable[[str], None] = _ignore


class SetUpReport(Protocol):
    """Takes how far an engine's set-up is."""

    def __call__(self, percent: int, detail: str, step: str = "") -> None:
        """Take it.

        Args:
            percent: 0 to 100, of the step if one is named, else of the whole set-up.
            detail: One sentence for a person.
            step: One word: what is checked or loaded. Steps come one after the other.
        """


class Engine(Protocol):
    """Turns an image into a model. Called by one thread at a time, unless it says otherwise."""

    info: EngineInfo

    def set_up(self, report: SetUpReport) -> None:
        """Load what is needed; called once, before the first `generate`.

        Args:
            report: Told how far it is.

        Raises:
            EngineError: It can't be used on this machine.
        """

    def close(self) -> None:
        """End whatever it has started. Called last, perhaps while `generate` still runs."""

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
