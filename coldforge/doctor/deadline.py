"""Gives up on what takes too long, whatever it waits for."""

import threading
from collections.abc import Callable
from typing import TypeVar

from coldforge.doctor.errors import NoAnswerError

T = TypeVar("T")


def run_within(act: Callable[[], T], limit_s: float) -> T:
    """Run something in a thread and return what it returns.

    The SDKs' own limits count from one packet to the next, and sleep for any ``Retry-After``: a
    thread that is left behind ends with the program.

    Raises:
        NoAnswerError: It was not over in time.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(act())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit_s)
    if failures:
        raise failures[0]
    if not results:
        raise NoAnswerError(f"no answer within {limit_s:g} s (--timeout)")
    return results[0]
