"""Calls back at given moments, on one thread."""

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from datetime import datetime

from localcloud.clock import Clock

logger = logging.getLogger(__name__)


class Alarm:
    """One thread that sleeps until the next moment that someone asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)

    def start(self) -> None:
        """Begin to call back."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; nothing is called back afterwards."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()

    def at(self, moment: datetime, call: Callable[[], None]) -> None:
        """Ask for a call at a moment, or at once if it is past.

        Args:
            moment: When.
            call: Quick, and raises nothing that matters: errors are only logged.
        """
        with self._condition:
            heapq.heappush(self._heap, (moment, next(self._numbers), call))
            if self._heap[0][2] is call:
                self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                due = self._take_due()
                if self._is_stopped:
                    return
                if not due:
                    self._clock.wait(self._condition, self._heap[0][0] if self._heap else None)
                    continue
            for call in due:
                try:
                    call()
                except Exception:
                    logger.exception("a timer's call failed")

    def _take_due(self) -> list[Callable[[], None]]:
        now = self._clock.now()
        due: list[Callable[[], None]] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due
