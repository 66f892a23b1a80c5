"""What Terraform produces is what the programs read, by the programs' own reading."""

import base64
import json
import re

import pytest

import gpu_agent.settings
import gpu_agent.switch.settings
import orchestrator.settings
from gpu_agent.boot.user_data import read_user_data
from gpu_agent.errors import SettingsError
from tests.fakes.environ import RecordingEnviron
from tests.infra.terraform import ROOT

NOT_PRODUCED = {
    "AZURE_POD_IDENTITY_AUTHORITY_HOST": "Azure's own address is the default",
    "GPU_AGENT_IMAGE_VERSION": "the image knows its own version",
    "GPU_AGENT_MACHINE_BOOT_ID": "the machine is asked; for tests",
    "GPU_AGENT_STAGE_MIN_S": "slows the demo down",
    "GPU_AGENT_STORE_DIR": "stands for Azure Storage on a machine without it",
    "GPU_SWITCH_BOOTED_AT": "for tests on a machine that booted long ago",
}
"""Settings that a VM in Azure is not given, and why."""

FOR_THE_PLATFORM = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "AZUREWEBJOBSSTORAGE",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
}
FOR_GLIBC = {"MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_"}


def asked_by(*readers):
    environ = RecordingEnviron()
    for reader in readers:
        with pytest.raises((SettingsError, orchestrator.settings.SettingsError)):
            reader.from_environ(environ)
    return environ.asked


@pytest.fixture(name="resources", scope="module")
def _resources(terraform):
    """What the development environment plans with an image, by type; one each is enough here."""
    planned = terraform.planned("environments/dev", "has_one_vm_once_there_is_an_image")
    return {resource["type"]: resource["change"]["after"] for resource in planned}


@pytest.fixture(name="app_settings")
def _app_settings(resources):
    return resources["azurerm_function_app_flex_consumption"]["app_settings"]


@pytest.fixture(name="encoded")
def _encoded(resources):
    return resources["azurerm_linux_virtual_machine"]["user_data"]


@pytest.fixture(name="user_data")
def _user_data(encoded):
    return json.loads(base64.b64decode(encoded))


class TestAppSettings:
    def test_are_those_that_the_app_reads(self, app_settings):
        asked = asked_by(orchestrator.settings.Settings)

        told = app_settings.keys() - FOR_THE_PLATFORM - FOR_GLIBC
        assert told == asked - NOT_PRODUCED.keys()

    def test_are_accepted_by_the_app(self, app_settings):
        # The platform puts the vault's value in the place of a reference to it.
        reference = re.compile(r"@Microsoft\.KeyVault\(SecretUri=.*\)")
        given = {name: reference.sub("a-secret", value) for name, value in app_settings.items()}

        settings = orchestrator.settings.Settings.from_environ(given)

        assert given != app_settings
        assert [vm.agent_url for vm in settings.pool.candidates] == ["http://10.60.0.10:8470"]

    def test_are_the_documented_defaults_where_nobody_chose(self, app_settings):
        text = (ROOT / "docs" / "settings.md").read_text("utf-8")
        defaults = dict(re.findall(r"(?m)^\| `([A-Z0-9_]+)` \| `([^`]+)` \|", text))

        shared = app_settings.keys() & defaults.keys()

        assert len(shared) > 10
        assert {name: app_settings[name] for name in shared} == {
            name: defaults[name] for name in shared
        }


class TestUserData:
    def test_holds_what_agent_and_switch_read(self, user_data):
        asked = asked_by(gpu_agent.settings.Settings, gpu_agent.switch.settings.Settings)

        produced = user_data["settings"].keys() | user_data["secrets"].keys()
        assert produced == asked - NOT_PRODUCED.keys()

    def test_is_accepted_by_the_program_that_reads_it_at_boot(self, encoded):
        assert "GPU_AGENT_TOKEN" in read_user_data(encoded).secrets

    def test_is_accepted_by_agent_and_switch(self, user_data):
        environ = {**user_data["settings"], "GPU_AGENT_TOKEN": "token"}

        agent = gpu_agent.settings.Settings.from_environ(environ)
        switch = gpu_agent.switch.settings.Settings.from_environ(environ)

        assert switch.agent_url == f"http://{agent.host}:{agent.port}"

    def test_names_the_vm_and_its_agent_as_the_app_does(self, app_settings, user_data):
        candidate = json.loads(app_settings["GPU_VMS"])[0]

        assert user_data["settings"]["GPU_AGENT_VM_NAME"] == candidate["name"]
        assert candidate["agent_url"] == user_data["settings"]["GPU_SWITCH_AGENT_URL"]
