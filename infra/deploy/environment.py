"""One environment: its Terraform, what that gave out, and its app."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldforge.client import Client
from coldforge.errors import ColdforgeError
from infra.deploy.errors import NotReadyError, RefusedError, ToolFailedError
from infra.deploy.guards import Resource
from infra.deploy.images import read_wanted_images
from infra.deploy.tools import Tools

PoolReader = Callable[[str, str], Mapping[str, Any]]
"""Given the app's URL and a function key, what ``GET /api/pool`` answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What Terraform gave out of an environment, in its output ``coldforge``.

    Attributes:
        raw: All of it.
    """

    raw: Mapping[str, Any]

    @property
    def app_name(self) -> str:
        """Name of the function app."""
        return str(self.raw["app"]["name"])

    @property
    def app_url(self) -> str:
        """Where it answers."""
        return str(self.raw["app"]["url"])

    @property
    def resource_group(self) -> str:
        """Of everything but the VMs."""
        return str(self.raw["resource_group_name"])

    @property
    def vault_id(self) -> str:
        """Of the Key Vault."""
        return str(self.raw["vault"]["id"])

    @property
    def longest_uptime_s(self) -> float:
        """After how many seconds the switch ends a VM; by the module, a week at most."""
        return float(self.raw.get("longest_uptime_s") or 604800)

    @property
    def subscription_id(self) -> str:
        """In which all of it is."""
        return str(self.raw["app"]["id"]).split("/")[2]


class Environment:
    """A folder of ``infra/terraform/environments``."""

    def __init__(self, root: Path, name: str, tools: Tools, read_pool: PoolReader) -> None:
        """Use an environment.

        Args:
            root: Of the checkout.
            name: Of its folder.
            tools: Runs programs.
            read_pool: Asks the app.

        Raises:
            RefusedError: There is no such environment.
        """
        folders = root / "infra" / "terraform" / "environments"
        self.name = name
        self.folder = folders / name
        self.tools = tools
        self._read_pool = read_pool
        if not name or not self.folder.is_dir():
            known = sorted(one.name for one in folders.iterdir() if one.is_dir())
            raise RefusedError(f"Name an environment: ENV={' or ENV='.join(known)}.")

    def terraform(self, *arguments: str) -> None:
        """Run Terraform for the terminal."""
        self.tools.show(["terraform", f"-chdir={self.folder}", *arguments])

    def read_terraform(self, *arguments: str) -> Any:
        """Run Terraform and return the JSON that it prints."""
        return json.loads(self.tools.read(["terraform", f"-chdir={self.folder}", *arguments]))

    def read_outputs(self) -> Outputs:
        """Read what Terraform gave out.

        Raises:
            NotReadyError: Nothing was applied yet.
        """
        try:
            return Outputs(raw=self.read_terraform("output", "-json", "coldforge"))
        except ToolFailedError as error:
            raise NotReadyError(
                f"Nothing of {self.name} was applied yet: make plan ENV={self.name}, then "
                f"make apply ENV={self.name} ({str(error).splitlines()[-1]})"
            ) from error

    def read_key(self, outputs: Outputs) -> str | None:
        """Read the app's function key; None if az may not or there is none yet."""
        try:
            return self.tools.read(
                [
                    *("az", "functionapp", "keys", "list", "--name", outputs.app_name),
                    *("--resource-group", outputs.resource_group),
                    *("--query", "functionKeys.default", "--output", "tsv"),
                ]
            ).strip()
        except ToolFailedError:
            return None

    def read_setting(self, outputs: Outputs, name: str) -> str:
        """Read one of the app's settings; a reference to a secret as it stands.

        Raises:
            DeployError: az can't.
        """
        asked = ["--query", f"[?name=='{name}'].value | [0]", "--output", "tsv"]
        return self.tools.read([*self._settings("list", outputs), *asked]).strip()

    def write_setting(self, outputs: Outputs, name: str, value: str) -> None:
        """Change one of the app's settings, which starts it again. No secret: others can see it.

        Raises:
            DeployError: az can't.
        """
        given = ["--settings", f"{name}={value}", "--output", "none"]
        self.tools.show([*self._settings("set", outputs), *given])

    def _settings(self, verb: str, outputs: Outputs) -> list[str]:
        app = ["--resource-group", outputs.resource_group, "--name", outputs.app_name]
        return ["az", "functionapp", "config", "appsettings", verb, *app]

    def read_pool(self, outputs: Outputs) -> Mapping[str, Any] | None:
        """Read the app's pool; None if it does not answer."""
        key = self.read_key(outputs)
        if not key:
            return None
        try:
            return self._read_pool(outputs.app_url, key)
        except ColdforgeError:
            return None

    def list_resources(self, group: str) -> list[Resource]:
        """List the resources of a resource group."""
        listed = json.loads(
            self.tools.read(
                ["az", "resource", "list", "--resource-group", group, "--output", "json"]
            )
        )
        return [
            Resource(id=one["id"], type=one["type"], managed_by=one.get("managedBy") or "")
            for one in listed
        ]

    def read_wanted_images(self) -> frozenset[str]:
        """Read the image versions that the environment's VMs are to be made from."""
        return read_wanted_images(self.folder, os.environ)

    def list_images(self, outputs: Outputs) -> frozenset[str]:
        """List the image versions that were published.

        Raises:
            DeployError: az can't.
        """
        image = outputs.raw["image"]
        listed = self.tools.read(
            [
                *("az", "sig", "image-version", "list"),
                *("--resource-group", image["resource_group_name"]),
                *("--gallery-name", image["gallery_name"]),
                *("--gallery-image-definition", image["name"]),
                *("--query", "[].name", "--output", "json"),
            ]
        )
        return frozenset(json.loads(listed))

    def check_login(self, outputs: Outputs) -> None:
        """See that az is logged in to the subscription of the environment.

        Raises:
            RefusedError: It is logged in to another one.
            ToolFailedError: It is not logged in.
        """
        query = ["--query", "id", "--output", "tsv"]
        current = self.tools.read(["az", "account", "show", *query]).strip()
        if current.lower() != outputs.subscription_id.lower():
            raise RefusedError(
                f"az is logged in to the subscription {current}, {self.name} is in "
                f"{outputs.subscription_id}: az account set -s {outputs.subscription_id}"
            )


def ask_pool(url: str, key: str) -> Mapping[str, Any]:
    """Ask an app for its pool.

    Raises:
        ColdforgeError: It does not answer.
    """
    with Client(url, key=key, outage_limit_s=20.0) as client:
        return client.pool()
