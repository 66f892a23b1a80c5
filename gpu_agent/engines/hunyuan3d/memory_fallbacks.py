"""What is tried when the GPU's memory runs out. Pure."""

from dataclasses import replace

from gpu_agent.engines.hunyuan3d.model import ShapeSettings

LEAST_CHUNKS = 1000
"""A decoder call with fewer query points saves no memory worth having."""

OCTREES = (380, 252, 126, 63)
"""Resolutions at which FlashVDM's grid fits: at others the mesh comes out shrunk and shifted."""


def list_fallbacks(
    settings: ShapeSettings, *, least_octree_resolution: int
) -> list[ShapeSettings]:
    """List what is tried, one after the other, each needing less memory than the one before.

    First as asked; then in smaller chunks, which costs time and changes nothing; then with a
    lower octree, which costs detail and so needs the job's leave.

    Args:
        settings: As asked.
        least_octree_resolution: Lowest octree that the job accepts.
    """
    steps = [settings]
    fewer = max(LEAST_CHUNKS, settings.num_chunks // 4)
    if fewer < settings.num_chunks:
        steps.append(replace(settings, num_chunks=fewer))
    lower = [
        octree
        for octree in OCTREES
        if least_octree_resolution <= octree < settings.octree_resolution
    ]
    if lower:
        steps.append(replace(steps[-1], octree_resolution=lower[0]))
    return steps


def describe_fallback(asked: ShapeSettings, used: ShapeSettings) -> str | None:
    """Say in words what was given up, or None if nothing was."""
    if used == asked:
        return None
    if used.octree_resolution == asked.octree_resolution:
        return (
            f"The GPU's memory ran out: decoded in chunks of {used.num_chunks} points instead of "
            f"{asked.num_chunks}, which changes nothing in the mesh."
        )
    return (
        f"The GPU's memory ran out: decoded at octree {used.octree_resolution} instead of "
        f"{asked.octree_resolution}, so the mesh has less detail than was asked for."
    )
