"""What both sides are asked to make: pictures, seeds and options. Pure."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

OURS, PEER = "ours", "peer"

EDGE_PX = 256
STEPS = 5
GUIDANCE = 5.0
SEEDS = (11, 12, 13)
MOST_FACES = 200_000
"""More than any of these meshes has: neither side reduces one."""

_GREY = (205, 205, 205)
_MARGIN_PX = 2


@dataclass(frozen=True, slots=True)
class Task:
    """One model to make.

    Attributes:
        name: Which picture and seed.
        png: The picture.
        seed: Of the noise.
        octree: Cells along an edge of the volume.
    """

    name: str
    png: bytes
    seed: int
    octree: int


def list_tasks(octree: int) -> list[Task]:
    """List the tasks, each of which gives another mesh."""
    return [
        Task(f"{number}-{seed}-{octree}", png, seed, octree)
        for seed in SEEDS
        for number, png in enumerate(draw_pictures())
    ]


def draw_pictures() -> list[bytes]:
    """Draw blobs on an even background, which is what the tiny background model finds.

    Each reaches as far as a cutout's margin from every border: the agent crops to the subject and
    the peer does not, and so both show the model the same pixels.
    """
    return [
        _draw_blob(colour, power)
        for colour, power in (
            ((150, 60, 40), 2.0),
            ((40, 90, 160), 1.2),
            ((30, 120, 60), 4.0),
            ((120, 40, 130), 0.8),
        )
    ]


def _draw_blob(colour: tuple[int, int, int], power: float) -> bytes:
    """Draw ``|x|^power + |y|^power < 1``: an ellipse, a star, a cushion."""
    half = EDGE_PX / 2 - _MARGIN_PX
    across = np.abs((np.arange(EDGE_PX) + 0.5 - EDGE_PX / 2) / half)
    inside = across[:, None] ** power + across[None, :] ** power < 1.0
    picture = np.full((EDGE_PX, EDGE_PX, 3), _GREY, np.uint8)
    shade = (np.arange(EDGE_PX) // 8 % 16).astype(np.uint8)
    picture[inside] = np.asarray(colour, np.uint8)
    picture[..., 1] += np.where(inside, shade[None, :], 0).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()
