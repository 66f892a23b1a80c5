"""The agent as it is, its hunyuan3d engine over a fake model: ``python -m …lanes_agent``.

Service, ledger, lanes and child processes are the real ones. ``FAKE_GPU`` names the folder through
which a test steers the model (see `tests.fakes.gpu_model`).
"""

import os
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gpu_agent.__main__ import leave, serve
from gpu_agent.engines import EngineInfo, Equipment
from gpu_agent.engines.hunyuan3d.cutout import Cutout
from gpu_agent.engines.hunyuan3d.engine import Hunyuan3dEngine
from gpu_agent.engines.hunyuan3d.fitness import Needs
from gpu_agent.engines.hunyuan3d.model import ShapeSettings
from gpu_agent.engines.hunyuan3d.parts import Parts
from gpu_agent.engines.hunyuan3d.plan import JobPlan
from gpu_agent.engines.hunyuan3d.settings import EngineSettings
from gpu_agent.host.logs import set_up_logs
from gpu_agent.jobs import run_queue


def plan_job(options: Mapping[str, Any]) -> JobPlan:
    return JobPlan(
        shape=ShapeSettings(
            preset="draft",
            steps=options.get("steps", 3),
            guidance_scale=5.0,
            octree_resolution=63,
            num_chunks=8000,
            flash_vdm=False,
        ),
        seed=options.get("seed", 1),
        texture=options.get("texture", False),
        least_octree_resolution=63,
    )


def cut_out(folder: Path, image: bytes, _remove_background: bool | None) -> Cutout:
    """Give the image as it is; while there is a file ``hang``, never."""
    if (folder / "hang").exists():
        (folder / "hangs").touch()
        threading.Event().wait()
    return Cutout(png=image)


def build_engine(_name: str, equipment: Equipment) -> Hunyuan3dEngine:
    settings = EngineSettings.from_environ(equipment.environ)
    folder = equipment.environ["FAKE_GPU"]
    return Hunyuan3dEngine(
        Parts(
            info=EngineInfo(
                name="hunyuan3d", version="fake", description="Fake.", is_concurrent=True
            ),
            factory="tests.fakes.gpu_model:FakeGpuModel",
            arguments={"folder": folder},
            cut_out=partial(cut_out, Path(folder)),
            plan=plan_job,
            lanes=settings.lanes,
            needs=Needs(device=settings.device, presets=settings.presets, texture=True),
            warm_up={},
        ),
        equipment,
    )


if __name__ == "__main__":
    set_up_logs()
    run_queue.STUCK_S = float(os.environ.get("STUCK_S", run_queue.STUCK_S))
    leave(serve(os.environ, build_engine))
