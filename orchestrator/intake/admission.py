"""Counts what waits to be read, and tells the next one when to come back."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.domain.errors import IntakeBusyError

_NEWEST_WEIGHT = 0.2
_LONGEST_RETRY_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """How much may wait.

    Attributes:
        requests: In work or waiting.
        total_bytes: Of all that they hold; one alone is taken whatever its size.
        wait_s: Expected wait, in seconds.
        at_once: How many images are read side by side.
    """

    requests: int = 64
    total_bytes: int = 256_000_000
    wait_s: float = 60.0
    at_once: int = 2


class Admission:
    """Holds a place for each request that brings images."""

    def __init__(self, limits: AdmissionLimits | None = None) -> None:
        self._limits = limits or AdmissionLimits()
        self._lock = threading.Lock()
        self._requests = 0
        self._bytes = 0
        self._mean_s = 0.3

    @contextmanager
    def admit(self, size_bytes: int) -> Iterator["Place"]:
        """Hold a place for the block.

        Args:
            size_bytes: Of the request's body.

        Raises:
            IntakeBusyError: Too much waits already.
        """
        with self._lock:
            if self._requests >= self._limits.requests or self._wait_s() > self._limits.wait_s:
                raise self.busy()
            self._requests += 1
        place = Place(self._hold)
        try:
            place.grow(size_bytes)
            yield place
        finally:
            with self._lock:
                self._requests -= 1
                self._bytes -= place.held_bytes

    def learn(self, seconds: float) -> None:
        """Learn how long an image took."""
        with self._lock:
            self._mean_s += _NEWEST_WEIGHT * (seconds - self._mean_s)

    def busy(self) -> IntakeBusyError:
        """Build the refusal; half of what waits should be read by the time that it names."""
        retry_after_s = min(_LONGEST_RETRY_S, max(1, math.ceil(self._wait_s() / 2)))
        return IntakeBusyError(
            "Too many images wait to be read. Send the same request again after the seconds that "
            "Retry-After names.",
            retry_after_s=retry_after_s,
        )

    def _hold(self, more_bytes: int) -> None:
        with self._lock:
            total_bytes = self._bytes + more_bytes
            if 0 < self._bytes < total_bytes > self._limits.total_bytes:
                raise self.busy()
            self._bytes = total_bytes

    def _wait_s(self) -> float:
        return self._requests * self._mean_s / self._limits.at_once


class Place:
    """A request's place, and the bytes that it holds."""

    def __init__(self, hold: Callable[[int], None]) -> None:
        self._hold = hold
        self.held_bytes = 0

    def grow(self, more_bytes: int) -> None:
        """Hold more, as it arrives.

        Raises:
            IntakeBusyError: All requests together would hold too much.
        """
        self._hold(more_bytes)
        self.held_bytes += more_bytes
