"""Azure's REST interfaces with a token of this login, and their refusals in our words."""

from collections.abc import Iterator
from typing import Any

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest, HttpResponse

from coldforge.doctor.errors import (
    DeniedError,
    NoAnswerError,
    NotLoggedInError,
    NotThereError,
    ProbeError,
)

CONNECT_S = 5.0
READ_S = 20.0
MANAGEMENT = "https://management.azure.com/.default"
KEY_VAULT = "https://vault.azure.net/.default"


class AzureRest:
    """Reads from one service of Azure. Nothing is tried twice: the doctor says how it is now."""

    def __init__(self, credential: TokenCredential, url: str, *, scope: str) -> None:
        """Set up; nothing is sent yet.

        Args:
            credential: Gives tokens.
            url: Where the service is, without a slash at the end.
            scope: For which tokens are asked.
        """
        self._client: PipelineClient[Any, Any] = PipelineClient(
            url,
            policies=[
                UserAgentPolicy(base_user_agent="coldforge-doctor"),
                BearerTokenCredentialPolicy(credential, scope),
            ],
        )
        self._url = url

    def read(self, path: str, *, version: str, method: str = "GET", **query: str) -> Any:
        """Read one answer.

        Raises:
            ProbeError: The service refused, or did not answer.
        """
        # The query is written out: what is in a filter must not be encoded twice.
        request = HttpRequest(method, self._url + path, params={"api-version": version, **query})
        return self._send(request)

    def list(self, path: str, *, version: str, **query: str) -> Iterator[dict[str, Any]]:
        """Read a list, all of its pages.

        Raises:
            ProbeError: The service refused, or did not answer.
        """
        page = self.read(path, version=version, **query)
        while True:
            yield from page.get("value") or ()
            following = page.get("nextLink")
            if not following:
                return
            # The token goes to the service only, whatever an answer says.
            if not str(following).startswith(self._url + "/"):
                raise ProbeError(f"{self._url} names a next page on another host")
            page = self._send(HttpRequest("GET", following))

    def _send(self, request: HttpRequest) -> Any:
        try:
            response: HttpResponse = self._client.send_request(
                request, connection_timeout=CONNECT_S, read_timeout=READ_S
            )
            response.raise_for_status()
            return response.json()
        except (AzureError, ValueError) as error:
            raise translate(error, self._url) from error


def translate(error: Exception, where: str) -> ProbeError:
    """Return our word for an error of an SDK."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    code = _code_of(error)
    if status == 404:
        return NotThereError(f"{where} has no such resource ({code})")
    if status == 403:
        return DeniedError(
            f"this login has no access there ({code}): it lacks a role, or {where} is closed to "
            "this machine's network"
        )
    if status == 401 or (status is None and isinstance(error, ClientAuthenticationError)):
        return NotLoggedInError(f"{where} does not accept this login ({code})")
    if status is None:
        return NoAnswerError(f"{where} can't be reached ({type(error).__name__})")
    return ProbeError(f"{where} answered {status} ({code})")


def _code_of(error: Exception) -> str:
    detail = getattr(error, "error", None)
    return getattr(detail, "code", None) or type(error).__name__
