import pytest

from orchestrator.settings import Settings, SettingsError
from tests.architecture.test_routes import SETTINGS


class TestSettings:
    def test_do_not_take_a_reference_that_azure_did_not_resolve_for_the_token(self):
        reference = "@Microsoft.KeyVault(SecretUri=https://v.invalid/secrets/gpu-agent-token)"

        with pytest.raises(SettingsError, match=r"GPU_AGENT_TOKEN .*did not resolve"):
            Settings.from_environ({**SETTINGS, "GPU_AGENT_TOKEN": reference})

    def test_show_no_token(self):
        settings = Settings.from_environ({**SETTINGS, "GPU_AGENT_TOKEN": "a-secret"})

        assert "a-secret" not in repr(settings)
