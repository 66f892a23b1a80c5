"""What the agent and its finishers say to each other: pickled between processes of one program."""

from dataclasses import dataclass, field
from typing import Any

from gpu_agent.engines.hunyuan3d.model import RawMesh, UvMesh


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidy:
    """Clean a mesh.

    Attributes:
        face_count: Most faces, or None.
        unwraps: Whether it is to be painted: the answer is a `UvMesh` then, else a `RawMesh`.
    """

    mesh: RawMesh
    face_count: int | None
    unwraps: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Make the files of a mesh; the answer is an `Exported`.

    Attributes:
        texture_png: Of a `UvMesh`, or None.
        picture_px: Width of the picture of the model, or 0 for none.
        texture_size: A larger texture is taken down to this edge, in pixels.
    """

    mesh: RawMesh | UvMesh
    texture_png: bytes | None
    texture_size: int = 2048
    picture_px: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The files of a mesh, and what was measured when they were opened again.

    Attributes:
        picture_png: Empty if none was asked for.
    """

    glb: bytes
    picture_png: bytes
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to do.

    Attributes:
        folder: For temporary files; removed with the task.
    """

    work: Tidy | Export
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a task.

    Attributes:
        steps: Seconds by step.
    """

    answer: Any = None
    error: tuple[str, str, bool] | None = None
    steps: dict[str, float] = field(default_factory=dict)
