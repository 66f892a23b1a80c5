"""Writes secrets into the Key Vault, through Azure Resource Manager.

Not by Terraform, whose state can be read; and not by the vault's own door, which is closed to all
networks but the deployment's. What is there is never read here: nobody who deploys needs it.
"""

import json
import math
import os
import secrets
import tempfile
from pathlib import Path

from infra.deploy.tools import Tools

TOKENS = ("gpu-agent-token", "gpu-agent-token-other")
"""Agents accept both; the app shows one of them."""
API = "2023-07-01"


class Vault:
    """A Key Vault, seen through Azure Resource Manager."""

    def __init__(self, tools: Tools, vault_id: str) -> None:
        self._tools = tools
        self._url = f"https://management.azure.com{vault_id}/secrets"

    def list_drawn(self) -> dict[str, float]:
        """List the secrets: name, and the Unix time of the newest version.

        Raises:
            DeployError: az can't.
        """
        drawn, url = dict[str, float](), f"{self._url}?api-version={API}"
        while url:
            page = json.loads(self._tools.read(["az", "rest", "--method", "get", "--url", url]))
            for one in page.get("value") or ():
                attributes = (one.get("properties") or {}).get("attributes") or {}
                drawn[str(one["name"])] = float(attributes.get("updated") or math.inf)
            url = page.get("nextLink") or ""
        return drawn

    def write_token(self, name: str) -> None:
        """Draw a new token for the agents and make it the newest version of a secret.

        Args:
            name: One of `TOKENS`.

        Raises:
            DeployError: az can't.
        """
        body = {"properties": {"value": secrets.token_urlsafe(48)}}
        # A command line can be read by everybody on this machine; this file by its owner alone.
        descriptor, path = tempfile.mkstemp(suffix=".json")
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(body, file)
            url = f"{self._url}/{name}?api-version={API}"
            answer = ["--output", "none", "--body", f"@{path}"]
            self._tools.read(["az", "rest", "--method", "put", "--url", url, *answer])
        finally:
            Path(path).unlink(missing_ok=True)
