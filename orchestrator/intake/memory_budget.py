"""Keeps the app and its decoding processes together within the memory of their instance."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OutOfMemoryBudgetError(Exception):
    """Nothing else is being decoded, and what is asked for still does not fit."""


class MemoryBudget:
    """Lets threads decode side by side while what they may take fits beside what is taken.

    First come first served: a large picture is not passed by small ones for ever.

    Args:
        total_bytes: For the app, its idle decoding processes and all that is granted.
        resting_bytes: Tells what app and processes take without what is granted.
    """

    def __init__(self, total_bytes: int, resting_bytes: Callable[[], int]) -> None:
        self._total_bytes = total_bytes
        self._resting_bytes = resting_bytes
        self._granted_bytes = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, need_bytes: int) -> Iterator[None]:
        """Wait until so much fits, and hold it for the block.

        Raises:
            OutOfMemoryBudgetError: It would not fit alone either.
        """
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._fits(need_bytes) or self._granted_bytes == 0)
            if not self._fits(need_bytes):
                raise OutOfMemoryBudgetError
            self._granted_bytes += need_bytes
        try:
            yield
        finally:
            with self._changed:
                self._granted_bytes -= need_bytes
                self._changed.notify_all()

    def _fits(self, need_bytes: int) -> bool:
        resting_bytes = self._resting_bytes()
        return resting_bytes + self._granted_bytes + need_bytes <= self._total_bytes
