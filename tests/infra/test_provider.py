"""The schema-only provider is as strict as the schema: what the real one would refuse at once."""

import json

import pytest

from tests.infra.provider import SOURCE, TABLE
from tests.infra.schema_table import DESCRIBED, reduce_table, used_types
from tests.infra.workbench import uses_real_provider

HEAD = f"""
terraform {{
  required_providers {{
    azurerm = {{ source = "{SOURCE.removeprefix("registry.terraform.io/")}" }}
  }}
}}
"""
VALID = """
resource "azurerm_resource_group" "this" {
  name     = "rg"
  location = "eastus"
}
"""
FAULTS = {
    "an argument that does not exist": (VALID.replace("location", "loc"), "Unsupported argument"),
    "a required argument that is missing": (
        VALID.replace('  location = "eastus"\n', ""),
        "Missing required argument",
    ),
    "a value of another type": (
        VALID.replace('"eastus"', '["eastus"]'),
        "Incorrect attribute value type",
    ),
    "a type that does not exist": (
        VALID.replace("azurerm_resource_group", "azurerm_resource_grp"),
        "Invalid resource type",
    ),
    "a block that is missing": (
        'resource "azurerm_shared_image" "this" {\n  name = "i"\n  gallery_name = "g"\n'
        '  location = "eastus"\n  resource_group_name = "rg"\n  os_type = "Linux"\n}\n',
        "Insufficient identifier blocks",
    ),
    "a resource id that is none": (
        'resource "azurerm_subnet_nat_gateway_association" "this" {\n  subnet_id = "s"\n'
        '  nat_gateway_id = "n"\n}\n',
        "is not a resource id",
    ),
    "an attribute that does not exist": (
        VALID + 'output "x" {\n  value = azurerm_resource_group.this.zone\n}\n',
        "Unsupported attribute",
    ),
}


def find_described(path, block):
    """List the blocks with an argument named description, by their path."""
    if "description" in block.get("attributes", {}):
        yield path
    for name, nested in block.get("block_types", {}).items():
        yield from find_described(f"{path}/{name}", nested["block"])


class TestProvider:
    def test_finds_nothing_wrong_with_what_is_right(self, terraform, tmp_path):
        (tmp_path / "main.tf").write_text(HEAD + VALID)

        assert terraform.validate("valid", folder=tmp_path) == []

    @pytest.mark.parametrize("fault", FAULTS)
    def test_refuses(self, terraform, tmp_path, fault):
        text, summary = FAULTS[fault]
        (tmp_path / "main.tf").write_text(HEAD + text)

        complaints = terraform.validate(fault.replace(" ", "-"), folder=tmp_path)

        assert [one for one in complaints if summary in one] != []


@pytest.mark.skipif(uses_real_provider(), reason="the table is not used")
class TestTable:
    def test_holds_what_the_configuration_uses_and_nothing_else(self):
        table = json.loads(TABLE.read_text("utf-8"))["provider_schemas"][SOURCE]

        assert {
            "resource": set(table["resource_schemas"]),
            "data": set(table["data_source_schemas"]),
        } == used_types()

    def test_is_reduced_to_itself(self):
        table = json.loads(TABLE.read_text("utf-8"))

        assert reduce_table(table, used_types()) == table

    def test_has_the_descriptions_back_where_they_are_arguments(self):
        resources = json.loads(TABLE.read_text("utf-8"))["provider_schemas"][SOURCE][
            "resource_schemas"
        ]

        described = {
            path for name in resources for path in find_described(name, resources[name]["block"])
        }

        assert described == set(DESCRIBED)
