"""What `terraform validate` does not ask for and a reader does."""

import re

import hcl2
import pytest

from tests.infra.workbench import CONFIGURATION, find_modules, find_runs

MODULES = find_modules()


def read_blocks(module, kind):
    """Give the blocks of a kind in a module, by name."""
    blocks = {}
    for path in (CONFIGURATION / module).glob("*.tf"):
        for block in hcl2.loads(path.read_text("utf-8")).get(kind, ()):
            blocks |= {name.strip('"'): body for name, body in block.items()}
    return blocks


@pytest.mark.parametrize("module", MODULES)
class TestModule:
    def test_types_and_describes_every_variable(self, module):
        variables = read_blocks(module, "variable")

        assert variables
        assert [name for name, body in variables.items() if not body.get("description")] == []
        assert [name for name, body in variables.items() if not body.get("type")] == []

    def test_takes_null_only_where_null_is_the_default(self, module):
        variables = read_blocks(module, "variable")

        takes_null = {
            name for name, body in variables.items() if body.get("nullable") is not False
        }

        assert takes_null == {
            name
            for name, body in variables.items()
            if "default" in body and body["default"] in (None, "null")
        }

    def test_describes_every_output(self, module):
        outputs = read_blocks(module, "output")

        assert outputs
        assert [name for name, body in outputs.items() if not body.get("description")] == []

    def test_pins_the_provider_below_the_next_major_version(self, module):
        text = (CONFIGURATION / module / "terraform.tf").read_text("utf-8")

        assert 'version = ">= 4.81, < 5.0"' in text


class TestEnvironment:
    @pytest.mark.parametrize("environment", ["dev", "prod"])
    def test_keeps_track_of_a_vm_that_azure_had_no_room_for(self, environment):
        provider = read_blocks(f"environments/{environment}", "provider")["azurerm"]

        (features,) = provider["features"]
        assert features["persist_id_on_create_before_polling_for_completion"] is True

    def test_promises_the_same_everywhere(self):
        development = read_blocks("environments/dev", "provider")

        assert read_blocks("environments/prod", "provider") == development


class TestProviders:
    @pytest.mark.parametrize("root", ["environments/dev", "environments/prod", "roles"])
    def test_name_subscription_and_tenant(self, root):
        provider = read_blocks(root, "provider")["azurerm"]

        assert provider["subscription_id"] == "${var.subscription_id}"
        assert provider["tenant_id"] == "${var.tenant_id}"


class TestRunNames:
    def test_are_sentences(self):
        assert [run for _, run in find_runs() if run.count("_") < 2] == []


class TestPool:
    def test_takes_the_settings_that_the_app_has_and_no_others(self):
        def names(module, pattern):
            text = (CONFIGURATION / "modules" / module / "variables.tf").read_text("utf-8")
            (pool,) = re.findall(r'(?ms)^variable "pool" \{\n(.*?)^\}\n', text)
            return set(re.findall(pattern, pool))

        accepted = names("coldforge", r'"([a-z_]+)"')

        assert accepted == names("control_plane", r"(?m)^    (\w+) += optional\(")
