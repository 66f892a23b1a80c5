"""The latest requests to Azure Resource Manager and their answers, for whoever measures."""

from collections import deque
from typing import Any, NamedTuple

from localcloud.arm.addresses import Address

KEPT = 5_000
"""Requests kept: hours of one deployment's traffic."""


class Logged(NamedTuple):
    """One request.

    Attributes:
        at: When it was answered, epoch seconds.
        vm: Name of the VM that it is about, or None.
        target: What was asked for: ``start``, ``deallocate``, ``instanceView`` ...
        status: HTTP status of the answer; 0 when the connection was dropped instead.
        code: `error.code` of a refusal, or None.
    """

    at: float
    vm: str | None
    target: str
    status: int
    code: str | None


class RequestLog:
    """Remembers the latest requests, oldest first."""

    def __init__(self) -> None:
        self._requests: deque[Logged] = deque(maxlen=KEPT)

    def note(self, address: Address | None, *, at: float, status: int, code: str | None) -> None:
        """Remember a request; one to no known address is none of a VM's."""
        if address is not None:
            target = address.target.value.split()[-1]
            self._requests.append(Logged(at, address.vm, target, status, code))

    def list(self) -> list[dict[str, Any]]:
        """List them as JSON objects."""
        return [request._asdict() for request in self._requests]
