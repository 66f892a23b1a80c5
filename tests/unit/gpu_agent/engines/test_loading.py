from pathlib import Path

import pytest

from gpu_agent.engines import Equipment
from gpu_agent.engines.loading import load_engine
from gpu_agent.errors import SettingsError


class TestLoadEngine:
    def test_refuses_an_unknown_name_with_the_setting_and_what_it_may_be(self):
        equipment = Equipment(environ={}, work_dir=Path("work"), slots=1)

        with pytest.raises(SettingsError, match="GPU_AGENT_ENGINE") as caught:
            load_engine("hunyuan", equipment)

        assert "Allowed: hunyuan3d, preview." in str(caught.value)
