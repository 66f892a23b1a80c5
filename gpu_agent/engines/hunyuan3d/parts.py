"""What the engine is put together from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpu_agent.engines import EngineInfo
from gpu_agent.engines.hunyuan3d.cutout import Cutout
from gpu_agent.engines.hunyuan3d.fitness import Needs
from gpu_agent.engines.hunyuan3d.plan import JobPlan
from gpu_agent.engines.hunyuan3d.settings import LaneSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the engine is put together from.

    Attributes:
        info: What it is.
        factory: ``module:function``, which gives the `GpuModel` in the process that owns the GPU.
        arguments: Its keyword arguments.
        cut_out: Gives the subject of an image, told whether to look for it (None: the image's
            transparency decides); may be called by several threads at once.
        plan: Decides every option of a job.
        lanes: How wide the lanes are.
        facts: What the manifest says of the model besides: its revision and licence.
        checks: Called in order at the set-up, by the word that names each, before anything is
            loaded; what one raises ends it.
        needs: What is asked of the GPU, or None to ask nothing.
        warm_up: Options of the first, small job; None for no such job.
    """

    info: EngineInfo
    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    cut_out: Callable[[bytes, bool | None], Cutout]
    plan: Callable[[Mapping[str, Any]], JobPlan]
    lanes: LaneSettings
    facts: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    needs: Needs | None = None
    warm_up: Mapping[str, Any] | None = None
