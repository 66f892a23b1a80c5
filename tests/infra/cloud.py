"""Azure as azurerm 4.81 meets it, in memory: what its schema can't say.

Each rule in here refused or spoiled an apply by the real azurerm that the schema had allowed.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hcl2

from tests.infra.values import UNKNOWN

Values = dict[str, Any]

MOCKS = Path(__file__).parents[2] / "infra" / "terraform" / "mocks" / "azurerm.tfmock.hcl"
APP = "azurerm_function_app_flex_consumption"
VM = "azurerm_linux_virtual_machine"
GUID = "66666666-6666-6666-6666-666666666666"
DROPPED_ON_READ = ("APPLICATIONINSIGHTS_CONNECTION_STRING", "AzureWebJobsStorage")
"""Settings of an app that azurerm leaves out when it reads, in exactly this spelling."""
TABLE = "Microsoft.Storage/storageAccounts/tableServices/tables"

_RESOURCE_ID = re.compile(r"/subscriptions/[0-9a-f-]{36}(/[^/]+/[^/]+)*", re.IGNORECASE)
_OTHER_IDS = frozenset(
    {"client_id", "key_vault_key_id", "principal_id", "role_definition_id", "subscription_id"}
    | {"managed_hsm_key_id", "tenant_id"}
)


class CloudError(Exception):
    """What azurerm prints."""


@dataclass
class Cloud:
    """A subscription in memory.

    Attributes:
        images: Versions that the gallery holds.
        resources: What there is, by id: its type and values, as Azure holds them.
        disks: Names of the OS disks, and the resource group of each.
        tables: Account and table.
        features: Block `features` of the provider.
    """

    images: set[str] = field(default_factory=set)
    resources: dict[str, tuple[str, Values]] = field(default_factory=dict)
    disks: dict[str, str] = field(default_factory=dict)
    tables: set[tuple[str, str]] = field(default_factory=set)
    features: Values = field(default_factory=dict)

    def configure(self, provider: Values) -> None:
        """Note what the provider is told."""
        (self.features,) = provider["features"]

    def find_complaints(self, kind: str, values: Values) -> list[str]:
        """Give what azurerm's own code finds wrong with an argument."""
        found = [
            f"{name}: {one!r} is not a resource id"
            for name, one in _list_ids(values)
            if not _RESOURCE_ID.fullmatch(one)
        ]
        if kind == VM:
            found += [
                f"admin_ssh_key: {key['public_key']!r} is not a complete SSH2 Public Key"
                for key in values["admin_ssh_key"]
                if isinstance(key["public_key"], str) and not is_ssh_key(key["public_key"])
            ]
        return found

    def create(self, kind: str, values: Values) -> Values:
        """Make a resource.

        Args:
            kind: Its type.
            values: As they were planned; what Azure decides is unknown.

        Returns:
            Its values, as azurerm reads them.

        Raises:
            CloudError: Azure refuses.
        """
        made = _decide(kind, values, len(self.resources))
        while made["id"] in self.resources:
            made["id"] += "-too"
        if create := _CREATES.get(kind):
            create(self, made)
        self.resources[made["id"]] = kind, made
        return self.read(made["id"]) or made

    def read(self, identity: str) -> Values | None:
        """Give a resource's values as azurerm reads them; None if it is gone."""
        if identity not in self.resources:
            return None
        kind, values = self.resources[identity]
        return _read_app(values) if kind == APP else values

    def update(self, kind: str, values: Values) -> Values:
        """Change a resource, and give its values as azurerm reads them."""
        made = _decide(kind, values, len(self.resources))
        if update := _UPDATES.get(kind):
            update(self, made)
        self.resources[made["id"]] = kind, made
        return self.read(made["id"]) or made

    def delete(self, identity: str) -> None:
        """Delete a resource.

        Raises:
            CloudError: azurerm or Azure refuses.
        """
        kind, values = self.resources[identity]
        if delete := _DELETES.get(kind):
            delete(self, values)
        del self.resources[identity]

    def look_up(self, kind: str, values: Values) -> Values:
        """Give what a data source finds.

        Raises:
            CloudError: There is no such thing.
        """
        if values["name"] not in self.images:
            raise CloudError(f"Image Version (Name: {values['name']!r}) was not found")
        prefix = _default(kind, "id").rsplit("/", 1)[0]
        return {**values, "id": f"{prefix}/{values['name']}"}

    def read_feature(self, block: str, name: str, *, absent: bool) -> bool:
        """Read a switch of the provider; `absent` holds where its whole block is absent."""
        blocks = self.features.get(block) or []
        # Not set in a block that is there is false, whatever azurerm's documents say.
        return bool(blocks[0].get(name)) if blocks else absent

    def count(self, kind: str) -> int:
        """Count the resources of a type."""
        return sum(one == kind for one, _ in self.resources.values())


def is_ssh_key(text: str) -> bool:
    """Tell whether a text is a public key in OpenSSH's form, whole."""
    kind, _, encoded = text.strip().partition(" ")
    try:
        blob = base64.b64decode(encoded.split()[0], validate=True)
    except (binascii.Error, IndexError):
        return False
    fields = []
    while blob:
        length = int.from_bytes(blob[:4])
        fields.append(blob[4 : 4 + length])
        if len(fields[-1]) != length:
            return False
        blob = blob[4 + length :]
    if not fields or fields[0] != kind.encode():
        return False
    if kind == "ssh-ed25519":
        return [len(one) for one in fields[1:]] == [32]
    return kind == "ssh-rsa" and len(fields) == 3 and len(fields[2]) >= 256


def _list_ids(values: Any) -> Iterator[tuple[str, str]]:
    """List the arguments that hold resource ids and are known."""
    if isinstance(values, list):
        for one in values:
            yield from _list_ids(one)
        return
    if not isinstance(values, dict):
        return
    for name, value in values.items():
        if name in _OTHER_IDS or not name.endswith(("_id", "_ids")):
            yield from _list_ids(value)
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                yield name, one


def _decide(kind: str, values: Values, number: int) -> Values:
    """Put what Azure would decide in the place of what is unknown."""
    name = values.get("name")
    if not isinstance(name, str):
        name = f"{kind}-{number}"

    def fill(path: str, value: Any) -> Any:
        if value is UNKNOWN:
            return GUID if path in _OTHER_IDS else _default(kind, path).replace("mock", name)
        if isinstance(value, dict):
            return {key: fill(key, one) for key, one in value.items()}
        if isinstance(value, list):
            return [fill(path, one) for one in value]
        return value

    return {key: fill(key, one) for key, one in values.items()}


def _default(kind: str, name: str) -> Any:
    return _DEFAULTS.get(kind, {}).get(name, f"/subscriptions/{GUID}/mock/mock")


def _read_defaults() -> dict[str, dict[str, str]]:
    body = hcl2.loads(MOCKS.read_text("utf-8"))
    return {
        kind.strip('"'): {
            name.strip('"'): value.strip('"') for name, value in mock["defaults"].items()
        }
        for block in ("mock_resource", "mock_data")
        for one in body[block]
        for kind, mock in one.items()
    }


_DEFAULTS = _read_defaults()


def _make_table(cloud: Cloud, values: Values) -> None:
    account = _find_account(cloud, values["storage_account_id"].rsplit("/", 1)[-1])
    _need_key(account, "Table Storage")
    cloud.tables.add((account["name"], values["name"]))


def _make_container(cloud: Cloud, values: Values) -> None:
    if values["storage_account_name"]:
        _need_key(_find_account(cloud, values["storage_account_name"]), "Containers")


def _need_key(account: Mapping[str, Any], what: str) -> None:
    """Refuse what azurerm asks of the data plane with the account's key."""
    if not account["shared_access_key_enabled"]:
        raise CloudError(
            f"setting ACLs for {what} in {account['name']}: unexpected status 403: "
            "KeyBasedAuthenticationNotPermitted"
        )


def _find_account(cloud: Cloud, name: str) -> Values:
    for kind, values in cloud.resources.values():
        if kind == "azurerm_storage_account" and values["name"] == name:
            return values
    raise CloudError(f"Storage Account {name!r} was not found")


def _deploy_template(cloud: Cloud, values: Values) -> None:
    for one in json.loads(values["template_content"])["resources"]:
        if one["type"] != TABLE:
            raise CloudError(f"InvalidTemplate: {one['type']}")
        name, service, table = one["name"].split("/")
        account = _find_account(cloud, name)
        if service != "default" or account["resource_group_name"] != values["resource_group_name"]:
            raise CloudError(f"ParentResourceNotFound: {one['name']}")
        cloud.tables.add((name, table))


def _delete_template(cloud: Cloud, values: Values) -> None:
    if cloud.read_feature(
        "template_deployment", "delete_nested_items_during_deletion", absent=True
    ):
        for one in json.loads(values["template_content"])["resources"]:
            account, _, table = one["name"].split("/")
            cloud.tables.discard((account, table))


def _delete_account(cloud: Cloud, values: Values) -> None:
    cloud.tables = {one for one in cloud.tables if one[0] != values["name"]}


def _make_vm(cloud: Cloud, values: Values) -> None:
    name = values["os_disk"][0]["name"]
    if name in cloud.disks:
        raise CloudError(f"unexpected status 409: Conflict: disk {name} already exists")
    cloud.disks[name] = values["resource_group_name"]


def _delete_vm(cloud: Cloud, values: Values) -> None:
    if cloud.read_feature("virtual_machine", "delete_os_disk_on_deletion", absent=True):
        del cloud.disks[values["os_disk"][0]["name"]]


def _delete_group(cloud: Cloud, values: Values) -> None:
    left = [name for name, group in cloud.disks.items() if group == values["name"]]
    if left and cloud.read_feature(
        "resource_group", "prevent_deletion_if_contains_resources", absent=True
    ):
        raise CloudError(f"the Resource Group {values['name']} still contains Resources: {left}")


def _put_app(_: Cloud, values: Values) -> None:
    """Write the settings as azurerm does: with its own where no name is equal but for its case."""
    told = dict(values["app_settings"] or {})
    own = {
        "AzureWebJobsStorage": "DefaultEndpointsProtocol=https;AccountName=mock;AccountKey=",
        "APPLICATIONINSIGHTS_CONNECTION_STRING": values["site_config"][0][
            "application_insights_connection_string"
        ],
    }
    names = {name.lower() for name in told}
    values["app_settings"] = {
        **{name: value for name, value in own.items() if value and name.lower() not in names},
        **told,
    }


def _read_app(values: Values) -> Values:
    settings = values["app_settings"]
    insights = settings.get("APPLICATIONINSIGHTS_CONNECTION_STRING") or None
    (site,) = values["site_config"]
    return {
        **values,
        "app_settings": {
            name: value for name, value in settings.items() if name not in DROPPED_ON_READ
        },
        "site_config": [{**site, "application_insights_connection_string": insights}],
    }


_CREATES: dict[str, Callable[[Cloud, Values], None]] = {
    APP: _put_app,
    VM: _make_vm,
    "azurerm_resource_group_template_deployment": _deploy_template,
    "azurerm_storage_container": _make_container,
    "azurerm_storage_table": _make_table,
}
_UPDATES: dict[str, Callable[[Cloud, Values], None]] = {
    APP: _put_app,
    "azurerm_resource_group_template_deployment": _deploy_template,
}
_DELETES: dict[str, Callable[[Cloud, Values], None]] = {
    VM: _delete_vm,
    "azurerm_resource_group": _delete_group,
    "azurerm_resource_group_template_deployment": _delete_template,
    "azurerm_storage_account": _delete_account,
}
