"""A whole folder of tiny weights, one bundle and VAE for each preset, with its manifest."""

from collections.abc import Iterable
from pathlib import Path

from gpu_agent.engines.hunyuan3d.presets import BACKGROUND_FILE, PRESETS
from gpu_agent.engines.hunyuan3d.tiny.background import write_background_model
from gpu_agent.engines.hunyuan3d.tiny.shape import write_bundle, write_vae
from gpu_agent.engines.hunyuan3d.weights import Weights, write_manifest


def write_tiny_weights(folder: Path, presets: Iterable[str] = PRESETS) -> Weights:
    """Write weights for some presets and for the background model; takes a second.

    There are none for the texture: what paints on a CPU needs none (`painting`).

    Args:
        folder: Made if need be.
        presets: Whose weights to write.
    """
    for name in presets:
        seed = 1 + list(PRESETS).index(name)
        preset = PRESETS[name]
        repository = folder / preset.repository
        write_bundle(repository / preset.bundle, turbo="turbo" in preset.bundle, seed=seed)
        if preset.vae is not None:
            write_vae(repository / preset.vae, seed=seed)
    write_background_model(folder / BACKGROUND_FILE)
    return write_manifest(folder, {PRESETS[name].repository: "tiny" for name in presets})
