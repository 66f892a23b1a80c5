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

    @pytest.mark.parametrize("asked", [None, True, False])
    def test_tells_what_was_asked_for_from_what_was_not(self, asked: bool | None):
        environ = {"GPU_ENGINE_WEIGHTS_DIR": "weights"}
        options = {} if asked is None else {"remove_background": asked}

        plan = plan_job(options, EngineSettings.from_environ(environ))

        assert plan.remove_background is asked
        assert plan.min_quality == "reduced"

    def test_passes_the_least_quality_on(self):
        environ = {"GPU_ENGINE_WEIGHTS_DIR": "weights"}

        plan = plan_job({"min_quality": "full"}, EngineSettings.from_environ(environ))

        assert plan.min_quality == "full"
