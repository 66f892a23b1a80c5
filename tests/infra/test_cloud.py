"""The cloud in memory has the faults that it is there for."""

import json

import pytest

from tests.infra.cloud import APP, DROPPED_ON_READ, TABLE, VM, Cloud, CloudError, is_ssh_key
from tests.infra.values import UNKNOWN

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg"
ZONE = f"{GROUP}/providers/Microsoft.Network/privateDnsZones/z"
MACHINE = {
    "id": UNKNOWN,
    "name": "vm",
    "resource_group_name": "rg",
    "os_disk": [{"name": "vm-os"}],
}
TEMPLATE = {
    "id": UNKNOWN,
    "name": "tables",
    "resource_group_name": "rg",
    "template_content": json.dumps({"resources": [{"type": TABLE, "name": "acc/default/jobs"}]}),
}
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOyGT+mbU5cEuIcqxZEGfvItg2qNlCCH8tuidLMB6+bl"


def make_account(cloud, *, has_keys=False):
    return cloud.create(
        "azurerm_storage_account",
        {
            "id": UNKNOWN,
            "name": "acc",
            "resource_group_name": "rg",
            "shared_access_key_enabled": has_keys,
        },
    )


def make_app(cloud, settings):
    return cloud.create(
        APP,
        {
            "id": UNKNOWN,
            "name": "app",
            "app_settings": settings,
            "site_config": [{"application_insights_connection_string": "InstrumentationKey=1"}],
        },
    )


class TestDataPlane:
    def test_is_closed_to_azurerm_while_keys_are_off(self):
        cloud = Cloud()
        account = make_account(cloud)

        for kind, values in (
            ("azurerm_storage_table", {"storage_account_id": account["id"]}),
            ("azurerm_storage_container", {"storage_account_name": "acc"}),
        ):
            with pytest.raises(CloudError, match="KeyBasedAuthenticationNotPermitted"):
                cloud.create(kind, {"id": UNKNOWN, "name": "jobs", **values})

    def test_is_not_asked_for_a_container_that_is_named_by_the_accounts_id(self):
        cloud = Cloud()
        container = {"id": UNKNOWN, "name": "jobs", "storage_account_name": None}

        cloud.create("azurerm_storage_container", container)

        assert cloud.count("azurerm_storage_container") == 1

    def test_is_not_asked_for_a_table_by_template(self):
        cloud = Cloud()
        make_account(cloud)

        cloud.create("azurerm_resource_group_template_deployment", TEMPLATE)

        assert cloud.tables == {("acc", "jobs")}


class TestTemplate:
    @pytest.mark.parametrize("is_told", [None, True])
    def test_takes_along_what_it_made_unless_told_otherwise(self, is_told):
        cloud = Cloud()
        if is_told is not None:
            told = [{"delete_nested_items_during_deletion": is_told}]
            cloud.configure({"features": [{"template_deployment": told}]})
        make_account(cloud)
        made = cloud.create("azurerm_resource_group_template_deployment", TEMPLATE)

        cloud.delete(made["id"])

        assert cloud.tables == set()

    def test_finds_no_account_in_another_group(self):
        cloud = Cloud()
        make_account(cloud)

        with pytest.raises(CloudError, match="ParentResourceNotFound"):
            cloud.create(
                "azurerm_resource_group_template_deployment",
                {**TEMPLATE, "resource_group_name": "another"},
            )


class TestApp:
    def test_is_read_without_the_settings_that_azurerm_drops(self):
        read = make_app(Cloud(), {"AzureWebJobsStorage": "", "MINE": "1"})

        assert read["app_settings"] == {"MINE": "1"}

    def test_is_read_with_another_spelling(self):
        told = {"AZUREWEBJOBSSTORAGE": "", "MINE": "1"}

        assert make_app(Cloud(), told)["app_settings"] == told

    def test_gets_a_connection_string_with_an_empty_key_unless_told_otherwise(self):
        cloud = Cloud()
        make_app(cloud, {})

        ((_, app),) = cloud.resources.values()

        assert app["app_settings"].keys() == set(DROPPED_ON_READ)
        assert app["app_settings"]["AzureWebJobsStorage"].endswith("AccountKey=")


class TestDisk:
    @pytest.mark.parametrize("told", [{}, {"delete_os_disk_on_deletion": False}])
    def test_stays_behind_once_its_block_is_there(self, told):
        cloud = Cloud()
        cloud.configure({"features": [{"virtual_machine": [told]}]})
        made = cloud.create(VM, MACHINE)

        cloud.delete(made["id"])

        assert cloud.disks == {"vm-os": "rg"}
        with pytest.raises(CloudError, match="already exists"):
            cloud.create(VM, MACHINE)

    def test_goes_where_there_is_no_block(self):
        cloud = Cloud()
        made = cloud.create(VM, MACHINE)

        cloud.delete(made["id"])

        assert cloud.disks == {}

    def test_keeps_its_group(self):
        cloud = Cloud(disks={"vm-os": "rg"})
        group = cloud.create("azurerm_resource_group", {"id": UNKNOWN, "name": "rg"})

        with pytest.raises(CloudError, match="still contains Resources"):
            cloud.delete(group["id"])


class TestImage:
    def test_is_not_found_before_it_is_published(self):
        with pytest.raises(CloudError, match=r"1\.4\.0.* was not found"):
            Cloud(images={"1.3.0"}).look_up("azurerm_shared_image_version", {"name": "1.4.0"})


class TestFormOfValues:
    def test_is_that_of_a_resource_id(self):
        endpoint = {"private_dns_zone_group": [{"private_dns_zone_ids": [ZONE, "a zone"]}]}

        complaints = Cloud().find_complaints("azurerm_private_endpoint", endpoint)

        assert complaints == ["private_dns_zone_ids: 'a zone' is not a resource id"]

    def test_is_none_of_what_nobody_knows_yet_or_of_other_ids(self):
        known_later = {"subnet_id": UNKNOWN, "tenant_id": "t", "identity": [{"client_id": "c"}]}

        assert Cloud().find_complaints("azurerm_private_endpoint", known_later) == []

    @pytest.mark.parametrize(
        ("key", "is_valid"),
        [
            (SSH_KEY, True),
            (f"{SSH_KEY} somebody@somewhere", True),
            (SSH_KEY[:-4], False),
            (SSH_KEY.replace("ed25519", "rsa"), False),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMock", False),
            ("ssh-ed25519", False),
            ("", False),
        ],
    )
    def test_is_that_of_an_ssh_key(self, key, is_valid):
        assert is_ssh_key(key) is is_valid
        vm = {"admin_ssh_key": [{"public_key": key}]}
        assert (Cloud().find_complaints(VM, vm) == []) is is_valid
