"""Speaks to the local servers: their certificate is trusted, proxies of this machine are not."""

from pathlib import Path
from typing import Any

import requests

_PROBE_TIMEOUT_S = 2.0
_TIMEOUT_S = 30.0


def open_session(bundle: Path) -> requests.Session:
    """Return a session for local servers; the caller closes it.

    Args:
        bundle: Certificate authorities to trust.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = str(bundle)
    return session


def answers(url: str, bundle: Path, *, wanted_status: int | None = None) -> bool:
    """Tell whether a server answers.

    Args:
        url: What to ask for.
        bundle: Certificate authorities to trust.
        wanted_status: The only status that counts; None: any, be it a refusal.

    Raises:
        OSError: Nobody listens, or it took too long.
    """
    with open_session(bundle) as session:
        status = session.get(url, timeout=_PROBE_TIMEOUT_S).status_code
    return wanted_status in (None, status)


class LocalControls:
    """The meter and the faults of the stand-in for Azure Resource Manager."""

    def __init__(self, arm_url: str, bundle: Path) -> None:
        """Use a stand-in.

        Args:
            arm_url: Where it is.
            bundle: Certificate authorities to trust.
        """
        self._url = f"{arm_url}/_local"
        self._bundle = bundle

    def meter(self) -> dict[str, Any]:
        """Read every VM's billed seconds, power intervals and agent.

        Returns:
            By name of the VM: ``billed_seconds``, ``cost_usd``, ``power_state``, ``starts``,
            ``agent_pid``, ``switch_pid`` and ``intervals`` (``from``, ``to``, ``state``,
            ``billed``).
        """
        vms: dict[str, Any] = self._send("GET", "meter")["vms"]
        return vms

    def throttled(self) -> int:
        """Read how many requests were refused because there were too many."""
        return int(self._send("GET", "meter")["throttled"])

    def requests(self) -> list[dict[str, Any]]:
        """Read the latest requests, oldest first; see `localcloud.arm.request_log.Logged`."""
        logged: list[dict[str, Any]] = self._send("GET", "requests")["requests"]
        return logged

    def set_fault(self, name: str, *, vm: str | None = None, **options: Any) -> int:
        """Set a fault, or let it happen (see `localcloud.arm.faults`); return its number."""
        body = {"name": name, **({"vm": vm} if vm else {}), **options}
        return int(self._send("POST", "faults", body)["id"])

    def list_faults(self) -> list[dict[str, Any]]:
        """List the faults that are set."""
        faults: list[dict[str, Any]] = self._send("GET", "faults")["faults"]
        return faults

    def clear_faults(self) -> None:
        """Clear all faults."""
        self._send("DELETE", "faults")

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        with open_session(self._bundle) as session:
            response = session.request(
                method, f"{self._url}/{path}", json=body, timeout=_TIMEOUT_S
            )
        if not response.ok:
            raise ValueError(f"{method} /_local/{path}: {response.status_code} {response.text}")
        return response.json() if response.content else None
