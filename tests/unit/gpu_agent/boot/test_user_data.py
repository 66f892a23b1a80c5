import base64
import json
import subprocess

import pytest

from gpu_agent.boot.errors import UserDataError
from gpu_agent.boot.user_data import read_user_data, render_environment

TOKEN_URL = "https://v.vault.azure.net/secrets/gpu-agent-token"
SOUND = {
    "settings": {
        "GPU_AGENT_VM_NAME": "gpu-1",
        "GPU_ENGINE_BATCH_LIMIT": "4",
        "GPU_SWITCH_POLL_S": "15",
    },
    "secrets": {"GPU_AGENT_TOKEN": TOKEN_URL},
}


def encode(data) -> str:
    return base64.b64encode(json.dumps(data).encode()).decode()


class TestReadUserData:
    def test_gives_settings_and_the_addresses_of_secrets(self):
        told = read_user_data(encode(SOUND))

        assert told.settings == SOUND["settings"]
        assert told.secrets == SOUND["secrets"]

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"settings": None}, "no object of texts under 'settings'"),
            ({"settings": {"GPU_AGENT_SLOTS": 4}}, "no object of texts under 'settings'"),
            ({"settings": {"LD_PRELOAD": "/tmp/x.so"}}, "no settings of agent"),
            ({"settings": {"GPU_AGENT_TOKEN": "t"}}, "belong in Key Vault"),
            ({"settings": {"GPU_AGENT_VM_NAME": "a\nLD_PRELOAD=x"}}, "a line break"),
            ({"secrets": {"GPU_AGENT_TOKEN": "http://v/secrets/t"}}, "no addresses of secrets"),
            ({"secrets": {"GPU_AGENT_TOKEN": TOKEN_URL, "PATH": TOKEN_URL}}, "no secrets of"),
            ({"secrets": {"GPU_AGENT_TOKEN_PREVIOUS": TOKEN_URL}}, "where GPU_AGENT_TOKEN is"),
        ],
    )
    def test_refuses_what_makes_no_sense_or_gives_a_secret_away(self, change, complaint):
        with pytest.raises(UserDataError, match=complaint):
            read_user_data(encode({**SOUND, **change}))

    @pytest.mark.parametrize("text", ["", "no base64!", "bm8ganNvbg==", encode([1])])
    def test_refuses_what_is_no_json_object(self, text):
        with pytest.raises(UserDataError):
            read_user_data(text)


class TestRenderEnvironment:
    def test_is_read_back_as_it_was(self, tmp_path):
        values = {"A_1": "plain", "A_2": "a \"b\" $HOME `id` \\ 'c' # d", "A_3": ""}
        (tmp_path / "file").write_text(render_environment(values))

        # Inside double quotes systemd and a shell agree on what a backslash does.
        done = subprocess.run(
            ["/bin/sh", "-c", "set -a; . ./file; env"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )

        read = dict(line.split("=", 1) for line in done.stdout.splitlines())
        assert {name: read[name] for name in values} == values
