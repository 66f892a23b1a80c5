"""The switch's program beside the agent's program, with Azure's wire scripted."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpu_agent.host.machine import read_boot_clock
from localcloud.certificate import prepare_certificate
from localcloud.ports import choose_free_ports
from tests.fakes.azure_endpoints import RESOURCE_ID, TOKEN, Answer, FakeAzure

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0
DENIED = Answer(403, {"error": {"code": "AuthorizationFailed", "message": "not you"}})


class SwitchProcess:
    """The real program, started and ended by a test."""

    def __init__(self, folder: Path, azure: FakeAzure, bundle: Path, agent_url: str) -> None:
        self.log = folder / "switch.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped = folder / "stopped"
        command = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w')", str(self.stopped)]
        self._environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "REQUESTS_CA_BUNDLE": str(bundle),
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.imds_url,
            "GPU_AGENT_TOKEN": "token",
            "GPU_SWITCH_AGENT_URL": agent_url,
            "GPU_SWITCH_ARM_URL": azure.arm_url,
            "GPU_SWITCH_BOOT_GRACE_S": "0",
            "GPU_SWITCH_POLL_S": "0.1",
            "GPU_SWITCH_ANSWER_S": "1",
            "GPU_SWITCH_RETRY_S": "0.1",
            "GPU_SWITCH_STOP_COMMAND": shlex.join(command),
        }

    def start(self, **environ: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gpu_agent.switch"],
                cwd=ROOT,
                env={
                    **self._environ,
                    "GPU_SWITCH_BOOTED_AT": str(read_boot_clock()),
                    **environ,
                },
                stderr=log,
            )

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def has_said(self, words: str) -> bool:
        return words in self.log.read_text()

    def await_true(self, holds) -> None:
        end = time.monotonic() + LIMIT_S
        while not holds():
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


@pytest.fixture(scope="module", name="certificate")
def _certificate(tmp_path_factory):
    """A certificate for ARM."""
    return prepare_certificate(tmp_path_factory.mktemp("tls"), now=datetime.now(UTC))


@pytest.fixture(name="azure")
def _azure(certificate):
    """Azure's endpoints."""
    azure = FakeAzure(chain=certificate.chain, key=certificate.key)
    yield azure
    azure.close()


@pytest.fixture(name="switch")
def _switch(tmp_path, azure, certificate, agent):
    """The switch beside an agent, neither started."""
    url = agent.url.removesuffix("/v1")
    switch = SwitchProcess(tmp_path, azure, certificate.bundle, url)
    yield switch
    if switch.process is not None and switch.process.poll() is None:
        switch.process.kill()
        switch.process.wait(LIMIT_S)


class TestIdleAgent:
    def test_is_closed_and_its_vm_deallocated_with_no_configuration(self, switch, azure, agent):
        agent.start(GPU_AGENT_MACHINE_BOOT_ID="one")
        switch.start()
        switch.await_true(lambda: azure.calls)

        call = azure.calls[0]
        assert call.method == "POST"
        assert re.fullmatch(
            re.escape(f"{RESOURCE_ID}/deallocate") + r"\?api-version=\d{4}-\d\d-\d\d", call.path
        )
        assert call.headers["Authorization"] == f"Bearer {TOKEN}"
        assert {call.headers["Metadata"] for call in azure.imds_calls} == {"true"}
        assert agent.call("GET", "/status").json()["phase"] == "closed"
        refused = agent.call("PUT", "/lease", json={"epoch": 9, "ttl_s": 60})
        assert refused.json()["code"] == "closed"
        assert not switch.stopped.exists()

    def test_is_left_alone_while_it_has_a_lease(self, switch, azure, agent):
        agent.start()
        agent.call("PUT", "/lease", json={"epoch": 1, "ttl_s": 600})
        switch.start()
        switch.await_true(lambda: switch.has_said("the lease has time left"))

        assert switch.end() == 0
        assert azure.calls == []

    def test_is_left_alone_while_it_holds_a_job_and_goes_when_that_is_over(
        self, switch, azure, agent
    ):
        agent.start(GPU_AGENT_STAGE_MIN_S="600")
        agent.submit("a")
        switch.start()
        switch.await_true(lambda: switch.has_said("but the agent holds jobs"))
        assert azure.calls == []

        agent.call("DELETE", "/jobs/a/1")

        switch.await_true(lambda: azure.calls)
        assert not switch.stopped.exists()


class TestNoAgent:
    def test_is_stopped_as_a_unit_and_its_vm_deallocated(self, switch, azure):
        switch.start()

        switch.await_true(lambda: azure.calls)

        assert switch.stopped.exists()
        silences = [line["silences"] for line in switch.lines() if "silences" in line]
        assert silences[:3] == [1, 2, 3]

    def test_does_not_answer_when_it_hangs(self, switch, azure, agent):
        agent.start()
        agent.submit("a")
        agent.process.send_signal(signal.SIGSTOP)
        try:
            switch.start(GPU_SWITCH_ANSWER_S="0.2")
            switch.await_true(lambda: azure.calls)
        finally:
            agent.process.send_signal(signal.SIGCONT)

        assert switch.stopped.exists()

    def test_is_not_what_refuses_the_token(self, switch, azure, agent):
        agent.start()
        switch.start(GPU_AGENT_TOKEN="another")
        switch.await_true(lambda: switch.has_said("only the hard cap can end this"))

        assert switch.end() == 0
        assert azure.calls == []
        assert not switch.stopped.exists()


class TestHardCap:
    def test_takes_the_vm_from_a_job_and_from_its_lease(self, switch, azure, agent):
        agent.start(GPU_AGENT_STAGE_MIN_S="600")
        agent.call("PUT", "/lease", json={"epoch": 1, "ttl_s": 600})
        agent.submit("a")
        switch.start(GPU_SWITCH_MAX_UPTIME_S="10", GPU_SWITCH_WARNING_S="9.9")

        switch.await_true(lambda: azure.calls)

        assert switch.stopped.exists()
        warned = [line for line in switch.lines() if "hard cap" in line["message"]]
        assert [line["message"][-7:] for line in warned[:2]] == ["is near", "reached"]
        assert warned[0]["jobs"] == ["a"]


class TestAzureThatRefuses:
    def test_is_asked_until_it_agrees(self, switch, azure):
        azure.answers = [
            Answer(0),
            Answer(500),
            Answer(429, {"code": "OperationNotAllowed"}, {"Retry-After": "1"}),
            DENIED,
            Answer(409, {"error": {"code": "Conflict", "message": "busy"}}),
        ]
        switch.start()

        switch.await_true(lambda: switch.has_said("Azure deallocates this machine"))

        assert len(azure.calls) == 6
        refusals = [line for line in switch.lines() if "next_in_s" in line]
        assert "AuthorizationFailed" in refusals[3]["message"]
        assert refusals[2]["next_in_s"] == 1.0

    def test_keeps_no_identity_from_being_asked_for_again(self, switch, azure):
        azure.imds_answers["identity"] = Answer(404, {"error": "no identity"})
        switch.start()
        switch.await_true(lambda: switch.has_said('"next_in_s"'))
        del azure.imds_answers["identity"]

        switch.await_true(lambda: azure.calls)

        assert switch.has_said("the machine could not be deallocated from here")

    @pytest.mark.parametrize("found", ["", "/subscriptions/s", "https://evil/", None])
    def test_is_not_asked_about_anything_but_a_vm(self, switch, azure, found):
        azure.imds_answers["instance"] = Answer(200, {"compute": {"resourceId": found}})
        switch.start()

        switch.await_true(lambda: switch.has_said('"next_in_s"'))

        assert azure.calls == []

    def test_names_the_identity_that_it_is_told(self, switch, azure):
        switch.start(GPU_AGENT_CLIENT_ID="client-7")
        switch.await_true(lambda: azure.calls)

        asked = [call.path for call in azure.imds_calls if "/identity/" in call.path]
        assert all("client_id=client-7" in path for path in asked)


class TestProgram:
    def test_says_at_once_when_it_could_not_deallocate(self, switch, azure):
        switch.start(
            GPU_SWITCH_ARM_URL=f"https://127.0.0.1:{choose_free_ports(1)[0]}",
            GPU_SWITCH_BOOT_GRACE_S="600",
        )

        switch.await_true(lambda: switch.has_said("ARM is out of reach"))

        assert next(line for line in switch.lines() if "out of reach" in line["message"])[
            "level"
        ] == ("critical")

    def test_can_not_begin_without_a_token(self, switch):
        switch.start(GPU_AGENT_TOKEN="")

        assert switch.process.wait(LIMIT_S) == 2
        assert switch.has_said("GPU_AGENT_TOKEN is not set")

    def test_shows_no_secret(self, switch, azure, agent):
        agent.start()
        azure.answers = [DENIED]
        switch.start(GPU_AGENT_TOKEN="a-wrong-one", GPU_SWITCH_MAX_UPTIME_S="1")
        switch.await_true(lambda: len(azure.calls) == 2)

        assert not switch.has_said(TOKEN)
        assert not switch.has_said("a-wrong-one")

    def test_ends_when_it_is_told(self, switch):
        switch.start(GPU_SWITCH_BOOT_GRACE_S="600", GPU_SWITCH_POLL_S="60")
        switch.await_true(lambda: switch.has_said("ready to deallocate"))
        switch.await_true(lambda: switch.has_said("booted only now"))

        assert switch.end() == 0
