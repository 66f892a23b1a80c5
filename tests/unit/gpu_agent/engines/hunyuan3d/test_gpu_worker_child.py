from types import SimpleNamespace
from typing import Any, cast

import pytest

from gpu_agent.engines.hunyuan3d.gpu_worker_child import GpuWorkerChild
from gpu_agent.engines.hunyuan3d.health import Step
from gpu_agent.engines.hunyuan3d.messages import Progress


class TestProgress:
    def test_is_told_at_once_when_a_step_begins_and_then_now_and_again(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("gpu_agent.engines.hunyuan3d.gpu_worker_child.PROGRESS_EVERY_S", 60.0)
        sent: list[Progress] = []
        child = GpuWorkerChild(cast(Any, SimpleNamespace(send=sent.append)), cast(Any, None))

        for step in (Step.DIFFUSE, Step.DECODE):
            for share in (0.0, 0.4, 0.8):
                child._progress(step, (1,), share)

        assert [(told.step, told.share) for told in sent] == [
            (Step.DIFFUSE, 0.0),
            (Step.DECODE, 0.0),
        ]
