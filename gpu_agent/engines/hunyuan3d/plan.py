"""What one job asks of the engine, read from its options."""

from dataclasses import dataclass

from gpu_agent.engines.hunyuan3d.model import ShapeSettings

MOST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """How a model is wanted, every option decided.

    Attributes:
        shape: Settings of the shape; jobs with equal ones may share a batch.
        seed: 0 to `MOST_SEED`.
        remove_background: Whether to look for the subject; else the photo's own transparency or
            the whole frame. None where that transparency decides.
        min_quality: ``full`` where a doubtful subject is an error, else ``reduced``.
        texture: Whether the mesh is painted.
        texture_size: Longest edge of the texture in pixels.
        face_count: Most faces of the model, or None for all that the shape has.
        least_octree_resolution: The octree may go down to this one when the GPU's memory runs
            out; `shape`'s own where the job allows nothing less.
    """

    shape: ShapeSettings
    seed: int
    remove_background: bool | None = None
    min_quality: str = "reduced"
    texture: bool = False
    texture_size: int = 2048
    face_count: int | None = None
    least_octree_resolution: int


def next_seed(seed: int) -> int:
    """Give the seed of a second try."""
    return (seed + 1) % (MOST_SEED + 1)
