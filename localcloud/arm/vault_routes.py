"""A Key Vault's secrets, to be read: the part of its data plane that the product asks."""

import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from localcloud.arm.arm_routes import reply_with_error
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.estate_routes import EstateRoutes
from localcloud.arm.identity import TENANT_ID, TokenError, TokenIssuer

AUDIENCES = ("https://vault.azure.net", "https://vault.azure.net/")


class VaultRoutes:
    """Answers requests under ``/secrets``. A secret has one version here."""

    def __init__(self, estate: EstateRoutes, issuer: TokenIssuer) -> None:
        """Answer for a vault.

        Args:
            estate: Knows its secrets.
            issuer: Recognises the callers' tokens.
        """
        self._estate = estate
        self._issuer = issuer

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/secrets/{name}", self.give_secret)
        app.router.add_get("/secrets/{name}/", self.give_secret)

    async def give_secret(self, request: web.Request) -> web.Response:
        """Give the newest version of a secret."""
        if refusal := self._refuse(request):
            return refusal
        name = request.match_info["name"]
        secrets: Mapping[str, str] = self._estate.list_secrets()
        if name not in secrets:
            return reply_with_error(
                not_found("SecretNotFound", f"A secret with (name/id) {name} was not found.")
            )
        body = {**_describe(request, name), "value": secrets[name]}
        return web.json_response(body)

    def _refuse(self, request: web.Request) -> web.Response | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer")
        try:
            self._issuer.check(token.strip(), audiences=AUDIENCES)
        except TokenError as error:
            challenge = (
                f'Bearer authorization="https://login.windows.net/{TENANT_ID}", '
                f'resource="{AUDIENCES[0]}"'
            )
            return reply_with_error(
                ArmError(401, error.code, str(error), headers={"WWW-Authenticate": challenge})
            )
        if not request.query.get("api-version"):
            return reply_with_error(
                ArmError(400, "BadParameter", "The api-version query parameter is required.")
            )
        return None


def _describe(request: web.Request, name: str) -> dict[str, Any]:
    version = uuid.uuid5(uuid.NAMESPACE_URL, name).hex
    return {
        "id": f"https://{request.host}/secrets/{name}/{version}",
        "attributes": {"enabled": True, "created": 0, "updated": 0},
        "tags": {},
    }
