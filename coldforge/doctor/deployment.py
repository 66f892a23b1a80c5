"""Where a deployment is: a file of its own form, or Terraform's output ``coldforge``. Pure."""

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
        budget_id: Resource id of the budget; empty: there is none.
        image_versions: The image version that each VM should have, by name of the VM.
        arm_url: Azure Resource Manager.
    """

    subscription_id: str
    app_id: str
    app_url: str
    storage_account_id: str
    key_vault_id: str = ""
    budget_id: str = ""
    image_versions: Mapping[str, str] = field(default_factory=dict)
    arm_url: str = "https://management.azure.com"

    @property
    def jobs_container_id(self) -> str:
        """Resource id of the container that the agents read from and write to."""
        return f"{self.storage_account_id}/blobServices/default/containers/jobs"

    def at(self, app_url: str) -> Self:
        """Return the same deployment, reached at another address."""
        return replace(self, app_url=app_url.rstrip("/").removesuffix("/api"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the file.

        Raises:
            DeploymentError: It is not a JSON object, or a field is missing or unknown.
        """
        try:
            body = json.loads(text)
        except ValueError as error:
            raise DeploymentError(f"The deployment's file is not valid JSON: {error}.") from error
        if not isinstance(body, dict):
            raise DeploymentError("The deployment's file must hold a JSON object.")
        if "roles_input" in body:
            body = _from_terraform(body)
        return cls(**_checked(body, set(cls.__dataclass_fields__)))


def _from_terraform(output: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's own form of an environment's output `coldforge`.

    Raises:
        DeploymentError: It lacks a part.
    """
    try:
        app_id = str(output["app"]["id"])
        subscription_id = app_id.split("/")[2]
        return {
            "subscription_id": subscription_id,
            "app_id": app_id,
            "app_url": output["app"]["url"],
            "storage_account_id": output["roles_input"]["scopes"]["storage_account"],
            "key_vault_id": output["vault"]["id"],
            "budget_id": f"/subscriptions/{subscription_id}/providers/Microsoft.Consumption/"
            f"budgets/{output['roles_input']['name']}-budget",
            "image_versions": output.get("image_versions") or {},
        }
    except (KeyError, TypeError, IndexError) as error:
        raise DeploymentError(
            f"Terraform's output `coldforge` lacks {error}: apply it again with this version."
        ) from error


def _checked(body: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    missing = [name for name in _REQUIRED if not body.get(name)]
    unknown = sorted(set(body) - known)
    complaints = [f"{', '.join(missing)} must be set"] if missing else []
    if unknown:
        allowed = ", ".join(sorted(known))
        complaints.append(f"unknown: {', '.join(unknown)} (allowed: {allowed})")
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
