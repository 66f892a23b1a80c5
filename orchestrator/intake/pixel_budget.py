"""Keeps the memory of decoding flat however many images arrive at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PixelBudget:
    """Lets threads decode side by side while their pixels together stay within a limit.

    One image larger than the whole budget is let through when nothing else is being decoded.
    """

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._taken_pixels = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` fit, and hold them for the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._fits(pixels))
            self._taken_pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken_pixels -= pixels
                self._changed.notify_all()

    def _fits(self, pixels: int) -> bool:
        return self._taken_pixels == 0 or self._taken_pixels + pixels <= self._max_pixels
