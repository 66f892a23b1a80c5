import json
import re
import shutil
import stat
from pathlib import Path

import pytest

from coldforge.errors import UnreachableError
from infra.deploy import steps
from infra.deploy.environment import Environment
from infra.deploy.errors import NotReadyError, RefusedError, ToolFailedError, ToolMissingError
from infra.deploy.vault import TOKENS
from tests.fakes.tools import FakeTools
from tests.unit.infra.test_guards import ASLEEP, BUSY, INVENTORY, change, destroy_plan

ROOT = Path(__file__).parents[3]
GROUP = "/subscriptions/sub-1/resourceGroups/dev-rg"
OUTPUTS = {
    "app": {
        "id": f"{GROUP}/providers/Microsoft.Web/sites/app",
        "name": "app",
        "url": "https://app.invalid",
    },
    "resource_group_name": "dev-rg",
    "vault": {"id": f"{GROUP}/providers/Microsoft.KeyVault/vaults/vault", "name": "vault"},
    "image": {"name": "gpu", "gallery_name": "gallery", "resource_group_name": "dev-rg"},
    "roles_input": {"scopes": {"vm_resource_groups": {"westus3": "g2", "eastus": "g1"}}},
}
SECRETS = "az rest --method get --url https://management.azure.com"
WRITE = "az rest --method put --url https://management.azure.com"
ZIP = "az functionapp deployment source config-zip"


@pytest.fixture(name="root")
def _root(tmp_path):
    """A checkout with one environment."""
    (tmp_path / "infra" / "terraform" / "environments" / "dev").mkdir(parents=True)
    (tmp_path / ".funcignore").write_text("tests/\n")
    (tmp_path / "host.json").write_text("{}")
    return tmp_path


@pytest.fixture(name="terraform")
def _terraform(root):
    """How every Terraform command begins."""
    return f"terraform -chdir={root}/infra/terraform/environments/dev"


@pytest.fixture(name="tools")
def _tools(terraform):
    """Programs over an environment that was applied, and whose vault is empty."""
    return FakeTools(
        {
            f"{terraform} output": json.dumps(OUTPUTS),
            f"{terraform} show": json.dumps({"resource_changes": []}),
            "az account show": "SUB-1\n",
            "az functionapp keys list": "key\n",
            "az resource list": "[]",
            SECRETS: json.dumps({"value": []}),
            "git ls-files": "host.json\0tests/x.py\0",
        }
    )


@pytest.fixture(name="said")
def _said():
    """What the steps say."""
    return []


@pytest.fixture(name="make")
def _make(root, tools):
    """Makes the environment, with what its app answers."""

    def make(pool=ASLEEP):
        def read_pool(url, key):
            assert (url, key) == ("https://app.invalid", "key")
            if isinstance(pool, Exception):
                raise pool
            return pool

        return Environment(root, "dev", tools, read_pool)

    return make


@pytest.fixture(name="planned")
def _planned(root):
    """A plan that was made."""
    path = root / "infra" / "terraform" / "environments" / "dev" / steps.PLAN
    path.write_text("plan")
    return path


class TestEnvironment:
    @pytest.mark.parametrize("name", ["", "nowhere"])
    def test_says_which_there_are(self, root, tools, name):
        with pytest.raises(RefusedError, match="ENV=dev"):
            Environment(root, name, tools, lambda url, key: {})

    def test_says_that_nothing_was_applied(self, make, tools, terraform):
        tools.answers[f"{terraform} output"] = ToolFailedError("no output")

        with pytest.raises(NotReadyError, match="make plan ENV=dev"):
            make().read_outputs()

    def test_says_which_program_is_missing(self, make, tools):
        tools.missing.add("terraform")

        with pytest.raises(ToolMissingError, match="terraform"):
            make().read_outputs()


class TestPlan:
    def test_says_what_would_change(self, make, tools, terraform, said):
        tools.answers[f"{terraform} show"] = json.dumps(
            {"resource_changes": [change("azurerm_key_vault", ["create"])]}
        )

        steps.plan(make(), said.append)

        assert tools.was_run(f"{terraform} init -input=false")
        assert any("module.coldforge.azurerm_key_vault.this" in line for line in said)
        assert not tools.was_run(f"{terraform} apply")

    def test_makes_anew_what_is_named(self, make, tools, terraform, said):
        vm = 'module.coldforge.module.gpu_pool["eastus"].azurerm_linux_virtual_machine.this["a"]'

        steps.plan(make(), said.append, replaces=vm)

        assert f"{terraform} plan -input=false -out={steps.PLAN} -replace={vm}" in tools.ran


IMAGES = "az sig image-version list --resource-group dev-rg --gallery-name gallery"


class TestPlanWithAnImage:
    @pytest.fixture(autouse=True)
    def _variables(self, root):
        folder = root / "infra" / "terraform" / "environments" / "dev"
        shutil.copytree(
            ROOT / "infra" / "terraform" / "environments" / "dev", folder, dirs_exist_ok=True
        )
        (folder / "terraform.tfvars").write_text('image_version = "1.5.0"\n')

    def test_goes_on_with_one_that_is_published(self, make, tools, terraform, said):
        tools.answers[IMAGES] = '["1.4.0", "1.5.0"]'

        steps.plan(make(), said.append)

        assert tools.was_run(f"{terraform} plan")

    def test_names_those_that_are_published(self, make, tools, terraform, said):
        tools.answers[IMAGES] = '["1.3.0", "1.4.0"]'

        with pytest.raises(
            RefusedError, match=r"image_version 1\.5\.0.*there are 1\.3\.0, 1\.4\.0"
        ):
            steps.plan(make(), said.append)

        assert not tools.was_run(f"{terraform} plan")

    def test_says_that_the_first_apply_needs_none(self, make, tools, terraform, said):
        tools.answers[f"{terraform} output"] = ToolFailedError("no output")

        with pytest.raises(RefusedError, match="Leave image_version empty"):
            steps.plan(make(), said.append)

    def test_goes_on_where_nobody_can_tell(self, make, tools, terraform, said):
        tools.answers[IMAGES] = ToolFailedError("az sig ended with 1\nPlease run az login")

        steps.plan(make(), said.append)

        assert said[0].startswith("Not checked whether image 1.5.0 is published: az sig")
        assert tools.was_run(f"{terraform} plan")

    def test_asks_nothing_where_there_is_to_be_no_vm(self, make, tools, root, said):
        folder = root / "infra" / "terraform" / "environments" / "dev"
        (folder / "terraform.tfvars").write_text("")

        steps.plan(make(), said.append)

        assert not tools.was_run("az")


class TestApply:
    def test_refuses_without_a_plan(self, make, said):
        with pytest.raises(RefusedError, match="make plan"):
            steps.apply(make(), said.append)

    def test_applies_the_plan_that_was_made_and_no_other(
        self, make, tools, terraform, said, planned
    ):
        steps.apply(make(), said.append)

        assert f"{terraform} apply -input=false {steps.PLAN}" in tools.ran
        assert not planned.exists()

    def test_makes_the_token_that_a_vm_needs_to_boot(self, make, tools, said, planned):
        steps.apply(make(), said.append)

        assert tools.was_run(f"{WRITE}{OUTPUTS['vault']['id']}/secrets/gpu-agent-token?")

    def test_does_not_end_jobs(self, make, tools, terraform, said, planned):
        tools.answers[f"{terraform} show"] = json.dumps(
            {"resource_changes": [change("azurerm_linux_virtual_machine", ["update"])]}
        )

        with pytest.raises(RefusedError, match="2 jobs"):
            steps.apply(make(BUSY), said.append)

        assert not tools.was_run(f"{terraform} apply")
        assert planned.exists()


class TestImage:
    def test_publishes_to_the_gallery_in_every_region_of_the_pool(self, make, tools, said, root):
        steps.image(make(), said.append, version="1.4.0", root=root)

        build = next(line for line in tools.ran if line.startswith("packer build"))
        assert "-var=image_version=1.4.0" in build
        assert "-var=gallery_name=gallery" in build
        assert '-var=replication_regions=["eastus", "westus3"]' in build

    def test_asks_for_open_pins_before_anything_is_built(self, make, tools, said, root):
        steps.image(make(), said.append, version="1.4.0", root=root)

        asked = next(n for n, line in enumerate(tools.ran) if "open_pins.py" in line)
        assert asked < next(n for n, line in enumerate(tools.ran) if line.startswith("packer"))

    def test_gives_packer_every_variable_that_it_asks_for(self, make, tools, said, root):
        text = (ROOT / "vm_image" / "variables.pkr.hcl").read_text("utf-8")
        variables = re.findall(r'(?ms)^variable "(\w+)" \{(.*?)^\}', text)

        steps.image(make(), said.append, version="1.4.0", root=root)

        build = next(line for line in tools.ran if line.startswith("packer build"))
        given = set(re.findall(r"-var=(\w+)=", build))
        asked = {name for name, body in variables if "default" not in body}
        assert asked
        assert asked <= given <= {name for name, _ in variables}

    def test_leaves_nothing_behind_that_costs_but_the_version(self, make, tools, said, root):
        steps.image(make(), said.append, version="1.4.0", root=root)

        image = f"{GROUP}/providers/Microsoft.Compute/images/gpu-1.4.0"
        assert tools.ran[-1].lower() == f"az image delete --ids {image}".lower()

    @pytest.mark.parametrize("version", ["", "1.4", "latest", "1.4.x"])
    def test_refuses_what_is_no_version(self, make, tools, said, root, version):
        with pytest.raises(RefusedError, match="VERSION="):
            steps.image(make(), said.append, version=version, root=root)

        assert not tools.was_run("packer")


class TestDeploy:
    def deploy(self, make, said, root, **options):
        steps.deploy(
            make(**options),
            said.append,
            root=root,
            sleep=lambda _: None,
            clock=iter(range(0, 10_000, 100)).__next__,
        )

    def test_replays_recorded_runs_before_anything_is_changed(self, make, tools, said, root):
        self.deploy(make, said, root)

        order = [
            next(number for number, line in enumerate(tools.ran) if line.startswith(beginning))
            for beginning in ("python -m pytest -q", WRITE, ZIP)
        ]
        assert order == sorted(order)
        assert "test_stored_histories.py" in tools.ran[order[0]]

    def test_changes_nothing_if_a_recorded_run_breaks(self, make, tools, said, root):
        tools.answers["python -m pytest"] = 1

        with pytest.raises(ToolFailedError):
            self.deploy(make, said, root)

        assert not tools.was_run(WRITE)
        assert not tools.was_run(ZIP)

    def test_makes_tokens_where_there_are_none_and_shows_them_to_nobody(
        self, make, tools, said, root
    ):
        bodies = []

        def write(command):
            path = Path(command[command.index("--body") + 1].removeprefix("@"))
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            bodies.append((path, json.loads(path.read_text())["properties"]["value"]))
            return ""

        tools.answers[WRITE] = write

        self.deploy(make, said, root)

        assert len({token for _, token in bodies}) == len(bodies) == len(TOKENS)
        for path, token in bodies:
            assert len(token) >= 48
            assert not path.exists()
            assert token not in " ".join([*tools.ran, *said])
        for name in TOKENS:
            assert tools.was_run(f"{WRITE}{OUTPUTS['vault']['id']}/secrets/{name}?")

    def test_leaves_a_token_that_is_there(self, make, tools, said, root):
        tools.answers[SECRETS] = json.dumps({"value": [{"name": name} for name in TOKENS]})

        self.deploy(make, said, root)

        assert not tools.was_run(WRITE)

    def test_sends_what_funcignore_leaves_to_be_built_there(self, make, tools, said, root):
        self.deploy(make, said, root)

        sent = next(line for line in tools.ran if line.startswith(ZIP))
        assert "--resource-group dev-rg --name app" in sent
        assert "--build-remote true" in sent
        assert any("Send 1 files" in line for line in said)
        assert (root / "out" / "app-dev.zip").exists()

    def test_says_so_if_the_app_does_not_come_up(self, make, said, root):
        with pytest.raises(NotReadyError, match="make doctor ENV=dev"):
            self.deploy(make, said, root, pool=UnreachableError("gone"))

    def test_refuses_another_subscription(self, make, tools, said, root):
        tools.answers["az account show"] = "sub-2\n"

        with pytest.raises(RefusedError, match="az account set -s sub-1"):
            self.deploy(make, said, root)

        assert not tools.was_run(ZIP)


class TestDestroy:
    def test_looks_into_every_group_that_would_go(self, make, tools, terraform, said):
        tools.answers[f"{terraform} show"] = json.dumps(destroy_plan())
        tools.answers["az resource list"] = json.dumps(
            [{"id": "/subscriptions/s/resourceGroups/dev-rg/providers/A/b/c", "type": "A/b"}]
        )

        with pytest.raises(RefusedError, match="/providers/A/b/c"):
            steps.destroy(make(), said.append, confirmed="dev")

        assert tools.was_run("az resource list --resource-group dev-rg")
        assert not tools.was_run(f"{terraform} apply")

    def test_refuses_all_at_once(self, make, tools, terraform, said):
        tools.answers[f"{terraform} show"] = json.dumps(destroy_plan())

        with pytest.raises(RefusedError) as caught:
            steps.destroy(make(BUSY), said.append, confirmed="")

        assert re.search(r"Jobs are under way.*\n.*CONFIRM=dev", str(caught.value))
        assert not tools.was_run(f"{terraform} apply")

    def test_applies_the_plan_that_was_judged(self, make, tools, terraform, said):
        tools.answers[f"{terraform} show"] = json.dumps(destroy_plan())

        steps.destroy(make(), said.append, confirmed="dev")

        assert f"{terraform} plan -input=false -out={steps.PLAN} -destroy" in tools.ran
        assert tools.ran[-1] == f"{terraform} apply -input=false {steps.PLAN}"

    @pytest.fixture(name="tried")
    def _tried(self, tools, terraform):
        """What was applied, of which the first ends with the group still there."""
        tried = []

        def apply(command):
            tried.append(command)
            if len(tried) == 1:
                raise ToolFailedError("the Resource Group still contains Resources")
            return ""

        tools.answers[f"{terraform} show"] = json.dumps(destroy_plan())
        tools.answers[f"{terraform} apply"] = apply
        return tried

    def test_goes_on_where_application_insights_has_left_something(self, make, tools, said, tried):
        left = INVENTORY[4]
        tools.answers["az resource list"] = json.dumps([{"id": left.id, "type": left.type}])

        steps.destroy(make(), said.append, confirmed="dev")

        assert f"az resource delete --ids {left.id}" in tools.ran
        assert len(tried) == 2
        assert "dev is gone" in said[-1]

    def test_ends_where_terraform_fails_for_another_reason(self, make, said, tried):
        with pytest.raises(ToolFailedError, match="still contains"):
            steps.destroy(make(), said.append, confirmed="dev")

        assert len(tried) == 1
