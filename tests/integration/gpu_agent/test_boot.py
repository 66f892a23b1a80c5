"""The boot program as a process, with the wires of instance metadata and Key Vault scripted."""

import base64
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localcloud.certificate import prepare_certificate
from tests.fakes.azure_endpoints import TOKEN, Answer, FakeAzure

ROOT = Path(__file__).parents[3]
LIMIT_S = 60.0


@pytest.fixture(scope="module", name="certificate")
def _certificate(tmp_path_factory):
    return prepare_certificate(tmp_path_factory.mktemp("tls"), now=datetime.now(UTC))


@pytest.fixture(name="azure")
def _azure(certificate):
    """Azure's endpoints, with the user data of a VM and its token in the vault."""
    azure = FakeAzure(chain=certificate.chain, key=certificate.key)
    tell(azure)
    azure.secrets = {"gpu-agent-token": "the-token", "gpu-agent-token-previous": "the-old-one"}
    yield azure
    azure.close()


def tell(azure: FakeAzure, **settings: str) -> None:
    """Put user data into the metadata service."""
    data = {
        "settings": {"GPU_AGENT_VM_NAME": "gpu-1", "GPU_AGENT_CLIENT_ID": "id-1", **settings},
        "secrets": {
            "GPU_AGENT_TOKEN": f"{azure.arm_url}/secrets/gpu-agent-token",
            "GPU_AGENT_TOKEN_PREVIOUS": f"{azure.arm_url}/secrets/gpu-agent-token-previous",
        },
    }
    text = base64.b64encode(json.dumps(data).encode()).decode()
    azure.imds_answers["instance/compute/userData"] = Answer(200, text)


def boot(azure, certificate, folder, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run the program on a folder."""
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "gpu_agent.boot"],
        cwd=ROOT,
        env={
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "RUNTIME_DIRECTORY": str(folder),
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.imds_url,
            "REQUESTS_CA_BUNDLE": str(certificate.bundle),
            "GPU_BOOT_RETRY_S": "0.1",
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


class TestBoot:
    def test_fetches_what_the_units_need_and_says_no_secret(self, azure, certificate, tmp_path):
        done = boot(azure, certificate, tmp_path / "run")

        assert done.returncode == 0, done.stderr
        settings, secrets = (tmp_path / "run" / f"{n}.env" for n in ("settings", "secrets"))
        assert settings.read_text() == ('GPU_AGENT_VM_NAME="gpu-1"\nGPU_AGENT_CLIENT_ID="id-1"\n')
        assert secrets.read_text() == (
            'GPU_AGENT_TOKEN="the-token"\nGPU_AGENT_TOKEN_PREVIOUS="the-old-one"\n'
        )
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
        assert not any(text in done.stderr for text in ("the-token", "the-old-one", TOKEN))
        asked = azure.imds_calls
        assert {call.headers["Metadata"] for call in asked} == {"true"}
        assert "client_id=id-1" in next(call.path for call in asked if "oauth2" in call.path)

    def test_needs_no_previous_token(self, azure, certificate, tmp_path):
        del azure.secrets["gpu-agent-token-previous"]

        done = boot(azure, certificate, tmp_path / "run")

        assert done.returncode == 0, done.stderr
        text = (tmp_path / "run" / "secrets.env").read_text()
        assert text == 'GPU_AGENT_TOKEN="the-token"\n'

    def test_asks_again_while_the_role_has_not_arrived(self, azure, certificate, tmp_path):
        forbidden = Answer(403, {"error": {"code": "Forbidden", "message": "not yet"}})
        azure.vault_answers = [forbidden, Answer(503, headers={"Retry-After": "1200"})]

        done = boot(azure, certificate, tmp_path / "run")

        assert done.returncode == 0, done.stderr
        assert "(Forbidden): its roles are given after it is made" in done.stderr

    def test_gives_up_when_the_token_is_not_there(self, azure, certificate, tmp_path):
        azure.secrets.clear()

        done = boot(azure, certificate, tmp_path / "run", GPU_BOOT_WITHIN_S="1")

        assert done.returncode == 1
        assert "there is no secret" in done.stderr
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["settings.env"]

    def test_refuses_a_token_that_every_program_on_the_vm_could_read(
        self, azure, certificate, tmp_path
    ):
        tell(azure, GPU_AGENT_TOKEN="the-token")

        done = boot(azure, certificate, tmp_path / "run")

        assert done.returncode == 1
        assert "belong in Key Vault" in done.stderr
        assert "the-token" not in done.stderr
