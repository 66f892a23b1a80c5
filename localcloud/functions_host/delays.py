"""Delays for tests: messages that come late, and a store that answers slowly. Both from a seed."""

import random
import threading
from datetime import timedelta

from localcloud.clock import Clock

LATE_UP_TO = timedelta(seconds=0.5)
"""How long a message or an activity may lie before it is delivered."""
SLOW_UP_TO = timedelta(seconds=0.05)
"""How long the store may take for a read or a commit."""


class Delays:
    """Draws delays between nothing and the longest. Safe to use from many threads."""

    def __init__(self, seed: int, longest: timedelta) -> None:
        """Begin a series.

        Args:
            seed: The same seed gives the same series.
            longest: Bound of each delay.
        """
        self._chance = random.Random(seed)  # noqa: S311 - nothing secret hangs on it
        self._longest = longest
        self._lock = threading.Lock()

    def draw(self) -> timedelta:
        """Draw the next one."""
        with self._lock:
            return self._longest * self._chance.random()


class Pause:
    """Holds whoever calls it for the next delay of a series."""

    def __init__(self, delays: Delays, clock: Clock) -> None:
        self._delays = delays
        self._clock = clock

    def __call__(self) -> None:
        """Return when the delay is over."""
        until = self._clock.now() + self._delays.draw()
        condition = threading.Condition()
        with condition:
            while self._clock.now() < until:
                self._clock.wait(condition, until)
