"""The identity services: each VM's instance metadata, and App Service's token endpoint.

Plain HTTP, as in Azure. A VM's service stands under ``/vm/{name}``, where
``AZURE_POD_IDENTITY_AUTHORITY_HOST`` sends the agent.
"""

import hmac
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from localcloud.arm.identity import TENANT_ID, TOKEN_LIFE_S, TokenIssuer
from localcloud.arm.settings import VmSpec


class IdentityRoutes:
    """Answers those who ask who they are."""

    def __init__(
        self,
        vms: Mapping[str, VmSpec],
        issuer: TokenIssuer,
        *,
        subscription_id: str,
        identity_header: str,
        clock: Callable[[], float],
    ) -> None:
        """Answer for some VMs and one function app.

        Args:
            vms: By name.
            issuer: Signs the tokens.
            subscription_id: Whose the VMs are.
            identity_header: What the function app must send; if empty, anything will do.
            clock: Gives epoch seconds.
        """
        self._vms = {name.lower(): spec for name, spec in vms.items()}
        self._issuer = issuer
        self._subscription_id = subscription_id
        self._identity_header = identity_header
        self._clock = clock

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/vm/{vm}/metadata/identity/oauth2/token", self.give_vm_token)
        app.router.add_get("/vm/{vm}/metadata/instance", self.describe_instance)
        app.router.add_get("/vm/{vm}/metadata/scheduledevents", self.list_events)
        app.router.add_get("/msi/token", self.give_app_token)

    async def give_vm_token(self, request: web.Request) -> web.Response:
        """Give a VM's identity a token."""
        spec = self._find_vm(request)
        if refusal := _find_imds_refusal(request):
            return refusal
        if not request.query.get("resource"):
            return _refuse("invalid_request", "Required query variable 'resource' is missing")
        resource_id = spec.resource_id(self._subscription_id)
        return self._give_token(request, subject=spec.name, bearer_id=resource_id)

    async def give_app_token(self, request: web.Request) -> web.Response:
        """Give the function app's identity a token, in App Service's shape."""
        given = request.headers.get("X-IDENTITY-HEADER", "")
        expected = self._identity_header or given
        if not given or not hmac.compare_digest(given.encode(), expected.encode()):
            body = {"statusCode": 403, "message": "X-IDENTITY-HEADER is missing or wrong."}
            return web.json_response(body, status=HTTPStatus.FORBIDDEN)
        if not (request.query.get("resource") and request.query.get("api-version")):
            body = {"statusCode": 400, "message": "resource and api-version are required."}
            return web.json_response(body, status=HTTPStatus.BAD_REQUEST)
        return self._give_token(request, subject="function-app")

    async def describe_instance(self, request: web.Request) -> web.Response:
        """Tell a VM what it is."""
        spec = self._find_vm(request)
        if refusal := _find_imds_refusal(request):
            return refusal
        resource_id = spec.resource_id(self._subscription_id)
        compute = {
            "azEnvironment": "AzurePublicCloud",
            "location": spec.location,
            "name": spec.name,
            "osType": "Linux",
            "priority": "Regular",
            "resourceGroupName": spec.resource_group,
            "resourceId": resource_id,
            "subscriptionId": self._subscription_id,
            "tagsList": [],
            "userData": "",
            "vmId": str(uuid.uuid5(uuid.NAMESPACE_URL, resource_id)),
            "vmSize": spec.size,
            "zone": spec.zone or "",
        }
        return web.json_response({"compute": compute, "network": {"interface": []}})

    async def list_events(self, request: web.Request) -> web.Response:
        """Tell a VM that nothing is planned for it."""
        self._find_vm(request)
        if refusal := _find_imds_refusal(request):
            return refusal
        return web.json_response({"DocumentIncarnation": 1, "Events": []})

    def _find_vm(self, request: web.Request) -> VmSpec:
        spec = self._vms.get(request.match_info["vm"].lower())
        if spec is None:
            raise web.HTTPNotFound(text="there is no such VM")
        return spec

    def _give_token(
        self, request: web.Request, *, subject: str, bearer_id: str | None = None
    ) -> web.Response:
        resource, now = request.query["resource"], self._clock()
        client_id = request.query.get("client_id") or str(
            uuid.uuid5(uuid.UUID(TENANT_ID), subject)
        )
        token = self._issuer.issue(
            resource=resource,
            subject=subject,
            client_id=client_id,
            now=now,
            bearer_id=bearer_id,
        )
        expires_on = int(now) + TOKEN_LIFE_S
        body: dict[str, Any] = {
            "access_token": token,
            "client_id": client_id,
            "expires_in": str(TOKEN_LIFE_S),
            "expires_on": str(expires_on),
            "ext_expires_in": str(TOKEN_LIFE_S),
            "not_before": str(int(now)),
            "resource": resource,
            "token_type": "Bearer",
        }
        return web.json_response(body)


def _find_imds_refusal(request: web.Request) -> web.Response | None:
    if request.headers.get("Metadata", "").lower() != "true":
        return _refuse("invalid_request", "Required metadata header not specified")
    if "X-Forwarded-For" in request.headers:
        return _refuse("invalid_request", "X-Forwarded-For is not allowed")
    if not request.query.get("api-version"):
        return _refuse("invalid_request", "Required query variable 'api-version' is missing")
    return None


def _refuse(error: str, description: str) -> web.Response:
    body = {"error": error, "error_description": description}
    return web.json_response(body, status=HTTPStatus.BAD_REQUEST)
