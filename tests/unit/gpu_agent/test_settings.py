from pathlib import Path

import pytest

from gpu_agent.errors import SettingsError
from gpu_agent.settings import Settings
from gpu_agent.switch.settings import Settings as SwitchSettings

ENOUGH = {
    "GPU_AGENT_TOKEN": "s3cret",
    "GPU_AGENT_DATA_DIR": "/var/lib/agent",
    "GPU_AGENT_VM_NAME": "gpu-1",
    "GPU_AGENT_ENGINE": "hunyuan3d",
    "GPU_AGENT_STORE_URL": "https://account.blob.core.windows.net",
}


class TestSettings:
    def test_reads_what_is_enough(self):
        settings = Settings.from_environ(ENOUGH)

        assert settings.data_dir == Path("/var/lib/agent")
        assert (settings.port, settings.slots, settings.threads) == (8470, 4, 64)
        assert settings.store_dir is None

    def test_names_all_that_is_missing_in_one_message(self):
        with pytest.raises(SettingsError) as caught:
            Settings.from_environ({"GPU_AGENT_PORT": "x", "GPU_AGENT_SLOTS": "0"})

        for name in ("TOKEN", "DATA_DIR", "VM_NAME", "STORE_URL", "STORE_DIR", "PORT", "SLOTS"):
            assert f"GPU_AGENT_{name}" in str(caught.value)

    def test_serves_no_toy_where_no_engine_is_named(self):
        with pytest.raises(SettingsError, match="GPU_AGENT_ENGINE is not set: name the engine"):
            Settings.from_environ({**ENOUGH, "GPU_AGENT_ENGINE": " "})

    def test_refuses_two_stores(self):
        with pytest.raises(SettingsError, match="exactly one"):
            Settings.from_environ({**ENOUGH, "GPU_AGENT_STORE_DIR": "/tmp/x"})

    @pytest.mark.parametrize("url", ["http://account.blob", "https://a/?sig=x", "account"])
    def test_refuses_a_store_that_is_no_https_endpoint(self, url: str):
        with pytest.raises(SettingsError, match="GPU_AGENT_STORE_URL"):
            Settings.from_environ({**ENOUGH, "GPU_AGENT_STORE_URL": url})

    @pytest.mark.parametrize("value", ["nan", "-1", "inf"])
    def test_refuses_a_senseless_number(self, value: str):
        with pytest.raises(SettingsError, match="GPU_AGENT_STAGE_MIN_S"):
            Settings.from_environ({**ENOUGH, "GPU_AGENT_STAGE_MIN_S": value})

    def test_reads_the_cap_that_the_switch_keeps(self):
        shared = {"GPU_SWITCH_MAX_UPTIME_S": "7200", "GPU_SWITCH_BOOTED_AT": "50"}
        settings = Settings.from_environ({**ENOUGH, **shared})
        switch = SwitchSettings.from_environ({**ENOUGH, **shared})

        assert (settings.max_uptime_s, settings.booted_at) == (7200.0, 50.0)
        assert (switch.policy.max_uptime_s, switch.booted_at) == (7200.0, 50.0)

    def test_knows_no_cap_that_nobody_has_set(self):
        """The clock of a machine without a switch says nothing about when it goes off."""
        assert Settings.from_environ(ENOUGH).max_uptime_s is None

    def test_refuses_a_cap_that_the_switch_refuses(self):
        with pytest.raises(SettingsError, match="GPU_SWITCH_MAX_UPTIME_S"):
            Settings.from_environ({**ENOUGH, "GPU_SWITCH_MAX_UPTIME_S": "0"})

    def test_never_shows_a_token(self):
        settings = Settings.from_environ({**ENOUGH, "GPU_AGENT_TOKEN_PREVIOUS": "old3cret"})

        assert "3cret" not in repr(settings)
