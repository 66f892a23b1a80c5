"""What the examination needs from outside. Every method raises `ProbeError` if it has no fact."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from coldforge.doctor.facts import (
    AgentAnswer,
    Budget,
    FoundVm,
    Grant,
    Host,
    PoolVm,
    Quota,
    Site,
    Size,
    WantedVm,
)


class AccountProbes(Protocol):
    """Looks at the subscription."""

    def measure_skew_s(self) -> float:
        """Tell how many seconds this machine's clock is ahead of Azure's; needs no login."""

    def log_in(self) -> str:
        """Get a token, and tell whose it is.

        Raises:
            NotLoggedInError: There is none to be had.
        """

    def read_subscription(self) -> str:
        """Read the state of the subscription, in Azure's word.

        Raises:
            NotThereError: This login does not see it.
        """

    def list_providers(self) -> Mapping[str, str]:
        """List the resource providers: namespace to registration state."""

    def list_sizes(self, region: str) -> Mapping[tuple[str, str], Size]:
        """List a region's VM sizes, by region and name in lower case."""

    def list_quotas(self, region: str) -> Mapping[tuple[str, str], Quota]:
        """List a region's quotas, by region and family in lower case."""

    def read_budget(self, budget_id: str) -> Budget:
        """Read a budget.

        Raises:
            NotThereError: There is no such budget.
        """

    def list_grants(self, scope: str, principals: Sequence[str]) -> Sequence[Grant]:
        """List the roles of some identities that hold on a scope, inherited ones included."""


class AppProbes(Protocol):
    """Looks at the function app and what it lives on."""

    def read_site(self) -> Site:
        """Read the app.

        Raises:
            NotThereError: There is no such app.
        """

    def read_settings(self) -> Mapping[str, str]:
        """Read the app's settings, secrets included."""

    def read_host(self) -> Host:
        """Read what the Functions host says of itself, through Azure Resource Manager."""

    def list_references(self) -> Mapping[str, str]:
        """List the settings that refer to a Key Vault: name to Azure's word for how it went."""

    def read_endpoints(self) -> Mapping[str, str]:
        """Read the storage account's endpoints, by service.

        Raises:
            NotThereError: There is no such account.
        """

    def list_containers(self, blob_url: str) -> frozenset[str]:
        """List the account's containers, with the identity of this login."""

    def list_tables(self, table_url: str) -> frozenset[str]:
        """List the account's tables, with the identity of this login."""

    def list_secrets(self, vault_id: str) -> frozenset[str]:
        """List the names of a Key Vault's enabled secrets, through Azure Resource Manager."""

    def read_secret(self, url: str) -> str:
        """Read a secret from its Key Vault, which may be closed to this machine's network."""

    def read_health(self) -> str:
        """Ask the app how it is: the code of what is wrong, empty if nothing is."""

    def read_pool(self) -> Mapping[str, PoolVm]:
        """Read the VMs as the app's pool sees them, by name."""

    def wake(self, limit_s: float) -> Mapping[str, PoolVm]:
        """Have the app wake one VM; give the pool when one is ready or the time is up."""


class MachineProbes(Protocol):
    """Looks at the GPU VMs."""

    def read_vm(self, vm: WantedVm) -> FoundVm | None:
        """Read a VM; None if it does not exist."""

    def knock(self, vm: WantedVm) -> AgentAnswer | None:
        """See whether anything listens where a VM's agent should; None if it does."""

    def ask_agent(self, vm: WantedVm, token: str) -> AgentAnswer:
        """Ask a VM's agent whether it is ready."""
