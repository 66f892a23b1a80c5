import pytest

from gpu_agent.errors import SettingsError
from gpu_agent.switch.decision import Policy
from gpu_agent.switch.settings import Settings

ENOUGH = {"GPU_AGENT_TOKEN": "s3cret"}


class TestSettings:
    def test_needs_nothing_but_the_agents_token(self):
        settings = Settings.from_environ(ENOUGH)

        assert settings.policy == Policy(
            max_uptime_s=43200.0, warning_s=300.0, boot_grace_s=1200.0
        )
        assert settings.agent_url == "http://127.0.0.1:8470"
        assert settings.arm_url == "https://management.azure.com"
        assert settings.imds_url == "http://169.254.169.254"
        assert settings.stop_command == ("systemctl", "stop", "gpu-agent")
        assert settings.booted_at == 0.0

    def test_reads_the_stop_command_as_a_shell_would(self):
        settings = Settings.from_environ(
            {**ENOUGH, "GPU_SWITCH_STOP_COMMAND": "sudo -n systemctl stop 'gpu agent'"}
        )

        assert settings.stop_command == ("sudo", "-n", "systemctl", "stop", "gpu agent")

    def test_names_all_that_is_wrong_in_one_message(self):
        wrong = {
            "GPU_SWITCH_MAX_UPTIME_S": "0",
            "GPU_SWITCH_POLL_S": "nan",
            "GPU_SWITCH_STOP_COMMAND": "'",
            "GPU_SWITCH_AGENT_URL": "agent",
        }

        with pytest.raises(SettingsError) as caught:
            Settings.from_environ(wrong)

        for name in ("GPU_AGENT_TOKEN", *wrong):
            assert name in str(caught.value)

    def test_sends_its_token_over_https_only(self):
        with pytest.raises(SettingsError, match="GPU_SWITCH_ARM_URL"):
            Settings.from_environ({**ENOUGH, "GPU_SWITCH_ARM_URL": "http://arm"})

    def test_never_shows_the_token(self):
        assert "s3cret" not in repr(Settings.from_environ(ENOUGH))
