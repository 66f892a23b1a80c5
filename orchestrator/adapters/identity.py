"""The managed identity that everything here speaks as. No key, no connection string."""

from azure.core.credentials import TokenCredential
from azure.identity import ManagedIdentityCredential


def managed_identity(client_id: str) -> TokenCredential:
    """Give the credential.

    Args:
        client_id: Of a user-assigned identity; empty for the system-assigned one.
    """
    credential: TokenCredential = (
        ManagedIdentityCredential(client_id=client_id)
        if client_id
        else ManagedIdentityCredential()
    )
    return credential
