"""Every fault that the doctor knows, seeded into a running local cloud, through the real SDKs."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from azure.keyvault.secrets import SecretClient
from click.testing import CliRunner

from coldforge.cli import cli
from coldforge.doctor.deployment import Deployment
from coldforge.doctor.examination import ExaminationOptions
from coldforge.doctor.examiner import build_examination
from coldforge.doctor.facts import WantedVm
from localcloud.https import open_session
from tests.fakes.doctor_probes import FakeAccountProbes, FakeAppProbes, FakeMachineProbes

BUDGET, BLOBS, TABLES = "the budget", "the blobs", "the tables"
VAULT, SECRET = "the vault", "the secret"
WANTED = WantedVm(
    name="gpu-0",
    resource_group="coldforge-local",
    size="Standard_NC24ads_A100_v4",
    region="eastus",
    zone="1",
    agent_url="http://127.0.0.1:1",
)

# What is seeded, the one code that must be found, and what its fix must name.
SEEDED = [
    ("role_missing", {"on": "storage"}, "role.storage", "Storage Blob Data Owner"),
    ("role_missing", {"on": "vm"}, "role.vm", "make apply ENV="),
    ("role_missing", {"on": "key_vault"}, "role.key_vault", "Key Vault Secrets User"),
    (
        "app_setting",
        {"setting": "STORAGE_BLOB_URL", "value": "https://other.blob.invalid"},
        "storage.wrong_name",
        "which sets it to https://127.0.0.1",
    ),
    ("quota", {"limit": 0}, "quota.too_low", "Ask for 24 vCPUs"),
    ("size_restricted", {"zone": "1"}, "size.restricted", "Zones that are open: 2, 3"),
    ("vm_missing", {"vm": "gpu-0"}, "vm.missing", "make apply ENV="),
    ("image", {"version": "0.9.10"}, "image.too_old", "Roll a VM"),
    ("app_setting", {"setting": "GPU_VMS"}, "setting.missing", "docs/settings.md"),
    (
        "app_setting",
        {"setting": "GPU_AGENT_TOKEN"},
        "setting.missing",
        "az functionapp config appsettings set",
    ),
    ("clock_skew", {"seconds": 600}, "clock.skewed", "timedatectl set-ntp true"),
    ("budget_spent", {"share": 1.02}, "budget.used_up", "IDLE_WINDOW_S"),
    (
        "provider_unregistered",
        {"namespace": "Microsoft.App"},
        "provider.not_registered",
        "az provider register --namespace Microsoft.App",
    ),
    (
        "app_setting",
        {
            "setting": "AzureWebJobsStorage",
            "value": "DefaultEndpointsProtocol=https;AccountName=store;AccountKey=",
        },
        "host.storage_key",
        "make apply ENV=",
    ),
    ("host_error", {}, "host.unwell", "az functionapp restart"),
    ("secret_missing", {}, "vault.secret_missing", "make deploy"),
    ("reference_unresolved", {}, "setting.unresolved", "az functionapp restart"),
]


@pytest.fixture(name="real")
def _real(stack, environ):
    """An examination of the local cloud, for its probes."""
    deployment = Deployment.from_json(
        Path(stack.doctor_environ["COLDFORGE_DEPLOYMENT"]).read_text("utf-8")
    )
    return build_examination(deployment, key=None, options=ExaminationOptions())


class TestDoctor:
    def test_finds_a_healthy_cloud_healthy_and_says_what_it_did_not_look_at(self, examine):
        report = examine()

        assert report.codes == []
        assert report.status == 0
        assert report.body["healthy"] is True
        verdicts = {one["check"]: one["verdict"] for one in report.body["checks"]}
        assert {check for check, verdict in verdicts.items() if verdict != "ok"} == {
            "wake",
            "agents",
        }
        assert "--wake" in report.note("wake")
        assert "gpu-0 is deallocated" in report.note("agents")

    @pytest.mark.parametrize(("fault", "options", "code", "fix"), SEEDED)
    def test_names_a_seeded_fault_and_nothing_else(self, examine, seed, fault, options, code, fix):
        seed(fault, **options)

        report = examine()

        assert report.codes == [code]
        assert fix in report.body["findings"][0]["fix"]
        assert report.status == 1
        assert "unknown" not in {one["verdict"] for one in report.body["checks"]}

    def test_says_that_nobody_is_logged_in(self, examine, environ):
        environ.delenv("IDENTITY_ENDPOINT")

        report = examine()

        assert report.codes == ["login.none"]
        assert report.body["findings"][0]["fix"].startswith("az login")
        assert report.verdict("quota") == "skipped"
        assert report.note("quota") == "not checked: it depends on 'login'"

    def test_names_a_container_that_is_missing(self, examine, open_blobs):
        with open_blobs() as service:
            service.delete_container("failed")
            try:
                report = examine()
            finally:
                service.create_container("failed")

        assert report.codes == ["storage.container_missing"]
        assert "--name failed" in report.body["findings"][0]["fix"]

    def test_says_which_question_was_not_answered_in_time(self, examine, seed):
        seed("server_error", requests="read")

        report = examine()

        assert report.codes == []
        assert report.status == 4
        assert report.verdict("vms") == "unknown"
        assert "500" in report.note("vms")

    def test_says_it_to_people_with_the_fix_below(self, environ, seed):
        seed("quota", limit=23)

        result = CliRunner().invoke(cli, ["doctor"])

        assert result.exit_code == 1
        assert re.search(r"(?m)^FAULT +quota$", result.stdout)
        assert "is 23 vCPUs; the VMs need 24. [quota.too_low]" in result.stdout
        assert "Fix: Ask for 24 vCPUs" in result.stdout
        assert result.stdout.splitlines()[-1] == "20 ok, 1 fault, 2 skipped"

    def test_shows_only_what_is_not_ok_when_told_to_be_quiet(self, environ):
        result = CliRunner().invoke(cli, ["doctor", "--quiet"])

        assert result.stdout == "21 ok, 0 faults, 2 skipped\n"

    def test_never_tells_a_secret(self, examine, stack, seed):
        seed("app_setting", setting="STORAGE_TABLE_URL", value="https://other.invalid")

        report = examine()

        assert report.codes == ["storage.wrong_name"]
        assert stack.agent_token not in str(report)


class TestVaultStandIn:
    def test_gives_a_secret_to_the_real_sdk(self, stack, environ):
        with SecretClient(
            stack.urls.arm,
            stack.credential(),
            # The vault's name would have to end like the resource that its challenge names.
            verify_challenge_resource=False,
            retry_total=0,
        ) as vault:
            assert vault.get_secret("gpu-agent-token").value == stack.agent_token

    def test_takes_no_token_for_another_service(self, stack):
        url = f"{stack.urls.arm}/secrets/gpu-agent-token?api-version=7.4"
        token = stack.credential().get_token("https://management.azure.com/.default").token
        headers = [{}, {"Authorization": f"Bearer {token}"}]

        with open_session(stack.bundle) as session:
            answers = [session.get(url, headers=one, timeout=10) for one in headers]

        assert [answer.status_code for answer in answers] == [401, 401]
        assert "https://vault.azure.net" in answers[0].headers["WWW-Authenticate"]


class TestFakeProbes:
    """The fakes of the unit tests answer as the real probes do here, in kind and in shape."""

    @pytest.mark.parametrize(
        ("room", "method", "arguments"),
        [
            ("account", "measure_skew_s", ()),
            ("account", "log_in", ()),
            ("account", "read_subscription", ()),
            ("account", "list_providers", ()),
            ("account", "list_sizes", ("eastus",)),
            ("account", "list_quotas", ("eastus",)),
            ("account", "read_budget", (BUDGET,)),
            ("app", "read_site", ()),
            ("app", "read_settings", ()),
            ("app", "read_host", ()),
            ("app", "list_references", ()),
            ("app", "read_endpoints", ()),
            ("app", "list_containers", (BLOBS,)),
            ("app", "list_tables", (TABLES,)),
            ("app", "list_secrets", (VAULT,)),
            ("app", "read_secret", (SECRET,)),
            ("app", "read_health", ()),
            ("app", "read_pool", ()),
            ("machines", "read_vm", (WANTED,)),
        ],
    )
    def test_agree_with_the_real_ones(self, real, stack, room, method, arguments):
        fake = {
            "account": FakeAccountProbes(),
            "app": FakeAppProbes(),
            "machines": FakeMachineProbes(),
        }[room]
        known = {
            BUDGET: real.deployment.budget_id,
            BLOBS: stack.urls.blob,
            TABLES: stack.urls.table,
            VAULT: real.deployment.key_vault_id,
            SECRET: f"{stack.urls.arm}/secrets/gpu-agent-token",
        }
        here = [known.get(one, one) if isinstance(one, str) else one for one in arguments]

        expected = getattr(fake, method)(*arguments)
        found = getattr(getattr(real, room), method)(*here)

        assert covers(found, expected), (found, expected)


def covers(found, expected):
    """Tell whether a fact has the kind of another, and what is in it."""
    if isinstance(expected, frozenset):
        return expected <= found
    if isinstance(expected, dict):
        return expected.keys() <= found.keys() and all(
            type(found[key]) is type(value) for key, value in expected.items()
        )
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and type(found[0]) is type(expected[0])
    return type(found) is type(expected)


class TestDoctorOfARunningVm:
    @pytest.fixture(autouse=True)
    def _awake(self, examine, stack):
        """The VM is up; the first test wakes it."""
        if stack.meter()["gpu-0"]["power_state"] != "running":
            woken = examine("--wake", "--wake-timeout", "60")

            assert woken.codes == []
            assert woken.verdict("wake") == "ok"

    @pytest.fixture(name="restart_agent")
    def _restart_agent(self, stack, wait_until):
        """Have the agent started again, with the faults that are set; again without them."""
        port = int(re.search(r":(\d+)$", stack.urls.agents["gpu-0"])[1])

        def restart(*, until_open):
            before = stack.meter()["gpu-0"]["agent_pid"]
            stack.kill_agent("gpu-0")
            wait_until(lambda: stack.meter()["gpu-0"]["agent_pid"] not in (None, before))
            if until_open:
                wait_until(lambda: is_open(port))

        yield restart
        stack.clear_faults()
        restart(until_open=True)

    def test_finds_it_all_well(self, examine):
        report = examine()

        assert report.codes == []
        assert report.note("agents") == "gpu-0 ready"

    def test_asks_this_machine_past_any_proxy(self, environ):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            environ.setenv(name, "http://127.0.0.1:9")
            environ.setenv(name.lower(), "http://127.0.0.1:9")
        environ.delenv("NO_PROXY", raising=False)
        environ.setenv("no_proxy", "elsewhere.example")

        done = subprocess.run(
            [sys.executable, "-m", "coldforge", "doctor", "--json"],
            capture_output=True,
            text=True,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["findings"] == []

    def test_finds_that_the_agent_has_another_token(self, examine, seed, restart_agent):
        seed("agent_setting", setting="GPU_AGENT_TOKEN", value="of yesterday")
        restart_agent(until_open=True)

        report = examine()

        assert report.codes == ["agent.token_differs"]
        assert "Rotate keys" in report.body["findings"][0]["fix"]

    def test_finds_that_the_agents_port_is_closed(self, examine, seed, restart_agent):
        seed("agent_setting", setting="GPU_AGENT_PORT", value="1")
        restart_agent(until_open=False)

        report = examine()

        assert report.codes == ["agent.unreachable"]
        assert "network security group" in report.body["findings"][0]["fix"]


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
