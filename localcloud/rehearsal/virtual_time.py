"""Time that goes as fast as the work does: an event loop that never sleeps, and what hangs on it.

When nothing is ready, the loop jumps to its next timer. Whatever asks for a thread runs on the
loop itself, a drawn moment later, so that concurrent work interleaves, and always the same way.
"""

import asyncio
import heapq
import itertools
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from random import Random
from typing import Any

from localcloud.functions_host.alarm import Alarm

BEGINNING = datetime(2026, 3, 2, 6, 0, tzinfo=UTC).timestamp()
"""When every rehearsal begins, epoch seconds: a Monday morning."""
THREAD_S = (0.001, 0.03)
"""How long work that asks for a thread takes: a call to storage or to Azure."""

ROUNDS_LIMIT = 50_000
ROUNDS_LEAST_S = 10.0
"""Virtual seconds that so many rounds of the loop take at least; a run has some 20 a second."""


class StalledError(Exception):
    """Nothing is ready and nothing will ever be, or the work never lets time pass."""


class _NoWait(selectors.SelectSelector):
    """Lets the loop's time jump where another selector would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._rounds = 0
        self._counted_from = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise StalledError("no timer is set and nothing is ready")
        self.now += timeout
        self._rounds += 1
        if self._rounds >= ROUNDS_LIMIT:
            if self.now - self._counted_from < ROUNDS_LEAST_S:
                raise StalledError(f"work without end at {self.now:.3f} s")
            self._rounds, self._counted_from = 0, self.now
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time begins at 0 and jumps."""

    def __init__(self, chance: Random) -> None:
        """Make a loop.

        Args:
            chance: Draws how long threads take.
        """
        self._no_wait = _NoWait()
        super().__init__(self._no_wait)
        self._chance = chance
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Read the virtual time, in seconds since the loop began."""
        return self._no_wait.now

    def wall(self) -> float:
        """Read the virtual time in epoch seconds."""
        return BEGINNING + self._no_wait.now

    def run_in_executor(  # type: ignore[override] # the base class speaks in type variables
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Run a function on the loop itself, a drawn moment from now.

        One whose caller is cancelled meanwhile may have left already: half of them still run.
        """
        future: asyncio.Future[Any] = self.create_future()
        leaves_anyway = self._chance.random() < 0.5

        def run() -> None:
            if future.cancelled() and not leaves_anyway:
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_later(self._chance.uniform(*THREAD_S), run)
        return future


class HostClock:
    """The clock of the machine that the functions host runs on; it can be set wrongly."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._last = datetime.fromtimestamp(0, UTC)
        self.offset_s = 0.0
        self._jumps: list[tuple[float, float]] = []
        self._told: list[Callable[[], None]] = []

    def time(self) -> float:
        """Read it as a program does: epoch seconds that may go back."""
        return self._loop.wall() + self.offset_s

    def at(self, virtual_s: float) -> float:
        """Tell what it showed at a virtual second, epoch seconds."""
        offset_s = sum(step_s for at, step_s in self._jumps if at <= virtual_s)
        return BEGINNING + virtual_s + offset_s

    def jumped_s(self, since: float, until: float) -> float:
        """Add up its jumps, forward and back, between two virtual seconds."""
        return sum((abs(step_s) for at, step_s in self._jumps if since < at <= until), start=0.0)

    def now(self) -> datetime:
        """Read it as the engine does: held at the last moment while it has gone back."""
        self._last = max(self._last, datetime.fromtimestamp(self.time(), UTC))
        return self._last

    def wait(self, condition: threading.Condition, until: datetime | None) -> None:
        """Refuse: nothing may block the one thread."""
        raise NotImplementedError("the rehearsal has one thread; nothing in it waits")

    def on_jump(self, call: Callable[[], None]) -> None:
        """Have something called after every jump."""
        self._told.append(call)

    def jump(self, step_s: float) -> None:
        """Set the clock forward or back, in seconds."""
        self.offset_s += step_s
        self._jumps.append((self._loop.time(), step_s))
        for call in list(self._told):
            call()


class LoopAlarm(Alarm):
    """The engine's alarm on the virtual loop."""

    def __init__(
        self, loop: VirtualLoop, clock: HostClock, run: Callable[[Callable[[], None]], None]
    ) -> None:
        """Make an alarm.

        Args:
            loop: Where the calls are made.
            clock: Tells what is due.
            run: Makes one call; it stands between the call and the end of its host.
        """
        self._loop = loop
        self._host_clock = clock
        self._call = run
        self._calls: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._handle: asyncio.TimerHandle | None = None
        self._is_over = False
        clock.on_jump(self._set)

    def start(self) -> None:
        """Begin to call back."""
        self._set()

    def stop(self) -> None:
        """Call nothing back any more."""
        self._is_over = True
        self._calls.clear()
        if self._handle is not None:
            self._handle.cancel()

    def at(self, moment: datetime, call: Callable[[], None]) -> None:
        """Ask for a call at a moment of the host's clock."""
        heapq.heappush(self._calls, (moment, next(self._order), call))
        if self._calls[0][2] is call:
            self._set()

    def _set(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._calls and not self._is_over:
            left_s = self._calls[0][0].timestamp() - self._host_clock.time()
            self._handle = self._loop.call_later(max(0.0, left_s), self._ring)

    def _ring(self) -> None:
        self._handle = None
        # What is due within a microsecond is due: moments lose that much on their way.
        while self._calls and not self._is_over:
            if self._calls[0][0].timestamp() - self._host_clock.now().timestamp() > 1e-5:
                break
            self._call(heapq.heappop(self._calls)[2])
        self._set()


class LoopExecutor(Executor):
    """Runs the engine's episodes on the loop, one after the other."""

    def __init__(self, loop: VirtualLoop, run: Callable[[Callable[[], None]], None]) -> None:
        """Make an executor.

        Args:
            loop: Where they run.
            run: Runs one of them; it stands between an episode and the end of its host.
        """
        self._loop = loop
        self._run = run
        self._is_over = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run something soon."""
        self._loop.call_soon(self._begin, lambda: fn(*args, **kwargs))
        return Future()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Begin nothing more."""
        self._is_over = True

    def _begin(self, call: Callable[[], None]) -> None:
        if not self._is_over:
            self._run(call)
