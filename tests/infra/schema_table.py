"""Makes the table of the provider's schema: ``python -m tests.infra.schema_table FULL.json``.

FULL.json is what ``terraform providers schema -json`` prints where the real provider is installed.
Only what the configuration uses is kept.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.infra.provider import SOURCE, TABLE

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "infra" / "terraform"
DESCRIBED = (
    "azurerm_function_app_flex_consumption/site_config/ip_restriction",
    "azurerm_function_app_flex_consumption/site_config/scm_ip_restriction",
    "azurerm_monitor_activity_log_alert",
    "azurerm_monitor_scheduled_query_rules_alert_v2",
    "azurerm_role_assignment",
    "azurerm_role_definition",
    "azurerm_shared_image",
    "azurerm_shared_image_gallery",
)
"""Blocks with an argument named description, which a dump without descriptions has lost."""
KINDS = {"resource": "resource_schemas", "data": "data_source_schemas"}


def used_types(configuration: Path = CONFIGURATION) -> dict[str, set[str]]:
    """Give the names of the resources and data sources that a configuration uses, by kind."""
    used: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for path in configuration.rglob("*.tf"):
        for kind, name in re.findall(
            r'(?m)^(resource|data) "(azurerm_\w+)"', path.read_text("utf-8")
        ):
            used[kind].add(name)
        # Terraform reads the state of what it only forgets.
        used["resource"].update(
            re.findall(r"(?m)^removed \{\n  from = (azurerm_\w+)\.", path.read_text("utf-8"))
        )
    return used


def reduce_table(full: dict[str, Any], used: dict[str, set[str]]) -> dict[str, Any]:
    """Keep the provider and what is used."""
    provider = full["provider_schemas"][SOURCE]
    kept: dict[str, Any] = {"provider": provider["provider"]}
    for kind, key in KINDS.items():
        kept[key] = {name: provider[key][name] for name in sorted(used[kind])}
    _restore_descriptions(kept["resource_schemas"])
    return {"format_version": full["format_version"], "provider_schemas": {SOURCE: kept}}


def _restore_descriptions(resources: dict[str, Any]) -> None:
    for path in DESCRIBED:
        resource, *nested = path.split("/")
        if resource in resources:
            block = resources[resource]["block"]
            for name in nested:
                block = block["block_types"][name]["block"]
            block["attributes"]["description"] = {"optional": True, "type": "string"}
    for group in [resources[name] for name in resources if name.endswith("_security_group")]:
        rule = group["block"]["attributes"]["security_rule"]["type"][1][1]
        rule["description"] = "string"


def main(arguments: Sequence[str]) -> int:
    """Write the table; returns the exit status."""
    full = json.loads(Path(arguments[0]).read_text("utf-8"))
    reduced = reduce_table(full, used_types())
    TABLE.write_text(json.dumps(reduced, sort_keys=True, separators=(",", ":")) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
