"""`AccountProbes` on Azure Resource Manager."""

import base64
import binascii
import email.utils
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.mgmt.compute import ComputeManagementClient

from coldforge.doctor.deployment import Deployment
from coldforge.doctor.errors import NoAnswerError, NotLoggedInError
from coldforge.doctor.facts import Budget, Grant, Quota, Size
from coldforge.doctor.probes.rest import CONNECT_S, MANAGEMENT, READ_S, AzureRest, translate
from coldforge.loopback import DirectSession

_SUBSCRIPTIONS = "2022-12-01"
_PROVIDERS = "2021-04-01"
_ROLES = "2022-04-01"
_BUDGETS = "2023-05-01"


class AzureAccountProbes:
    """Looks at a subscription. The contract is `AccountProbes`."""

    def __init__(
        self,
        deployment: Deployment,
        credential: TokenCredential,
        rest: AzureRest,
        compute: ComputeManagementClient,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._deployment = deployment
        self._subscription = f"/subscriptions/{deployment.subscription_id}"
        self._credential = credential
        self._rest = rest
        self._compute = compute
        self._now = now

    def measure_skew_s(self) -> float:
        """See `AccountProbes.measure_skew_s`: the header ``Date`` of an answer, here a 401."""
        url = f"{self._deployment.arm_url}{self._subscription}"
        asked_at = self._now()
        try:
            with DirectSession() as session:
                answer = session.get(
                    url, params={"api-version": _SUBSCRIPTIONS}, timeout=(CONNECT_S, READ_S)
                )
            theirs = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except requests.RequestException as error:
            raise NoAnswerError(
                f"{self._deployment.arm_url} can't be reached ({type(error).__name__})"
            ) from error
        except (KeyError, ValueError) as error:
            raise NoAnswerError(f"{self._deployment.arm_url} gives no date") from error
        # The header is cut to whole seconds, and the answer took its time.
        return (asked_at + self._now()) / 2 - (theirs + 0.5)

    def log_in(self) -> str:
        """See `AccountProbes.log_in`."""
        try:
            token = self._credential.get_token(MANAGEMENT).token
        except ClientAuthenticationError as error:
            # The SDK's own message repeats headers, and with them secrets.
            raise NotLoggedInError(
                "neither its environment, nor a managed identity, nor az, nor azd gave a token"
            ) from error
        except AzureError as error:
            raise translate(error, "the identity service") from error
        claims = _claims(token)
        return str(claims.get("upn") or claims.get("appid") or "somebody")

    def read_subscription(self) -> str:
        """See `AccountProbes.read_subscription`."""
        # One of the local cloud is not listed: it has nothing but its resources.
        return str(self._rest.read(self._subscription, version=_SUBSCRIPTIONS).get("state", ""))

    def list_providers(self) -> Mapping[str, str]:
        """See `AccountProbes.list_providers`."""
        listed = self._rest.list(f"{self._subscription}/providers", version=_PROVIDERS)
        return {one["namespace"]: one.get("registrationState", "") for one in listed}

    def list_sizes(self, region: str) -> Mapping[tuple[str, str], Size]:
        """See `AccountProbes.list_sizes`."""
        try:
            listed = list(self._compute.resource_skus.list(filter=f"location eq '{region}'"))
        except AzureError as error:
            raise translate(error, "Azure") from error
        return {
            (region.lower(), sku.name.lower()): _read_size(sku, region)
            for sku in listed
            if sku.resource_type == "virtualMachines" and sku.name
        }

    def list_quotas(self, region: str) -> Mapping[tuple[str, str], Quota]:
        """See `AccountProbes.list_quotas`."""
        try:
            listed = list(self._compute.usage.list(region))
        except AzureError as error:
            raise translate(error, "Azure") from error
        return {
            (region.lower(), one.name.value.lower()): Quota(
                family=one.name.value, used=one.current_value, limit=one.limit
            )
            for one in listed
        }

    def read_budget(self, budget_id: str) -> Budget:
        """See `AccountProbes.read_budget`."""
        one = self._rest.read(budget_id, version=_BUDGETS)
        return Budget(
            name=one["name"],
            amount=float(one["properties"]["amount"]),
            spent=float((one["properties"].get("currentSpend") or {}).get("amount", 0.0)),
        )

    def list_grants(self, scope: str, principals: Sequence[str]) -> Sequence[Grant]:
        """See `AccountProbes.list_grants`."""
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments"
        grants = []
        for principal in principals:
            # Of groups that the identity is in, too, which a filter on principalId leaves out.
            asked = {"$filter": f"assignedTo('{principal}')"}
            for one in self._rest.list(path, version=_ROLES, **asked):
                properties = one["properties"]
                role = self._rest.read(properties["roleDefinitionId"], version=_ROLES)
                grants += [
                    Grant(
                        scope=properties["scope"],
                        actions=tuple(allowed.get("actions") or ()),
                        not_actions=tuple(allowed.get("notActions") or ()),
                        data_actions=tuple(allowed.get("dataActions") or ()),
                        not_data_actions=tuple(allowed.get("notDataActions") or ()),
                    )
                    for allowed in role["properties"]["permissions"]
                ]
        return grants


def _read_size(sku: Any, region: str) -> Size:
    capabilities = {one.name: one.value for one in sku.capabilities or ()}
    zones = {
        zone
        for info in sku.location_info or ()
        if (info.location or "").lower() == region.lower()
        for zone in info.zones or ()
    }
    closed = [one for one in sku.restrictions or () if _kind(one.type) == "location"]
    closed_zones = {
        zone
        for one in sku.restrictions or ()
        if _kind(one.type) == "zone" and one.restriction_info is not None
        for zone in one.restriction_info.zones or ()
    }
    return Size(
        name=sku.name,
        family=sku.family or "",
        vcpus=int(capabilities.get("vCPUs", "0")),
        region_restricted=_text(closed[0].reason_code) if closed else "",
        zones=frozenset(zones),
        restricted_zones=frozenset(closed_zones),
    )


def _kind(value: Any) -> str:
    return _text(value).lower()


def _text(value: Any) -> str:
    return str(getattr(value, "value", value) or "restricted")


def _claims(token: str) -> dict[str, Any]:
    """Read what a token says of its bearer; nobody relies on it, so it is not verified."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
