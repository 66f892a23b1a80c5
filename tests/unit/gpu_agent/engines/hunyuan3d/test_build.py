from pathlib import Path

import pytest

from gpu_agent.engines.hunyuan3d.build import plan_job
from gpu_agent.engines.hunyuan3d.settings import EngineSettings


class TestPlanJob:
    @pytest.mark.parametrize(("device", "num_chunks"), [("cpu", 8_000), ("cuda", 20_000)])
    def test_decodes_fewer_points_at_once_on_a_cpu(self, device: str, num_chunks: int):
        environ = {"GPU_ENGINE_WEIGHTS_DIR": str(Path("weights")), "GPU_ENGINE_DEVICE": device}

        plan = plan_job({"preset": "draft"}, EngineSettings.from_environ(environ))

        assert plan.shape.num_chunks == num_chunks
