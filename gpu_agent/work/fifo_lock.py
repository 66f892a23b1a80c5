"""A lock that lets threads in by the order in which they came: one job at a time in the engine."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class FifoLock:
    """Lets one thread in at a time, in the order in which they came.

    Args:
        changed: Notified whenever a job may have been stopped, so that it leaves the queue at
            once rather than at its turn.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._waiting: deque[threading.Event] = deque()

    @property
    def length(self) -> int:
        """How many wait; the one inside is not counted."""
        with self._changed:
            return max(0, len(self._waiting) - 1)

    @contextmanager
    def hold(self, stopped: threading.Event) -> Iterator[None]:
        """Wait for the turn and keep it for the block.

        Args:
            stopped: The waiter's own. When it is set the block is entered out of turn: the first
                thing in it must be to check.
        """
        with self._changed:
            self._waiting.append(stopped)
            self._changed.wait_for(lambda: self._waiting[0] is stopped or stopped.is_set())
        try:
            yield
        finally:
            with self._changed:
                self._waiting.remove(stopped)
                self._changed.notify_all()
