"""What the doctor wants to see is what Terraform makes and the local cloud has."""

import re

import pytest

from coldforge.doctor.rules import access, account, app
from infra.deploy.vault import TOKENS
from localcloud import blueprint
from localcloud.arm import offers


@pytest.fixture(name="terraform")
def _terraform(root):
    """Gives the text of a file of infra/terraform."""
    return lambda path: (root / "infra" / "terraform" / path).read_text("utf-8")


def names_in(text, beginning):
    """The quoted names of the list that begins like this."""
    return set(re.findall(r'"([^"]+)"', text.split(beginning, 1)[1].split("]")[0]))


class TestDoctor:
    def test_wants_the_containers_and_tables_that_are_made(self, terraform):
        text = terraform("modules/storage/main.tf")

        assert set(app.CONTAINERS) == set(blueprint.CONTAINERS)
        assert set(app.TABLES) == set(blueprint.TABLES)
        assert set(app.CONTAINERS) <= names_in(text, "containers = toset([")
        assert set(app.TABLES) == names_in(text, "tables     = toset([")

    @pytest.mark.parametrize("environment", ["dev", "prod"])
    def test_wants_the_providers_that_are_registered(self, terraform, environment):
        text = terraform(f"environments/{environment}/terraform.tf")

        assert set(account.PROVIDERS) == names_in(text, "resource_providers_to_register = [")
        assert set(account.PROVIDERS) <= set(offers.PROVIDERS)

    def test_wants_what_the_custom_roles_allow_and_no_more(self, terraform):
        operator, switch = terraform("modules/roles/main.tf").split(
            'resource "azurerm_role_definition" "switch"'
        )

        assert set(access.APP_ON_VM[0].actions) == names_in(operator, "actions = [")
        assert set(access.VM_ON_ITSELF[0].actions) == names_in(switch, "actions = [")
        assert f'name              = "{access.APP_ON_VM[0].role} (' in operator
        assert f'name              = "{access.VM_ON_ITSELF[0].role} (' in switch

    def test_names_the_built_in_roles_that_are_assigned(self, terraform):
        text = terraform("modules/roles/assignments.tf")

        needs = [*access.APP_ON_STORAGE, *access.APP_ON_VAULT]
        needs += [*access.VM_ON_JOBS, *access.VM_ON_TOKEN]
        assert {need.role for need in needs} <= set(re.findall(r'role +(?:= )"([^"]+)"', text))

    def test_looks_for_the_secrets_that_are_written_read_and_referred_to(self, terraform):
        assert app.TOKEN_SECRETS == TOKENS
        assert f'GPU_AGENT_TOKEN = "{TOKENS[0]}"' in terraform("modules/control_plane/settings.tf")
        assert names_in(terraform("modules/roles/assignments.tf"), "agent_tokens = [") == {*TOKENS}
        told = re.findall(r'/secrets/([\w-]+)"', terraform("modules/gpu_pool/settings.tf"))
        assert tuple(told) == TOKENS
