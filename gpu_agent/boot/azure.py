"""Azure as a VM meets it when it boots: the instance metadata service, then Key Vault."""

from collections.abc import Mapping

import requests  # noqa: TID251 - a program without adapters
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.identity import ManagedIdentityCredential  # noqa: TID251
from azure.keyvault.secrets import KeyVaultSecretIdentifier, SecretClient

from gpu_agent.boot.errors import MetadataError, VaultError

TIMEOUT_S = (2.0, 20.0)
"""Seconds to connect, and to wait for an answer."""

_USER_DATA_VERSION = "2021-01-01"
_MAY_BE_ABSENT = frozenset({"GPU_AGENT_TOKEN_PREVIOUS"})
"""An agent can do with one token."""


def fetch_user_data(imds_url: str) -> str:
    """Give the VM's user data, in base64; empty where it has none.

    Raises:
        MetadataError: No answer, or not this one.
    """
    with requests.Session() as session:
        # It answers on the machine itself and must be asked without a proxy.
        session.trust_env = False
        try:
            answer = session.get(
                f"{imds_url}/metadata/instance/compute/userData",
                params={"api-version": _USER_DATA_VERSION, "format": "text"},
                headers={"Metadata": "true"},
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise MetadataError(f"no user data ({type(error).__name__})") from error
    if answer.status_code != 200:
        raise MetadataError(f"the metadata service answers {answer.status_code}")
    return answer.text


def fetch_secrets(urls: Mapping[str, str], client_id: str | None) -> dict[str, str]:
    """Give the newest version of each secret, or the one that its URL names.

    Args:
        urls: Names of variables and their secrets' URLs.
        client_id: Which managed identity, or None for the machine's only one.

    Returns:
        By name of variable; without a second token where there is none.

    Raises:
        VaultError: Names the secret and Azure's word for the refusal.
    """
    found = {}
    with ManagedIdentityCredential(client_id=client_id) as credential:
        for name, url in urls.items():
            value = _fetch_secret(name, url, credential)
            if value is not None:
                found[name] = value
    return found


def _fetch_secret(name: str, url: str, credential: ManagedIdentityCredential) -> str | None:
    address = KeyVaultSecretIdentifier(url)
    try:
        # Who calls this tries again by itself; the client would heed a Retry-After of any length.
        with SecretClient(address.vault_url, credential, retry_total=0) as client:
            secret = client.get_secret(address.name, address.version)
    except ResourceNotFoundError as error:
        if name in _MAY_BE_ABSENT:
            return None
        raise VaultError(f"there is no secret {url}") from error
    except AzureError as error:
        code = getattr(getattr(error, "error", None), "code", None) or type(error).__name__
        if isinstance(error, HttpResponseError) and error.status_code == 403:
            raise VaultError(
                f"this VM may not read {url} ({code}): its roles are given after it is made, by "
                "make apply or infra/terraform/roles, and take minutes to work"
            ) from error
        raise VaultError(f"no answer to {url}: {code}") from error
    if not secret.value or not secret.value.isprintable():
        raise VaultError(f"{url} holds no text of one line")
    return str(secret.value)
