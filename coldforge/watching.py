"""Asks the server again and again until something is over."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import requests

from coldforge.errors import ServerFailureError, UnreachableError, WaitTimeoutError
from coldforge.transport import Transport


class Watched(Protocol):
    """What can be watched."""

    @property
    def is_over(self) -> bool:
        """Whether it can no longer change."""


WatchedT = TypeVar("WatchedT", bound=Watched)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to watch.

    Attributes:
        outage_limit_s: How long the server may be away at a time.
        timeout_s: Limit for all of it, or None.
        sleep: Waits.
        clock: Seconds that only grow.
    """

    outage_limit_s: float
    timeout_s: float | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def watch(
    transport: Transport,
    path: str,
    *,
    read: Callable[[requests.Response], WatchedT],
    choose_delay: Callable[[WatchedT], float],
    patience: Patience,
    on_update: Callable[[WatchedT], None] | None = None,
    on_outage: Callable[[float], None] | None = None,
) -> WatchedT:
    """Ask until the answer is over, and return it.

    Args:
        transport: Speaks with the server.
        path: What to ask for.
        read: Turns an answer into what is watched.
        choose_delay: Gives the seconds until the next question.
        patience: When to stop asking.
        on_update: Given every answer.
        on_outage: Given the seconds that the server has been away, at each failed try.

    Raises:
        WaitTimeoutError: The time is up.
        ApiError: The server answered with an error.
        UnreachableError: The server was away for too long.
    """
    began = patience.clock()
    while True:
        left_s = _left_s(patience, began)
        try:
            watched = read(
                transport.send(
                    "GET",
                    path,
                    outage_limit_s=min(patience.outage_limit_s, left_s),
                    on_outage=on_outage,
                )
            )
        except (UnreachableError, ServerFailureError) as error:
            if left_s < patience.outage_limit_s and error.retryable:
                raise _time_is_up(path, patience) from error
            raise
        if on_update is not None:
            on_update(watched)
        if watched.is_over:
            return watched
        left_s = _left_s(patience, began)
        if left_s <= 0:
            raise _time_is_up(path, patience)
        patience.sleep(min(choose_delay(watched), left_s))


def _left_s(patience: Patience, began: float) -> float:
    if patience.timeout_s is None:
        return float("inf")
    return max(0.0, began + patience.timeout_s - patience.clock())


def _time_is_up(path: str, patience: Patience) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"{path} did not end within {patience.timeout_s:g} s. It goes on: wait for it again, or "
        "cancel it.",
        retryable=True,
    )
