"""The line before the owner of the GPU, and the bell that wakes the thread that serves it."""

import logging
import socket
import threading
from collections.abc import Iterable, Sequence
from multiprocessing.connection import wait
from typing import Any

from gpu_agent.engines import Instruments
from gpu_agent.engines.hunyuan3d.batching import choose_batch
from gpu_agent.engines.hunyuan3d.work_items import Ticket

logger = logging.getLogger(__name__)


class Line:
    """Tickets that wait. Safe for many threads.

    It is as long as there are threads that wait in it, each for one piece of work.

    Args:
        instruments: Told its length.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._lock = threading.Lock()
        self._tickets: dict[int, Ticket] = {}
        self._is_closed = False

    @property
    def length(self) -> int:
        """How many wait."""
        with self._lock:
            return len(self._tickets)

    def join(self, tickets: Iterable[Ticket]) -> bool:
        """Let tickets wait, those that somebody wants; False if the line is closed for good."""
        with self._lock:
            if self._is_closed:
                return False
            for ticket in tickets:
                if ticket.is_wanted and not ticket.over.is_set():
                    ticket.step = None
                    self._tickets[ticket.number] = ticket
        return True

    def drop(self, ticket: Ticket) -> None:
        """Take a ticket out that nobody wants any more."""
        with self._lock:
            ticket.is_wanted = False
            self._tickets.pop(ticket.number, None)

    def take_batch(self, limit: int) -> list[Ticket]:
        """Take the next batch out, in the order of arrival; none if nothing waits."""
        with self._lock:
            waiting = {ticket.arrival: ticket for ticket in self._tickets.values()}
            chosen = choose_batch([one.waiting() for one in waiting.values()], limit=limit)
            tickets = [waiting[arrival] for arrival in chosen]
            for ticket in tickets:
                del self._tickets[ticket.number]
            left = len(self._tickets)
        self._instruments.set_queue("gpu", left)
        return tickets

    def close(self) -> list[Ticket]:
        """Let nobody in any more, and give those that waited."""
        with self._lock:
            self._is_closed = True
            tickets = list(self._tickets.values())
            self._tickets.clear()
        return tickets


class Bell:
    """Wakes a thread that waits for several things at once."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def ring(self) -> None:
        """Wake it, now or when it next waits."""
        try:
            self._writer.send(b"!")
        except OSError:
            logger.debug("it rings already, or nobody listens any more")

    def wait(self, sources: Sequence[Any], timeout_s: float) -> None:
        """Wait until it rings, one of the sources can be read, or the time is up."""
        if self._reader in wait([self._reader, *sources], timeout_s):
            self._reader.recv(4096)

    def close(self) -> None:
        """Let go of it, once no thread waits."""
        self._reader.close()
        self._writer.close()
