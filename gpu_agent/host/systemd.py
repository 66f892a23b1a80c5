"""What systemd is told of the agent: that it serves, that it lives, that it ends.

A datagram to the socket that systemd names (``sd_notify``); where it names none, nothing is said.
"""

import http.client
import logging
import socket
import threading
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

ANSWER_WITHIN_S = 10.0
"""Seconds within which the agent has to answer itself."""

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound


class Systemd:
    """The service manager, if there is one.

    Args:
        address: Its socket: a path, or ``@`` and an abstract name. None where there is none.
        watchdog_s: Seconds after which it ends a service that has not said that it lives, or None.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s if address else None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Systemd":
        """Read what systemd has put into the environment; a wrong number means no watchdog."""
        try:
            watchdog_s = int(environ.get("WATCHDOG_USEC", "")) / 1e6
        except ValueError:
            watchdog_s = 0.0
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog_s if watchdog_s > 0 else None)

    def tell_ready(self) -> None:
        """Say that the agent can be asked; what it answers is another matter."""
        self._tell("READY=1")

    def tell_alive(self, status: str) -> None:
        """Say that the agent lives, and what ``systemctl status`` shows of it."""
        self._tell("WATCHDOG=1", f"STATUS={status}")

    def tell_stopping(self) -> None:
        """Say that the agent ends by itself."""
        self._tell("STOPPING=1")

    def _tell(self, *words: str) -> None:
        if not self._address:
            return
        # An abstract name begins with a zero byte, which no environment can hold.
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.sendto("\n".join(words).encode(), address)
        except OSError as error:
            logger.warning("systemd could not be told %s: %s", words[0], error)


class Pulse:
    """Tells systemd that the agent lives for as long as the agent answers.

    It asks as a caller does, over the socket: a beat that only showed its own thread to live
    would keep a hung agent up.

    Args:
        systemd: Whom to tell; without a watchdog nothing is done.
        ask: Gives the agent's phase.
    """

    def __init__(self, systemd: Systemd, ask: Callable[[], str]) -> None:
        self._systemd = systemd
        self._ask = ask
        self._is_over = threading.Event()

    def start(self) -> None:
        """Begin to beat, three times in each watchdog period."""
        if self._systemd.watchdog_s is not None:
            period_s = self._systemd.watchdog_s / 3
            threading.Thread(target=self._run, args=(period_s,), name="pulse", daemon=True).start()

    def stop(self) -> None:
        """Let the beat end."""
        self._is_over.set()

    def beat(self) -> None:
        """Ask once, and tell; an agent that gives no answer is not spoken for."""
        try:
            phase = self._ask()
        except (OSError, http.client.HTTPException) as error:
            logger.warning("the agent does not answer itself: %r", error)
        else:
            self._systemd.tell_alive(phase)

    def _run(self, period_s: float) -> None:
        while not self._is_over.is_set():
            self.beat()
            self._is_over.wait(period_s)


def ask_phase(host: str, port: int, token: str) -> str:
    """Ask the agent for its readiness, through its port, its threads and its lock.

    Args:
        host: The address that it listens on; any address means this machine.
        port: Its port.
        token: One that it accepts.

    Returns:
        The answer's status and text, at most 200 characters.

    Raises:
        OSError: No connection, or no answer in time.
        http.client.HTTPException: No answer that makes sense.
    """
    connection = http.client.HTTPConnection(
        _LOOPBACK.get(host, host), port, timeout=ANSWER_WITHIN_S
    )
    try:
        connection.request("GET", "/v1/ready", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return f"{answer.status} {answer.read(150).decode(errors='replace').strip()}"
    finally:
        connection.close()
