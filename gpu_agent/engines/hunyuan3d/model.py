"""What the one process that owns the GPU can do, behind a Protocol.

Values here cross a process boundary: numpy arrays, bytes and plain numbers, nothing of torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeSettings:
    """How a shape is made. Jobs with equal settings may share one diffusion batch.

    Attributes:
        preset: Name of the preset, which names the weights.
        steps: Diffusion steps, at least 1.
        guidance_scale: Classifier-free guidance, finite.
        octree_resolution: Cells along an edge of the decoded volume.
        num_chunks: Query points a decoder call; what a smaller one costs is time.
        flash_vdm: Whether FlashVDM decodes the volume.
    """

    preset: str
    steps: int
    guidance_scale: float
    octree_resolution: int
    num_chunks: int
    flash_vdm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeRequest:
    """One image of a batch.

    Attributes:
        cutout_png: RGBA PNG, the subject cut out, alpha neither empty nor full of holes.
        seed: Of the noise, 0 to 2**31 - 1. The same seed gives the same surface to within the
            noise of the arithmetic, not the same bytes.
    """

    cutout_png: bytes
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMesh:
    """A mesh without colours.

    Attributes:
        vertices: (V, 3) float32 positions in model units, y up; finite.
        faces: (F, 3) int32 indices, counter-clockwise seen from outside.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class UvMesh:
    """A mesh that can carry a texture.

    Attributes:
        vertices: (V, 3) float32, seams doubled.
        faces: (F, 3) int32.
        uv: (V, 2) float32 in 0 to 1.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32]


class OutOfGpuMemoryError(Exception):
    """The step did not fit; a smaller one may. The model is still usable."""


class GpuModel(Protocol):
    """Called by one thread of one process; nothing in it is re-entrant.

    Any `BaseException` raised by a callback passes through and leaves the model usable.
    """

    def load(self, report: Callable[[int, str], None]) -> None:
        """Load every configured preset's weights and warm up.

        Args:
            report: Takes percent done (0 to 100) and one sentence for a person.

        Raises:
            EngineError: The weights can't be used; says why in one line.
        """

    def diffuse(
        self,
        requests: Sequence[ShapeRequest],
        settings: ShapeSettings,
        on_step: Callable[[int, int], None],
    ) -> Any:
        """Run the diffusion of one batch.

        Args:
            requests: At least one; the surface of each is the same as in a batch of its own, to
                within the noise of the arithmetic. Vertices may be more, fewer or in other rows.
            settings: Shared by all of them.
            on_step: Called after each step with the steps done and the steps in all.

        Returns:
            Latents, to be handed to `decode` and never to leave the process.

        Raises:
            OutOfGpuMemoryError: The batch did not fit.
        """

    def decode(
        self,
        latents: Any,
        index: int,
        settings: ShapeSettings,
        on_points: Callable[[float], None],
    ) -> RawMesh:
        """Decode one shape of a batch.

        Args:
            latents: From `diffuse`.
            index: Which of the batch, from 0.
            settings: Those of `diffuse`, or with a lower octree or fewer chunks.
            on_points: Called during the decoding with the share done, 0 to 1, never falling.

        Raises:
            OutOfGpuMemoryError: It did not fit.
            EngineError: The volume has no surface.
        """

    def paint(
        self, mesh: UvMesh, cutout_png: bytes, seed: int, on_share: Callable[[float], None]
    ) -> bytes:
        """Paint the texture of a mesh.

        Args:
            mesh: With the atlas that the texture is for.
            cutout_png: As in `ShapeRequest`.
            seed: As in `ShapeRequest`.
            on_share: Called during the work with the share done, 0 to 1, never falling.

        Returns:
            The texture as an RGB PNG, square.

        Raises:
            OutOfGpuMemoryError: It did not fit.
            EngineError: No texture model is configured, or it gave nothing.
        """
