"""The queue before the GPU worker, and the means to wake the thread that serves it."""

import logging
import socket
import threading
from collections.abc import Iterable, Sequence
from multiprocessing.connection import wait
from typing import Any

from gpu_agent.engines import Instruments
from gpu_agent.engines.hunyuan3d.batching import choose_batch
from gpu_agent.engines.hunyuan3d.work_items import WorkItem

logger = logging.getLogger(__name__)


class WorkQueue:
    """Work that waits. Safe for many threads.

    It is as long as there are threads that wait in it, each for one piece of work.

    Args:
        instruments: Told its length.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._lock = threading.Lock()
        self._items: dict[int, WorkItem] = {}
        self._is_closed = False

    @property
    def length(self) -> int:
        """How many wait."""
        with self._lock:
            return len(self._items)

    def join(self, items: Iterable[WorkItem]) -> bool:
        """Let items wait, those that somebody wants; False if the queue is closed for good."""
        with self._lock:
            if self._is_closed:
                return False
            for item in items:
                if item.is_wanted and not item.over.is_set():
                    item.step = None
                    self._items[item.number] = item
        return True

    def drop(self, item: WorkItem) -> None:
        """Take an item out that nobody wants any more."""
        with self._lock:
            item.is_wanted = False
            self._items.pop(item.number, None)

    def take_batch(self, limit: int) -> list[WorkItem]:
        """Take the next batch out, in the order of arrival; none if nothing waits."""
        with self._lock:
            waiting = {item.arrival: item for item in self._items.values()}
            chosen = choose_batch([one.waiting() for one in waiting.values()], limit=limit)
            items = [waiting[arrival] for arrival in chosen]
            for item in items:
                del self._items[item.number]
            left = len(self._items)
        self._instruments.set_queue("gpu", left)
        return items

    def close(self) -> list[WorkItem]:
        """Let nobody in any more, and give those that waited."""
        with self._lock:
            self._is_closed = True
            items = list(self._items.values())
            self._items.clear()
        return items


class Waker:
    """Wakes a thread that waits for several things at once, by a byte in a socket."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def wake(self) -> None:
        """Wake it, now or when it next waits."""
        try:
            self._writer.send(b"!")
        except OSError:
            logger.debug("it is awake already, or nobody listens any more")

    def wait(self, sources: Sequence[Any], timeout_s: float) -> None:
        """Wait until it is woken, one of the sources can be read, or the time is up."""
        if self._reader in wait([self._reader, *sources], timeout_s):
            self._reader.recv(4096)

    def close(self) -> None:
        """Let go of it, once no thread waits."""
        self._reader.close()
        self._writer.close()
