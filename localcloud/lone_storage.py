"""Azurite by itself, with the SDK's clients of it: for what needs storage and nothing else."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from azure.core.credentials import AccessToken
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from localcloud.arm.identity import TokenIssuer
from localcloud.blueprint import base_environ
from localcloud.certificate import Certificate
from localcloud.ports import choose_free_ports
from localcloud.storage import blob_url, build_storage, table_url

VALID_S = 3600


class SignedTokens:
    """Tokens that the emulator takes for Entra ID's, as it checks claims and no signature."""

    def __init__(self, folder: Path) -> None:
        """Keep the signing key in a folder."""
        self._issuer = TokenIssuer(folder / "key.pem")

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """Issue a token for the first scope."""
        now = time.time()
        token = self._issuer.issue(
            resource=scopes[0].removesuffix("/.default"), subject="app", client_id="app", now=now
        )
        return AccessToken(token, int(now) + VALID_S)


class LoneStorage(NamedTuple):
    """Clients of the emulator, as the function app builds them."""

    blobs: BlobServiceClient
    tables: TableServiceClient
    certificate: Certificate


@contextmanager
def run_lone_storage(folder: Path, certificate: Certificate) -> Iterator[LoneStorage]:
    """Run the emulator over https, in memory, without account keys; nothing is created in it.

    Args:
        folder: For its log and the signing key.
        certificate: What it shows.
    """
    ports = choose_free_ports(3)
    component = build_storage(
        ports=(ports[0], ports[1], ports[2]),
        data=None,
        certificate=certificate,
        environ=base_environ(os.environ, certificate),
        log=folder / "log",
    )
    options: dict[str, Any] = {
        "credential": SignedTokens(folder),
        "connection_verify": str(certificate.bundle),
        "use_env_settings": False,
    }
    try:
        component.start()
        component.wait_until_ready()
        with (
            BlobServiceClient(blob_url(ports[0]), **options) as blobs,
            TableServiceClient(endpoint=table_url(ports[1]), **options) as tables,
        ):
            yield LoneStorage(blobs, tables, certificate)
    finally:
        component.stop()
