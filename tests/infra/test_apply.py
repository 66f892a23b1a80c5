"""Whole environments, applied to a cloud in memory: what a plan with mocks can't show.

The stand-in for azurerm has the faults that a real apply of these files ran into: see `cloud`.
"""

import copy
import json
import shutil

import pytest

from infra.deploy.guards import judge_apply, list_changes
from tests.infra.cloud import APP, VM, Cloud
from tests.infra.provider import read_table, serve
from tests.infra.terraform import run_terraform
from tests.infra.workbench import CONFIGURATION, uses_real_provider

pytestmark = pytest.mark.skipif(uses_real_provider(), reason="nothing is applied to Azure")

SSH_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOyGT+mbU5cEuIcqxZEGfvItg2qNlCCH8tuidLMB6+bl of a test"
)
VARIABLES = {
    "subscription_id": "00000000-0000-0000-0000-000000000000",
    "tenant_id": "00000000-0000-0000-0000-000000000000",
    "admin_ssh_public_key": SSH_KEY,
    "contact_emails": ["ops@example.com"],
    "image_version": "1.4.0",
}
IMAGES = {"1.4.0", "1.5.0"}
TABLES = {"deliveries", "idempotency", "jobs", "ledger", "results"}
OLD_FORM = "azurerm_storage_table"
OLD_TABLES = f"""
resource "{OLD_FORM}" "this" {{
  for_each = local.tables

  name               = each.value
  storage_account_id = local.account.id
}}

"""
STORAGE = "modules/storage/main.tf"
KEYS_ARE_OFF = "shared_access_key_enabled       = false"


class Environment:
    """An environment's files and its state in a folder, and Terraform on them."""

    def __init__(self, folder, name, environ):
        self.configuration = folder / "terraform"
        self._root = self.configuration / "environments" / name
        self._data = folder / "data"
        self._environ = environ

    def set_up(self):
        """Copy the files, with the state beside them."""
        shutil.copytree(CONFIGURATION, self.configuration)
        state = 'terraform {\n  backend "local" {}\n}\n'
        (self._root / "state_override.tf").write_text(state)
        self.tell()
        self.run("init")

    def tell(self, **variables):
        """Set variables of the environment."""
        told = json.dumps({**VARIABLES, **variables})
        (self._root / "terraform.tfvars.json").write_text(told)

    def run(self, *arguments):
        """Run Terraform; gives what it prints."""
        done = run_terraform(arguments, folder=self._root, environ=self._environ, data=self._data)
        assert done.returncode == 0, f"{arguments}\n{done.stdout[-2000:]}\n{done.stderr}"
        return done.stdout

    def plan(self, *arguments):
        """Make a plan and give it."""
        self.run("plan", "-out=plan", *arguments)
        return json.loads(self.run("show", "-json", "plan"))

    def apply(self, *arguments):
        """Make a plan, carry it out and give it."""
        made = self.plan(*arguments)
        self.run("apply", "plan")
        return made


@pytest.fixture(name="development", scope="module")
def _development(terraform, tmp_path_factory):
    """The folder and the cloud of a development environment that was applied; to be copied."""
    folder, cloud = tmp_path_factory.mktemp("development"), Cloud(images=set(IMAGES))
    with serve(read_table(), cloud) as environ:
        environment = Environment(folder, "dev", environ)
        environment.set_up()
        environment.apply()
    return folder, cloud


@pytest.fixture(name="cloud")
def _cloud(development):
    return copy.deepcopy(development[1])


@pytest.fixture(name="environment")
def _environment(development, cloud, tmp_path):
    """A development environment with one VM, applied already, in `cloud`."""
    shutil.copytree(development[0], tmp_path, dirs_exist_ok=True)
    with serve(read_table(), cloud) as environ:
        yield Environment(tmp_path, "dev", environ)


class TestApply:
    def test_leaves_the_second_plan_nothing_to_do(self, environment):
        assert list_changes(environment.plan()) == []

    def test_leaves_the_second_plan_nothing_to_do_in_production(self, terraform, tmp_path):
        with serve(read_table(), Cloud(images=set(IMAGES))) as environ:
            environment = Environment(tmp_path, "prod", environ)
            environment.set_up()
            environment.apply()

            assert list_changes(environment.plan()) == []

    def test_makes_the_tables_in_an_account_without_keys(self, cloud):
        assert {table for _, table in cloud.tables} == TABLES

    def test_gives_the_app_no_connection_string_of_storage_and_one_to_report_by(self, cloud):
        ((_, app),) = [one for one in cloud.resources.values() if one[0] == APP]
        settings = app["app_settings"]

        storage = [
            value for name, value in settings.items() if name.lower() == "azurewebjobsstorage"
        ]

        assert storage == [""]
        assert settings["APPLICATIONINSIGHTS_CONNECTION_STRING"]

    def test_changes_the_app_where_a_setting_changes_and_nothing_after_that(self, environment):
        settings = environment.configuration / "modules" / "control_plane" / "settings.tf"
        text = settings.read_text("utf-8")
        settings.write_text(text.replace('MALLOC_ARENA_MAX       = "2"', 'MALLOC_ARENA_MAX = "4"'))

        made = environment.apply()

        assert [kind for _, kind, _ in list_changes(made)] == [APP]
        assert list_changes(environment.plan()) == []


class TestRoll:
    def test_makes_the_vm_anew_with_a_disk_of_its_own(self, environment, cloud):
        environment.tell(image_version="1.5.0")
        address = f'module.coldforge.module.gpu_pool["eastus"].{VM}.this["a100-1"]'

        environment.apply(f"-replace={address}")

        ((_, vm),) = [one for one in cloud.resources.values() if one[0] == VM]
        assert vm["source_image_id"].endswith("/1.5.0")
        assert cloud.disks == {"coldforge-dev-a100-1-os": "coldforge-dev-vms-eastus-rg"}


class TestDestroy:
    def test_leaves_nothing_that_is_billed(self, environment, cloud):
        environment.apply("-destroy")

        assert cloud.disks == {}
        assert cloud.resources == {}

    def test_leaves_the_tables_to_their_account(self, environment, cloud):
        deployment = "module.coldforge.module.storage.azurerm_resource_group_template_deployment"

        environment.apply("-destroy", f"-target={deployment}.tables")

        assert {table for _, table in cloud.tables} == TABLES


class TestTablesOfTheOldForm:
    def test_are_kept_with_what_is_in_them(self, terraform, tmp_path):
        cloud = Cloud(images=set(IMAGES))
        with serve(read_table(), cloud) as environ:
            environment = Environment(tmp_path, "dev", environ)
            environment.set_up()
            file = environment.configuration / STORAGE
            now = file.read_text("utf-8")
            file.write_text(in_the_old_form(now))
            environment.apply()
            assert cloud.count(OLD_FORM) == len(TABLES)
            file.write_text(now)

            made = environment.apply()

        forgotten = [actions for actions, kind, _ in list_changes(made) if kind == OLD_FORM]
        assert forgotten == ["forget"] * len(TABLES)
        assert judge_apply(made, None) == []
        assert {table for _, table in cloud.tables} == TABLES


def in_the_old_form(storage):
    """Give the module as it was; only where keys were on has it ever made a table."""
    head, rest = storage.split("# azurerm_storage_table sets an access list")
    rest = rest.partition("# An account holds one policy")[2]
    assert KEYS_ARE_OFF in head
    head = head.replace(KEYS_ARE_OFF, KEYS_ARE_OFF.replace("false", "true"))
    return f"{head}{OLD_TABLES}# An account holds one policy{rest}"
