import re

import pytest

import gpu_agent.boot.settings
import gpu_agent.engines.hunyuan3d.settings
import gpu_agent.settings
import gpu_agent.switch.settings
import orchestrator.settings
from gpu_agent.errors import SettingsError
from tests.fakes.environ import RecordingEnviron


def documented(root, heading):
    text = (root / "docs" / "settings.md").read_text("utf-8")
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    rows = re.findall(r"(?m)^\| `([A-Z0-9_]+)` \| ([^|]*) \|", section)
    return {name: default.strip() for name, default in rows}


class TestSettingsTable:
    def test_lists_what_the_function_app_reads(self, root):
        environ = RecordingEnviron()

        with pytest.raises(orchestrator.settings.SettingsError) as caught:
            orchestrator.settings.Settings.from_environ(environ)

        table = documented(root, "Function app")
        assert environ.asked == table.keys()
        assert {name for name in table if re.search(rf"\b{name}\b", str(caught.value))} == {
            name for name, default in table.items() if default == "required"
        }

    def test_lists_what_the_agent_reads(self, root):
        environ = RecordingEnviron()

        with pytest.raises(SettingsError) as caught:
            gpu_agent.settings.Settings.from_environ(environ)

        table = documented(root, "Agent")
        assert environ.asked == table.keys()
        assert {name for name in table if re.search(rf"\b{name}\b", str(caught.value))} == {
            name for name, default in table.items() if default in ("required", "one of the two")
        }

    def test_lists_what_the_engine_reads(self, root):
        environ = RecordingEnviron()

        with pytest.raises(SettingsError) as caught:
            gpu_agent.engines.hunyuan3d.settings.EngineSettings.from_environ(environ)

        table = documented(root, "Engine hunyuan3d")
        assert environ.asked == table.keys()
        assert {name for name in table if name in str(caught.value)} == {"GPU_ENGINE_WEIGHTS_DIR"}

    def test_lists_what_the_switch_reads(self, root):
        environ = RecordingEnviron()

        with pytest.raises(SettingsError) as caught:
            gpu_agent.switch.settings.Settings.from_environ(environ)

        table = documented(root, "Switch")
        assert environ.asked == table.keys()
        assert {name for name in table if re.search(rf"\b{name}\b", str(caught.value))} == {
            name for name, default in table.items() if default == "required"
        }

    def test_lists_what_the_boot_program_reads(self, root):
        environ = RecordingEnviron()

        with pytest.raises(SettingsError) as caught:
            gpu_agent.boot.settings.Settings.from_environ(environ)

        table = documented(root, "Boot")
        assert environ.asked == table.keys()
        assert {name for name in table if re.search(rf"\b{name}\b", str(caught.value))} == {
            name for name, default in table.items() if default == "required"
        }
