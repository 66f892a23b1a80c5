"""Asks a server for its cheapest answer all the while: ``python -m …live HOST:PORT PATH``.

In a process of its own, so that the clients of a round don't slow the clock down. At its end it
writes a JSON list: how much later than planned each request was sent, and how long it took.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from localcloud.blueprint import ROOT

EVERY_S = 0.05
_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        late_s: How much later than planned it was sent: what the machine's other load costs a
            process that only sleeps.
        answered_s: Until the answer was there.
    """

    late_s: float
    answered_s: float


class LivePoller:
    """Asks for as long as the ``with`` statement lasts."""

    def __init__(self, address: str, path: str) -> None:
        """Ask nothing yet.

        Args:
            address: ``host:port``.
            path: Of the cheapest answer.
        """
        self._arguments = (address, path)
        self._process: subprocess.Popen[str] | None = None
        self.asked: list[Asked] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.agent.live", *self._arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            told, _ = self._process.communicate()
            self.asked = [Asked(*pair) for pair in json.loads(told or "[]")]


def ask_until_closed(address: str, path: str) -> list[tuple[float, float]]:
    """Ask every `EVERY_S` until standard input ends; a late answer delays the next request.

    Asks once at least: a short round is over before this process has started. A server that no
    longer answers ends it with what was seen so far.
    """
    over = threading.Event()

    def await_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=await_end, daemon=True).start()
    connection = http.client.HTTPConnection(address, timeout=_LIMIT_S)
    asked: list[tuple[float, float]] = []
    due = time.monotonic() + EVERY_S
    while not over.wait(max(0.0, due - time.monotonic())) or not asked:
        began = time.monotonic()
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            break
        ended = time.monotonic()
        asked.append((max(0.0, began - due), ended - began))
        due = max(due + EVERY_S, ended)
    return asked


if __name__ == "__main__":
    print(json.dumps(ask_until_closed(*sys.argv[1:])))
