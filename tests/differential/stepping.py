"""One thread and one random source in the place of threads and time, and kills of the host.

Everything that the engine would do on a thread becomes one entry of a list; the `Schedule` picks
the next one at random, and lets time jump to the next alarm when nothing is left. So one seed
means one order of events, however strange, and any failure can be had again.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import datetime
from typing import Any

from localcloud.clock import VirtualClock
from localcloud.functions_host.alarm import Alarm


class KilledError(BaseException):
    """The host was killed. Not an `Exception`, so that nothing takes it for a failure.

    Attributes:
        is_stored: Whether the commit that it met was still made.
    """

    def __init__(self, *, is_stored: bool) -> None:
        super().__init__()
        self.is_stored = is_stored


class Schedule:
    """What is to be done, in random order."""

    def __init__(self, source: random.Random, clock: VirtualClock) -> None:
        self._source = source
        self._clock = clock
        self._ready: list[Callable[[], object]] = []
        self._alarms: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def add(self, call: Callable[[], object]) -> None:
        """Have something done."""
        self._ready.append(call)

    def add_at(self, moment: datetime, call: Callable[[], None]) -> None:
        """Have something done at a moment."""
        heapq.heappush(self._alarms, (moment, next(self._numbers), call))

    def clear(self) -> None:
        """Forget everything, as a killed process does."""
        self._ready.clear()
        self._alarms.clear()

    def advance_to(self, moment: datetime) -> None:
        """Let time pass; what comes due becomes something to be done."""
        moment = max(moment, self._clock.now())
        self._clock.advance(moment - self._clock.now())
        while self._alarms and self._alarms[0][0] <= moment:
            self._ready.append(heapq.heappop(self._alarms)[2])

    def step(self) -> bool:
        """Do one thing, the next alarm's if there is no other; tells whether there was one."""
        if not self._ready and self._alarms:
            self.advance_to(self._alarms[0][0])
        return self.step_now()

    def step_now(self) -> bool:
        """Do one thing without letting time pass; tells whether there was one."""
        if not self._ready:
            return False
        self._ready.pop(self._source.randrange(len(self._ready)))()
        return True


class SteppedExecutor(Executor):
    """Runs on the schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self._schedule.add(lambda: call(*args, **kwargs))
        return Future()


class SteppedAlarm(Alarm):
    """Calls back on the schedule."""

    def __init__(self, clock: VirtualClock, schedule: Schedule) -> None:
        super().__init__(clock)
        self._schedule = schedule

    def start(self) -> None: ...

    def at(self, moment: datetime, call: Callable[[], None]) -> None:
        self._schedule.add_at(moment, call)


class Kills:
    """Says at which commits the host dies; this one never does.

    Attributes:
        count: How many hosts it has killed.
    """

    def __init__(self) -> None:
        self.count = 0

    def meet(self, moment: str) -> None:
        """Meet a commit, ``before`` or ``after`` it is made.

        Raises:
            KilledError: The host dies here.
        """

    def meet_boot(self, moment: str) -> None:
        """Meet a commit of a host that takes the file over, see `meet`."""

    def kill(self, moment: str) -> None:
        """Kill the host."""
        self.count += 1
        raise KilledError(is_stored=moment == "after")


class KillAtEvery(Kills):
    """Kills at every commit: once before it is made and, when it is tried again, right after."""

    def __init__(self, source: random.Random) -> None:
        super().__init__()
        self._source = source
        self._is_before = True

    def meet(self, moment: str) -> None:
        if (moment == "before") == self._is_before:
            self._is_before = not self._is_before
            self.kill(moment)

    def meet_boot(self, moment: str) -> None:
        # Now and then only, or no host would ever be up.
        if self._source.random() < 0.02:
            self.kill(moment)


class KillAtOne(Kills):
    """Kills at one commit only, when the host has much in memory."""

    def __init__(self, number: int, moment: str) -> None:
        super().__init__()
        self._left = number
        self._moment = moment

    def meet(self, moment: str) -> None:
        if moment == self._moment:
            self._left -= 1
            if self._left == 0:
                self.kill(moment)
