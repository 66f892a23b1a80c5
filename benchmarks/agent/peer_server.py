"""hy3dgen's own server, able to finish a job on a CPU: ``python -m …peer_server PORT``.

The module is run as the wheel has it. What is changed lies around it, each for a reason:

- torchvision's operators are declared, or its CUDA build can't be imported beside a CPU torch.
- The extractor ``dmc`` is ``mc``: the server insists on the former, which needs a CUDA package,
  and answers 404 to everything without it.
- Single precision instead of half, which a CPU only emulates.
- The background model is the one that the agent uses, not rembg's default.
- The volume is decoded without FlashVDM, which allows no octree of 32 in the agent; with the VAE
  that it brings, which is the agent's too.
- Painting gives the mesh back as it is: a request with ``texture`` is then one with the server's
  own clean-up (floaters, degenerate faces, too many faces), which it does not do otherwise.
"""

import os
import runpy
import sys
from functools import partial
from importlib import import_module
from typing import Any

from gpu_agent.engines.hunyuan3d import libraries
from gpu_agent.engines.hunyuan3d.presets import BACKGROUND_MODEL


def prepare() -> None:
    """Change what the server imports."""
    torch = libraries.torch()
    rembg = import_module("hy3dgen.rembg")
    # The import of rembg has set the threads of torch to all cores, whatever OMP_NUM_THREADS says.
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    vars(rembg)["new_session"] = partial(libraries.rembg().new_session, BACKGROUND_MODEL)
    extractors = import_module("hy3dgen.shapegen.models.autoencoders").SurfaceExtractors
    extractors["dmc"] = extractors["mc"]
    pipelines: Any = import_module("hy3dgen.shapegen.pipelines")
    pipeline = pipelines.Hunyuan3DDiTFlowMatchingPipeline
    for loaded in (pipeline, pipelines.ShapeVAE):
        loaded.from_pretrained = partial(loaded.from_pretrained, dtype=torch.float32)
    take_distilled_vae = pipeline.enable_flashvdm

    def take_vae_alone(self: Any, **options: Any) -> None:
        take_distilled_vae(self, **options)
        self.vae.enable_flashvdm_decoder(enabled=False)

    pipeline.enable_flashvdm = take_vae_alone
    painter: Any = import_module("hy3dgen.texgen").Hunyuan3DPaintPipeline
    painter.from_pretrained = lambda _path: lambda mesh, _image: mesh


def main() -> None:
    """Serve until a signal ends it."""
    port = sys.argv[1]
    prepare()
    options = {"--host": "127.0.0.1", "--port": port, "--device": "cpu"}
    sys.argv = ["api_server", *(word for pair in options.items() for word in pair), "--enable_tex"]
    runpy.run_module("hy3dgen.api_server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
