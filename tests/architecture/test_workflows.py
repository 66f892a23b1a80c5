import re

import pytest


@pytest.fixture(name="workflow")
def _workflow(root):
    """The workflow that deploys, as text."""
    return (root / ".github" / "workflows" / "deploy.yml").read_text("utf-8")


class TestDeployWorkflow:
    def test_pins_every_action_by_hash_and_names_its_release(self, workflow):
        used = re.findall(r"(?m)uses: (.*)$", workflow)

        assert used
        for line in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line

    def test_runs_targets_that_exist(self, workflow, targets):
        made = re.findall(r'run: make ([a-z-]+) ENV="\$ENV"', workflow)

        assert made == ["plan", "apply", "deploy", "doctor"]
        assert set(made) <= targets.keys()

    def test_logs_in_by_oidc_and_keeps_no_secret(self, workflow):
        assert "\npermissions: {}\n" in workflow
        assert "    permissions:\n      contents: read\n      id-token: write\n" in workflow
        assert "secrets." not in workflow

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

    def test_does_not_claim_to_have_run(self, workflow):
        assert "Has never run" in workflow
