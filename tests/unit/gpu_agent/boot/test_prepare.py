import base64
import json
import stat

import pytest

from gpu_agent.boot.errors import MetadataError, UserDataError, VaultError
from gpu_agent.boot.prepare import Patience, prepare

TOKEN_URL = "https://v.vault.azure.net/secrets/gpu-agent-token"
TOLD = {
    "settings": {"GPU_AGENT_VM_NAME": "gpu-1", "GPU_AGENT_CLIENT_ID": "id-1"},
    "secrets": {"GPU_AGENT_TOKEN": TOKEN_URL},
}


class ScriptedAzure:
    """Gives what it is told to give, refusals first."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.told = base64.b64encode(json.dumps(TOLD).encode()).decode()
        self.refusals: list[Exception] = []
        self.vault_refusals: list[Exception] = []
        self.asked: list[tuple[dict, str | None]] = []

    def fetch_user_data(self) -> str:
        if self.refusals:
            raise self.refusals.pop(0)
        return self.told

    def fetch_secrets(self, urls, client_id):
        self.asked.append((dict(urls), client_id))
        if self.vault_refusals:
            raise self.vault_refusals.pop(0)
        return dict.fromkeys(urls, "the-token")

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def patience(self, within_s: float = 600.0) -> Patience:
        return Patience(
            until=within_s, longest_pause_s=4.0, clock=lambda: self.now, pause=self.pause
        )


@pytest.fixture(name="azure")
def _azure():
    return ScriptedAzure()


class TestPrepare:
    def test_writes_settings_and_secrets_for_their_owner_alone(self, azure, tmp_path):
        prepare(tmp_path, azure, azure.patience())

        files = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert files == {
            "settings.env": 'GPU_AGENT_VM_NAME="gpu-1"\nGPU_AGENT_CLIENT_ID="id-1"\n',
            "secrets.env": 'GPU_AGENT_TOKEN="the-token"\n',
        }
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == {0o600}
        assert azure.asked == [({"GPU_AGENT_TOKEN": TOKEN_URL}, "id-1")]

    def test_asks_with_growing_pauses_until_both_services_answer(self, azure, tmp_path):
        azure.refusals = [MetadataError("not yet")] * 2
        azure.vault_refusals = [VaultError("no role yet")] * 5

        prepare(tmp_path, azure, azure.patience())

        assert azure.pauses == [0.5, 1.0, 0.5, 1.0, 2.0, 4.0, 4.0]
        assert (tmp_path / "secrets.env").exists()

    def test_leaves_the_settings_for_the_switch_when_the_vault_refuses_for_good(
        self, azure, tmp_path
    ):
        azure.vault_refusals = [VaultError("no role")] * 1000

        with pytest.raises(VaultError):
            prepare(tmp_path, azure, azure.patience(within_s=60.0))

        assert [path.name for path in tmp_path.iterdir()] == ["settings.env"]
        assert azure.now <= 60.0

    def test_does_not_ask_again_for_what_makes_no_sense(self, azure, tmp_path):
        azure.told = "nonsense"

        with pytest.raises(UserDataError):
            prepare(tmp_path, azure, azure.patience())

        assert azure.pauses == []
        assert list(tmp_path.iterdir()) == []

    def test_replaces_what_an_earlier_run_left(self, azure, tmp_path):
        (tmp_path / "secrets.env").write_text("old")
        (tmp_path / "secrets.env.new").write_text("cut short")

        prepare(tmp_path, azure, azure.patience())

        assert (tmp_path / "secrets.env").read_text() == 'GPU_AGENT_TOKEN="the-token"\n'
        assert len(list(tmp_path.iterdir())) == 2
