"""Asks the local identity service for tokens: a credential for the local cloud's own errands."""

import json
import time
import urllib.parse
import urllib.request
from typing import Any

from azure.core.credentials import AccessToken

_TIMEOUT_S = 10.0


class LocalCredential:
    """A credential of azure-core that needs no environment variables.

    azure-identity's own reads its endpoint from the process environment, which belongs to
    whoever holds the stack.
    """

    def __init__(self, endpoint: str, header: str) -> None:
        """Use an identity service of App Service's shape.

        Args:
            endpoint: Its URL.
            header: The secret that it wants to see.
        """
        self._endpoint = endpoint
        self._header = header

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """Get a token for the first scope."""
        resource = scopes[0].removesuffix("/.default")
        query = urllib.parse.urlencode({"api-version": "2019-08-01", "resource": resource})
        request = urllib.request.Request(  # noqa: S310 - the URL is this program's own
            f"{self._endpoint}?{query}", headers={"X-IDENTITY-HEADER": self._header}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            body = json.load(response)
        return AccessToken(body["access_token"], int(time.time()) + int(body["expires_in"]))
