"""`AppProbes` on Azure Resource Manager, the storage SDKs and the app's own API."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from coldforge.doctor.deployment import Deployment
from coldforge.doctor.errors import NoAnswerError, ProbeError
from coldforge.doctor.facts import Host, PoolVm, Site
from coldforge.doctor.probes.rest import CONNECT_S, KEY_VAULT, READ_S, AzureRest, translate
from coldforge.doctor.rules.app import HEALTH_CODES
from coldforge.errors import ApiError, ColdforgeError
from coldforge.transport import Transport, read_json_object

_SITES = "2024-04-01"
_HOSTS = "2022-03-01"
_ACCOUNTS = "2023-05-01"
_VAULTS = "2023-07-01"
_SECRETS = "7.4"
_WAKE_POLL_S = 2.0
_PREWARM_S = 120.0
_SETTLED = frozenset({"broken", "no_capacity"})


class AzureAppProbes:
    """Looks at a function app. The contract is `AppProbes`."""

    def __init__(
        self,
        deployment: Deployment,
        credential: TokenCredential,
        rest: AzureRest,
        server: Transport,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deployment = deployment
        self._credential = credential
        self._rest = rest
        self._server = server
        self._sleep = sleep
        self._clock = clock

    def read_site(self) -> Site:
        """See `AppProbes.read_site`."""
        body = self._rest.read(self._deployment.app_id, version=_SITES)
        return Site(
            state=str(body.get("properties", {}).get("state", "")),
            principals=principals_of(body.get("identity")),
        )

    def read_settings(self) -> Mapping[str, str]:
        """See `AppProbes.read_settings`."""
        path = f"{self._deployment.app_id}/config/appsettings/list"
        body = self._rest.read(path, version=_SITES, method="POST")
        return {name: str(value) for name, value in (body.get("properties") or {}).items()}

    def read_host(self) -> Host:
        """See `AppProbes.read_host`."""
        path = f"{self._deployment.app_id}/hostruntime/admin/host/status"
        body = self._rest.read(path, version=_HOSTS)
        return Host(
            state=str(body.get("state", "")),
            errors=tuple(str(one) for one in body.get("errors") or ()),
        )

    def list_references(self) -> Mapping[str, str]:
        """See `AppProbes.list_references`."""
        path = f"{self._deployment.app_id}/config/configreferences/appsettings"
        return {
            str(one["name"]): str(one["properties"].get("status", ""))
            for one in self._rest.list(path, version=_SITES)
        }

    def read_endpoints(self) -> Mapping[str, str]:
        """See `AppProbes.read_endpoints`."""
        body = self._rest.read(self._deployment.storage_account_id, version=_ACCOUNTS)
        endpoints: dict[str, str] = body["properties"]["primaryEndpoints"]
        return endpoints

    def list_containers(self, blob_url: str) -> frozenset[str]:
        """See `AppProbes.list_containers`."""
        with BlobServiceClient(blob_url, credential=self._credential, **_limits()) as service:
            try:
                return frozenset(str(one.name) for one in service.list_containers())
            except AzureError as error:
                raise translate(error, blob_url) from error

    def list_tables(self, table_url: str) -> frozenset[str]:
        """See `AppProbes.list_tables`."""
        with TableServiceClient(
            endpoint=table_url, credential=self._credential, **_limits()
        ) as service:
            try:
                return frozenset(str(one.name) for one in service.list_tables())
            except AzureError as error:
                raise translate(error, table_url) from error

    def list_secrets(self, vault_id: str) -> frozenset[str]:
        """See `AppProbes.list_secrets`."""
        return frozenset(
            str(one["name"])
            for one in self._rest.list(f"{vault_id}/secrets", version=_VAULTS)
            if (one["properties"].get("attributes") or {}).get("enabled", True)
        )

    def read_secret(self, url: str) -> str:
        """See `AppProbes.read_secret`."""
        parts = urlsplit(url)
        vault = AzureRest(self._credential, f"{parts.scheme}://{parts.netloc}", scope=KEY_VAULT)
        return str(vault.read(parts.path.rstrip("/"), version=_SECRETS)["value"])

    def read_health(self) -> str:
        """See `AppProbes.read_health`."""
        try:
            with self._server.send("GET", "/api/health"):
                return ""
        except ApiError as error:
            if error.code in HEALTH_CODES:
                return error.code
            raise ProbeError(f"/api/health answered {error.status}: {error.message}") from error
        except ColdforgeError as error:
            raise NoAnswerError(error.message) from error

    def read_pool(self) -> Mapping[str, PoolVm]:
        """See `AppProbes.read_pool`."""
        return {
            str(vm["name"]): PoolVm(
                name=str(vm["name"]),
                phase=str(vm.get("phase", "")),
                reason=str(vm.get("reason") or vm.get("why") or ""),
            )
            for vm in self._call("GET", "/api/pool").get("vms") or ()
        }

    def wake(self, limit_s: float) -> Mapping[str, PoolVm]:
        """See `AppProbes.wake`.

        The VM is asked for again and again for a short time, so that it does not stay up for long
        if this program is ended meanwhile.
        """
        deadline = self._clock() + limit_s
        asked_at = -math.inf
        while True:
            if self._clock() >= asked_at + _PREWARM_S / 2:
                self._prewarm(1, _PREWARM_S)
                asked_at = self._clock()
            pool = self.read_pool()
            phases = {vm.phase for vm in pool.values()}
            is_over = "ready" in phases or phases <= _SETTLED
            if is_over or self._clock() >= deadline:
                # From here on the pool's idle window decides when the VM stops.
                self._prewarm(0, 1.0)
                return pool
            self._sleep(_WAKE_POLL_S)

    def _prewarm(self, vms: int, for_s: float) -> None:
        self._call("POST", "/api/pool/prewarm", {"vms": vms, "for_s": for_s})

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        url = self._deployment.app_url
        try:
            with self._server.send(method, path, json=body) as response:
                return read_json_object(response)
        except ApiError as error:
            raise ProbeError(f"{url}{path} answered {error.status}: {error.message}") from error
        except ColdforgeError as error:
            raise NoAnswerError(error.message) from error


def principals_of(identity: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the object ids of a resource's identities, user-assigned ones first."""
    identity = identity or {}
    assigned = identity.get("userAssignedIdentities") or {}
    found = [one.get("principalId") for one in assigned.values()]
    return tuple(str(one) for one in [*found, identity.get("principalId")] if one)


def _limits() -> dict[str, Any]:
    return {"retry_total": 0, "connection_timeout": CONNECT_S, "read_timeout": READ_S}
