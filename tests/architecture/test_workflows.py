import re

import pytest


@pytest.fixture(name="workflow")
def _workflow(root):
    """The workflow that deploys, as text."""
    return (root / ".github" / "workflows" / "deploy.yml").read_text("utf-8")


@pytest.fixture(name="checks")
def _checks(root):
    """The workflow that checks, as text."""
    return (root / ".github" / "workflows" / "test.yml").read_text("utf-8")


class TestEveryWorkflow:
    @pytest.fixture(name="text", params=["deploy.yml", "test.yml"])
    def _text(self, root, request):
        return (root / ".github" / "workflows" / request.param).read_text("utf-8")

    def test_is_tried_here(self, root):
        found = {path.name for path in (root / ".github" / "workflows").iterdir()}

        assert found == {"deploy.yml", "test.yml"}

    def test_is_yaml_with_jobs_of_steps(self, text):
        yaml = pytest.importorskip("yaml", reason="Only the engine's lock brings PyYAML.")

        jobs = yaml.safe_load(text)["jobs"]

        assert jobs
        for job in jobs.values():
            assert job["timeout-minutes"] > 0
            assert all(("run" in step) != ("uses" in step) for step in job["steps"])

    def test_pins_every_action_by_hash_and_names_its_release(self, text):
        used = re.findall(r"(?m)uses: (.*)$", text)

        assert used
        for line in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line

    def test_keeps_no_login_of_the_checkout(self, text):
        assert text.count("actions/checkout@") == text.count("persist-credentials: false")

    def test_runs_make_targets_that_exist(self, text, targets):
        made = re.findall(r"run: make ([a-z-]+)", text)

        assert made
        assert set(made) <= targets.keys()

    def test_keeps_no_secret(self, text):
        assert "secrets." not in text

    def test_does_not_claim_to_have_run(self, text):
        assert "Has never run" in text


class TestTestWorkflow:
    def test_may_only_read(self, checks):
        assert "\npermissions:\n  contents: read\n" in checks
        assert checks.count("permissions:") == 1

    def test_runs_the_gate_on_three_platforms(self, checks):
        pairs = re.findall(r'- os: (\S+)\n +python: "([\d.]+)"', checks)

        assert pairs == [
            ("ubuntu-24.04", "3.11"),
            ("ubuntu-24.04", "3.12"),
            ("macos-14", "3.11"),
        ]

    def test_names_tests_that_exist(self, root, checks):
        paths = re.findall(r"pytest (tests/\S+)", checks)

        assert paths
        assert [path for path in paths if not (root / path).exists()] == []

    def test_asks_for_the_real_functions_host_and_the_real_provider(self, checks):
        assert "          HOST: func\n" in checks
        assert "          INFRA_PROVIDER: real\n" in checks


class TestDeployWorkflow:
    def test_plans_applies_deploys_and_examines(self, workflow):
        made = re.findall(r'run: make ([a-z-]+) ENV="\$ENV"', workflow)

        assert made == ["plan", "apply", "deploy", "doctor"]

    def test_logs_in_by_oidc(self, workflow):
        assert "\npermissions: {}\n" in workflow
        assert "    permissions:\n      contents: read\n      id-token: write\n" in workflow

    def test_asks_for_a_login_that_may_define_roles_where_terraform_does(self, root, workflow):
        modules = (root / "infra" / "terraform" / "modules").rglob("*.tf")
        assert any(
            'resource "azurerm_role_definition"' in one.read_text("utf-8") for one in modules
        )

        # Of the roles that are no Owner, only this one may write role definitions.
        assert "User Access Administrator" in workflow
        assert "User Access Administrator" in (root / "docs" / "deploy.md").read_text("utf-8")

    def test_puts_no_input_into_a_script(self, workflow):
        scripts = re.findall(r"(?m)^( *)(?:- )?run: (.*\n(?:\1 {2,}.*\n)*)", workflow)

        assert len(scripts) == 5
        assert [script for _, script in scripts if "${{" in script] == []
