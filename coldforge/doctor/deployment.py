"""Where a deployment is: the file that Terraform's output ``doctor`` is written to. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from coldforge.doctor.errors import DeploymentError

_REQUIRED = ("subscription_id", "app_id", "app_url", "storage_account_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What has to be known to find all the rest.

    Attributes:
        subscription_id: Of the GPU VMs.
        app_id: Resource id of the function app.
        app_url: Where the app answers, without ``/api``.
        storage_account_id: Resource id of the app's storage account.
        key_vault_id: Resource id of the Key Vault; empty: there is none.
        key_vault_url: Where it answers.
        image_versions: The image version that each VM should have, by name of the VM.
        arm_url: Azure Resource Manager.
    """

    subscription_id: str
    app_id: str
    app_url: str
    storage_account_id: str
    key_vault_id: str = ""
    key_vault_url: str = ""
    image_versions: Mapping[str, str] = field(default_factory=dict)
    arm_url: str = "https://management.azure.com"

    @property
    def group_id(self) -> str:
        """Resource id of the app's resource group, which has the budget."""
        return self.app_id.lower().split("/providers/")[0]

    def at(self, app_url: str) -> Self:
        """Return the same deployment, reached at another address."""
        return replace(self, app_url=app_url.rstrip("/").removesuffix("/api"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the file.

        Raises:
            DeploymentError: It is no JSON object, or lacks something, or has something unknown.
        """
        try:
            body = json.loads(text)
        except ValueError as error:
            raise DeploymentError(f"The deployment's file is no JSON: {error}.") from error
        if not isinstance(body, dict):
            raise DeploymentError("The deployment's file must hold a JSON object.")
        # `terraform output -json` without a name wraps every value.
        if isinstance(body.get("doctor"), dict) and "value" in body["doctor"]:
            body = body["doctor"]["value"]
        return cls(**_checked(body, set(cls.__dataclass_fields__)))


def _checked(body: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    missing = [name for name in _REQUIRED if not body.get(name)]
    unknown = sorted(set(body) - known)
    complaints = [f"{', '.join(missing)} must be set"] if missing else []
    complaints += [f"{', '.join(unknown)} is not known"] if unknown else []
    versions = body.get("image_versions") or {}
    if not isinstance(versions, dict):
        complaints.append("image_versions must be an object")
    if complaints:
        raise DeploymentError(f"The deployment's file can't be used: {'; '.join(complaints)}.")
    given = {name: value for name, value in body.items() if value is not None}
    return {
        **{name: str(value).rstrip("/") for name, value in given.items()},
        "image_versions": {str(vm): str(version) for vm, version in versions.items()},
    }
