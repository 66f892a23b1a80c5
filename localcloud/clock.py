"""The one source of time of the local cloud.

Everything that reads the time or waits for a moment is handed a `Clock`, so that a rehearsal or a
test can decide how fast time goes.
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MAX_WAIT_S = 3600.0
"""Longest single wait on a condition, so that a step of the system's clock is noticed."""


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> datetime:
        """Read the present moment, aware and in UTC. It never goes back."""
        ...

    def wait(self, condition: threading.Condition, until: datetime | None) -> None:
        """Wait until the condition is notified or a moment has come, whichever is first.

        May return early: the caller looks again and waits again.

        Args:
            condition: Held by the caller, released while waiting.
            until: Moment to wake at; None waits for a notification only.
        """
        ...


class SystemClock:
    """The clock of this machine; a step backwards is held at the last moment told."""

    def __init__(self) -> None:
        self._last = datetime.fromtimestamp(0, UTC)

    def now(self) -> datetime:
        """Read the present moment."""
        moment = datetime.fromtimestamp(time.time(), UTC)
        if moment < self._last:
            return self._last
        self._last = moment
        return moment

    def wait(self, condition: threading.Condition, until: datetime | None) -> None:
        """Wait in real time."""
        if until is None:
            condition.wait(MAX_WAIT_S)
            return
        left_s = (until - self.now()).total_seconds()
        if left_s > 0:
            condition.wait(min(left_s, MAX_WAIT_S))


class VirtualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._lock = threading.Lock()
        self._waiting: list[threading.Condition] = []

    def now(self) -> datetime:
        """Read the moment that was last set."""
        return self._now

    def wait(self, condition: threading.Condition, until: datetime | None) -> None:
        """Wait until the clock is moved to the moment or the condition is notified."""
        with self._lock:
            if until is not None and self._now >= until:
                return
            self._waiting.append(condition)
        # Bounded, because `advance` may notify in the instant before the wait begins.
        condition.wait(0.05)
        with self._lock:
            self._waiting.remove(condition)

    def advance(self, step: timedelta) -> None:
        """Move the clock forward and wake everyone who waits on it.

        Args:
            step: How far, not negative.
        """
        with self._lock:
            self._now += step
            waiting = list(self._waiting)
        for condition in waiting:
            with condition:
                condition.notify_all()
