"""Threads for blocking calls, a fixed number for each kind, so that no kind can hold up another.

Asyncio's default executor is left to libraries: it has five threads on a machine of one core, and
whatever waits there would wait together with the leases of the VMs.
"""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """A fixed number of threads, made when they are first needed.

    Attributes:
        name: Prefix of the threads' names.
        ran: How often each function was handed over, by its qualified name.
    """

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.ran: Counter[str] = Counter()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in one of the threads, and give what it returns."""
        call = self._call(function, *args, **kwargs)
        # Through the loop: the rehearsal's own gives threads virtual time.
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a blocking function run in one of the threads; its future tells when it is over."""
        return self._executor.submit(self._call(function, *args, **kwargs))

    def _call(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        self.ran[getattr(function, "__qualname__", repr(function))] += 1
        return partial(contextvars.copy_context().run, partial(function, *args, **kwargs))


RESERVE = Lane("reserve", 32)
"""For the pool's state, the ledger, ARM and health: whatever keeps VMs up or takes them down. A
call to ARM may hang for `ARM_TIMEOUT_S`, one for each VM that wakes."""

STORAGE = Lane("storage", 16)
"""For what callers ask for: rows, inputs, artifacts. Never for a stranger's bytes themselves."""
