"""This machine as Azure sees it: who it is, and the request that ends its bill.

A shutdown from inside would leave the VM "stopped", which is billed like a running one. Only a
deallocation ends that, and it needs no configuration: the instance metadata service tells the VM
its resource id and gives its managed identity a token.
"""

import math
import re
from typing import Any

import requests  # noqa: TID251 - one of the two doors of a program without adapters
from requests.auth import AuthBase  # noqa: TID251

from gpu_agent.switch.errors import ArmError, ImdsError

IMDS_TIMEOUT_S = (2.0, 20.0)
ARM_TIMEOUT_S = (10.0, 30.0)
"""Seconds to connect, and to wait for an answer."""

_INSTANCE_VERSION = "2021-02-01"
_TOKEN_VERSION = "2018-02-01"  # noqa: S105 - a version of an API
_COMPUTE_VERSION = "2024-07-01"
_RESOURCE = "https://management.azure.com/"
_RESOURCE_ID = re.compile(
    r"/subscriptions/[^/\s?#]+/resourceGroups/[^/\s?#]+"
    r"/providers/Microsoft\.Compute/virtualMachines/[^/\s?#]+",
    re.IGNORECASE,
)


class OwnMachine:
    """The VM on which this runs.

    Args:
        arm_url: Azure Resource Manager.
        imds_url: Instance metadata service.
        client_id: Which managed identity, or None for the only one.
    """

    def __init__(self, *, arm_url: str, imds_url: str, client_id: str | None) -> None:
        self._arm_url = arm_url
        self._client_id = client_id
        self._imds_url = f"{imds_url}/metadata"
        self._resource_id: str | None = None
        self._imds = requests.Session()
        # It answers on the machine itself and must be asked without a proxy.
        self._imds.trust_env = False
        self._imds.headers["Metadata"] = "true"

    def read_resource_id(self) -> str:
        """Give the VM's id in Azure.

        Raises:
            ImdsError: The metadata service does not say.
        """
        if self._resource_id is None:
            body = self._ask_imds("instance", {"api-version": _INSTANCE_VERSION})
            compute = body.get("compute") if isinstance(body, dict) else None
            found = compute.get("resourceId") if isinstance(compute, dict) else None
            if not isinstance(found, str) or not _RESOURCE_ID.fullmatch(found):
                raise ImdsError(f"the metadata holds no resource id of a VM, but {found!r}")
            self._resource_id = found
        return self._resource_id

    def deallocate(self) -> None:
        """Ask Azure to deallocate this VM. It answers before the VM begins to stop.

        Safe to run twice: a deallocation under way is joined.

        Raises:
            ImdsError: The VM does not know who it is, or gets no token.
            ArmError: Refused, not answered, or not understood.
        """
        url = f"{self._arm_url}{self.read_resource_id()}/deallocate"
        token = self._take_token()
        try:
            answer = requests.post(
                url,
                params={"api-version": _COMPUTE_VERSION},
                auth=_Bearer(token),
                timeout=ARM_TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise ArmError(f"no answer from ARM ({type(error).__name__}: {error})") from error
        if answer.status_code not in (200, 202):
            raise ArmError(
                f"ARM answers {answer.status_code} {_read_code(answer)}",
                retry_after_s=_read_retry_after_s(answer),
            )

    def check(self) -> None:
        """Find out whether a deallocation would get as far as Azure's own decision.

        Raises:
            ImdsError: The VM does not know who it is, or gets no token.
            ArmError: Azure Resource Manager can't be reached from this network.
        """
        self.read_resource_id()
        self._take_token()
        try:
            # Any answer will do: it shows the way out, the name and the certificate to be good.
            requests.get(self._arm_url, timeout=ARM_TIMEOUT_S, allow_redirects=False)
        except requests.RequestException as error:
            raise ArmError(f"ARM is out of reach ({type(error).__name__}: {error})") from error

    def _take_token(self) -> str:
        asked = {"api-version": _TOKEN_VERSION, "resource": _RESOURCE}
        if self._client_id:
            asked["client_id"] = self._client_id
        body = self._ask_imds("identity/oauth2/token", asked)
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token:
            raise ImdsError("the metadata service gave no token")
        return token

    def _ask_imds(self, path: str, asked: dict[str, str]) -> Any:
        try:
            answer = self._imds.get(
                f"{self._imds_url}/{path}",
                params=asked,
                timeout=IMDS_TIMEOUT_S,
                allow_redirects=False,
            )
            body = answer.json() if answer.status_code == 200 else None
        except (requests.RequestException, ValueError) as error:
            # Not its message: a body that is no JSON may still hold a token.
            raise ImdsError(f"no answer about {path} ({type(error).__name__})") from error
        if body is None:
            raise ImdsError(f"the metadata service answers {answer.status_code} about {path}")
        return body


class _Bearer(AuthBase):
    """Sends a token. An `auth` of our own keeps requests from reading one out of .netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _read_code(answer: requests.Response) -> str:
    """Give Azure's word for what is wrong; throttling is the one that is not under ``error``."""
    try:
        body = answer.json()
        error = body.get("error", body)
        return f"{error.get('code', '')}: {error.get('message', '')}"[:500]
    except (ValueError, AttributeError):
        return ""


def _read_retry_after_s(answer: requests.Response) -> float | None:
    try:
        seconds = float(answer.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
