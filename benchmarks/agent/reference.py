"""The meshes as the libraries alone make them: ``python -m …reference WEIGHTS FOLDER OCTREE``.

One by one, in a process of its own, with neither server: what both sides are compared with.
"""

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.agent.tasks import GUIDANCE, OURS, PEER, STEPS, list_tasks
from gpu_agent.engines.hunyuan3d import libraries
from gpu_agent.engines.hunyuan3d.cutout import cut_out, load_mask_model
from gpu_agent.engines.hunyuan3d.model import RawMesh
from gpu_agent.engines.hunyuan3d.presets import BACKGROUND_MODEL, PRESETS


def make_references(weights: Path, folder: Path, octrees: list[int]) -> None:
    """Write each task's mesh to ``FOLDER/SIDE/NAME.npz``.

    Once for each side, from the cutout of its own code: the agent keeps the colours of pixels that
    are half transparent, rembg's cutout darkens them.
    """
    torch = libraries.torch()
    torch.set_num_threads(1)
    shapegen = libraries.shapegen()
    os.environ["U2NET_HOME"] = str(weights.resolve() / "rembg")
    rembg = libraries.rembg()
    session = rembg.new_session(BACKGROUND_MODEL, providers=["CPUExecutionProvider"])
    preset = PRESETS["draft"]
    repository = str(weights.resolve() / preset.repository)
    common = {"device": "cpu", "dtype": torch.float32}
    pipeline: Any = shapegen.Hunyuan3DDiTFlowMatchingPipeline.from_pretrained(
        repository, subfolder=preset.bundle, **common
    )
    pipeline.vae = shapegen.pipelines.ShapeVAE.from_pretrained(
        repository, subfolder=preset.vae, **common
    )
    find = load_mask_model(weights, threads=1)

    def cut_as_peer(png: bytes) -> Any:
        with Image.open(io.BytesIO(png)) as picture:
            return rembg.remove(picture, session=session, bgcolor=[255, 255, 255, 0])

    def cut_as_ours(png: bytes) -> Any:
        return Image.open(io.BytesIO(cut_out(png, find).png))

    for name, cut in ((PEER, cut_as_peer), (OURS, cut_as_ours)):
        (folder / name).mkdir()
        for task in (task for octree in octrees for task in list_tasks(octree)):
            mesh = pipeline(
                image=cut(task.png),
                generator=torch.Generator("cpu").manual_seed(task.seed),
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE,
                octree_resolution=task.octree,
                mc_algo="mc",
                enable_pbar=False,
            )[0]
            np.savez(
                folder / name / f"{task.name}.npz",
                vertices=np.asarray(mesh.vertices, np.float32),
                faces=np.asarray(mesh.faces, np.int32),
            )


def read_references(folder: Path) -> dict[str, RawMesh]:
    """Read what `make_references` wrote for one side, by name of the task."""
    meshes = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            meshes[path.stem] = RawMesh(vertices=arrays["vertices"], faces=arrays["faces"])
    return meshes


if __name__ == "__main__":
    make_references(Path(sys.argv[1]), Path(sys.argv[2]), [int(t) for t in sys.argv[3:]])
