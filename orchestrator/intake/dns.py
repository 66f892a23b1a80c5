"""Looks up host names that strangers chose, without a thread of ours and within a real time limit.

c-ares reads ``/etc/hosts``, the servers and search domains of ``/etc/resolv.conf``, and knows
``localhost``. It skips the other sources of ``nsswitch.conf``: names of mDNS (``.local``), LDAP or
systemd are not found. Why not `loop.getaddrinfo`: docs/decisions/0014.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiodns

LOOKUP_S = 2.5
MAX_IN_FLIGHT = 256
_LOOKUPS_PER_CHANNEL = 100
_FIRST_TRY_S = 0.75
_TRIES = 3


def open_channel(nameservers: Sequence[str] | None = None) -> aiodns.DNSResolver:
    """Open a c-ares channel on the running event loop. Close it.

    Three servers of which two are dead still answer within `LOOKUP_S`.

    Args:
        nameservers: ``host:port`` entries; by default those of the machine's configuration.
    """
    return aiodns.DNSResolver(nameservers, timeout=_FIRST_TRY_S, tries=_TRIES)


class DnsResolver:
    """Asks DNS for A and AAAA records.

    A look-up that nobody answers costs about 1 kB and no socket of its own: all look-ups of a
    channel share one per name server. Those beyond `max_in_flight` wait for their turn, first come
    first served, and the wait counts into the time limit. With the defaults an honest look-up is
    refused once more than 100 a second never get an answer.
    """

    def __init__(
        self,
        *,
        limit_s: float = LOOKUP_S,
        max_in_flight: int = MAX_IN_FLIGHT,
        channel: Callable[[], aiodns.DNSResolver] = open_channel,
    ) -> None:
        """Set the limits of each event loop. Opens nothing.

        Args:
            limit_s: For one look-up, waiting included.
            max_in_flight: How many may wait for their answers at once.
            channel: Opens a channel on the running event loop.
        """
        self._limit_s = limit_s
        self._max_in_flight = max_in_flight
        self._open = channel
        self._queues: dict[asyncio.AbstractEventLoop, _Queue] = {}

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return IPv4 and IPv6 addresses as text, at least one; the port plays no part.

        Raises:
            TimeoutError: No answer within the limit, or no turn to ask.
            OSError: There are no addresses, or no name server.
        """
        async with asyncio.timeout(self._limit_s), self._turn() as channel:
            try:
                found = await channel.getaddrinfo(host, type=socket.SOCK_STREAM)
            except aiodns.error.DNSError as error:
                if error.args[0] == aiodns.error.ARES_ETIMEOUT:
                    raise TimeoutError("no name server answered") from error
                raise OSError("no address") from error
        texts = dict.fromkeys(bytes(node.addr[0]).decode("ascii") for node in found.nodes)
        if not texts:
            raise OSError("no address")
        return list(texts)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[aiodns.DNSResolver]:
        """Wait for a turn and lend the channel of the running event loop.

        What belongs to a loop lives as long as look-ups of this loop do.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._queues:
            self._queues[loop] = _Queue(asyncio.Semaphore(self._max_in_flight), self._open)
        queue = self._queues[loop]
        queue.length += 1
        try:
            async with queue.turns, queue.lend() as channel:
                yield channel
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[loop]


@dataclass(eq=False, slots=True)
class _Channel:
    """A channel, how often it was lent, and how many use it now."""

    dns: aiodns.DNSResolver
    lent: int = 0
    users: int = 0


@dataclass(eq=False, slots=True)
class _Queue:
    """The look-ups of one event loop, waiting or in flight."""

    turns: asyncio.Semaphore
    open: Callable[[], aiodns.DNSResolver]
    length: int = 0
    newest: _Channel | None = None

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[aiodns.DNSResolver]:
        """Lend a channel, and close it after its last user.

        c-ares can't take back a single question and keeps answers for their time to live. Closing
        ends both, so no channel is lent for ever.
        """
        channel = self.newest
        if channel is None or channel.lent >= _LOOKUPS_PER_CHANNEL:
            channel = self.newest = _Channel(self.open())
        channel.lent += 1
        channel.users += 1
        try:
            yield channel.dns
        finally:
            channel.users -= 1
            if not channel.users:
                if self.newest is channel:
                    self.newest = None
                await channel.dns.close()
