"""Writes secrets into the Key Vault, through Azure Resource Manager.

Not by Terraform, whose state can be read; and not by the vault's own door, which is closed to all
networks but the deployment's. What is there is never read here: nobody who deploys needs it.
"""

import json
import os
import secrets
import tempfile
from pathlib import Path

from infra.deploy.tools import Tools

TOKEN = "gpu-agent-token"  # noqa: S105 - its name
API = "2023-07-01"


class Vault:
    """A Key Vault, seen through Azure Resource Manager."""

    def __init__(self, tools: Tools, vault_id: str) -> None:
        self._tools = tools
        self._url = f"https://management.azure.com{vault_id}/secrets"

    def list_names(self) -> set[str]:
        """List the secrets' names.

        Raises:
            DeployError: az can't.
        """
        names, url = set[str](), f"{self._url}?api-version={API}"
        while url:
            page = json.loads(self._tools.read(["az", "rest", "--method", "get", "--url", url]))
            names |= {str(one["name"]) for one in page.get("value") or ()}
            url = page.get("nextLink") or ""
        return names

    def write_token(self) -> None:
        """Draw a new token for the agents and make it the newest version.

        Raises:
            DeployError: az can't.
        """
        body = {"properties": {"value": secrets.token_urlsafe(48)}}
        # A command line can be read by everybody on this machine; this file by its owner alone.
        descriptor, name = tempfile.mkstemp(suffix=".json")
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(body, file)
            url = f"{self._url}/{TOKEN}?api-version={API}"
            answer = ["--output", "none", "--body", f"@{name}"]
            self._tools.read(["az", "rest", "--method", "put", "--url", url, *answer])
        finally:
            Path(name).unlink(missing_ok=True)
