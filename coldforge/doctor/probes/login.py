"""The credentials that this machine may have, in the order in which they are tried."""

import os

from azure.core.credentials import TokenCredential
from azure.identity import (
    AzureCliCredential,
    AzureDeveloperCliCredential,
    ChainedTokenCredential,
    EnvironmentCredential,
    ManagedIdentityCredential,
)

TIMEOUT_S = 20


def open_credential() -> TokenCredential:
    """Return the credential of this machine: environment, managed identity, or a CLI's login.

    Unlike DefaultAzureCredential it does not look for a VM's identity service on a laptop, which
    would only time out there.
    """
    chain: list[TokenCredential] = [EnvironmentCredential()]
    if "IDENTITY_ENDPOINT" in os.environ or "AZURE_POD_IDENTITY_AUTHORITY_HOST" in os.environ:
        chain.append(ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID")))
    chain += [
        AzureCliCredential(process_timeout=TIMEOUT_S),
        AzureDeveloperCliCredential(process_timeout=TIMEOUT_S),
    ]
    return ChainedTokenCredential(*chain)
