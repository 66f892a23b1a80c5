"""What a deployment has besides its VMs, as values: app, storage account, Key Vault, budget."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from localcloud.arm.identity import TENANT_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """The resources around the VMs; those of Azure that are asked about, not run.

    Attributes:
        resource_group: In which all of them are.
        location: Where they are.
        app: Name of the function app.
        app_host: Host and port under which it answers.
        settings: The app's settings.
        storage: Name of the storage account.
        endpoints: Its endpoints, by service.
        vault: Name of the Key Vault.
        secrets: Its secrets' values, by name.
        budget: Name of the budget.
        budget_amount: Its amount, in USD a month.
        vcpus: Quota of each VM family, in vCPUs.
    """

    resource_group: str
    location: str
    app: str
    app_host: str
    settings: Mapping[str, str] = field(repr=False)
    storage: str
    endpoints: Mapping[str, str]
    vault: str
    secrets: Mapping[str, str] = field(repr=False)
    budget: str = "monthly"
    budget_amount: float = 100.0
    vcpus: int = 96

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read it from the file of the VMs.

        Raises:
            TypeError: Something is absent, or not known.
        """
        return cls(**body)

    def group_id(self, subscription_id: str) -> str:
        """Return the id of the resource group."""
        return f"/subscriptions/{subscription_id}/resourceGroups/{self.resource_group}"

    def app_id(self, subscription_id: str) -> str:
        """Return the id of the function app."""
        return f"{self.group_id(subscription_id)}/providers/Microsoft.Web/sites/{self.app}"

    def storage_id(self, subscription_id: str) -> str:
        """Return the id of the storage account."""
        return (
            f"{self.group_id(subscription_id)}/providers/Microsoft.Storage/storageAccounts/"
            f"{self.storage}"
        )

    def budget_id(self, subscription_id: str) -> str:
        """Return the id of the budget, which is the subscription's, as Terraform makes it."""
        return (
            f"/subscriptions/{subscription_id}/providers/Microsoft.Consumption/budgets/"
            f"{self.budget}"
        )

    def vault_id(self, subscription_id: str) -> str:
        """Return the id of the Key Vault."""
        return f"{self.group_id(subscription_id)}/providers/Microsoft.KeyVault/vaults/{self.vault}"


def principal_of(subject: str) -> str:
    """Return the object id of an identity: the app's, or a VM's by its name."""
    return str(uuid.uuid5(uuid.UUID(TENANT_ID), f"principal of {subject}"))


APP_SUBJECT = "function-app"
"""Whose the app's identity is."""
