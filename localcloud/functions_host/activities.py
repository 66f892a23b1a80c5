"""Hands activities to the worker, never more at a time than host.json allows."""

import asyncio
import itertools
import json
import logging
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from azure.functions.meta import Datum

from localcloud.clock import Clock
from localcloud.functions_host import bindings
from localcloud.functions_host.alarm import Alarm
from localcloud.functions_host.errors import HostStoppingError
from localcloud.functions_host.http_activity import call_http
from localcloud.functions_host.replay import HTTP_ACTIVITY
from localcloud.functions_host.store import ActivityRow
from localcloud.functions_host.worker import Worker

logger = logging.getLogger(__name__)


class ResultTaker(Protocol):
    """Takes in results of activities."""

    def finish_activity(self, row: ActivityRow, result: dict[str, object]) -> None:
        """Take in a result; a second one for the same row is dropped."""
        ...


@dataclass(frozen=True)
class _Run:
    """An activity under way, to be ended at its deadline."""

    row: ActivityRow
    future: "Future[Any]"
    deadline: datetime


class ActivityRunner:
    """A queue of activities in front of the worker.

    An async activity holds a place but no thread, so that many of them can wait side by side.
    """

    def __init__(
        self,
        worker: Worker,
        taker: ResultTaker,
        alarm: Alarm,
        clock: Clock,
        *,
        limit: int,
        timeout: timedelta | None = None,
        delivers_twice: bool = False,
    ) -> None:
        """Make an empty queue.

        Args:
            worker: Runs the functions.
            taker: Gets the results.
            alarm: Tells when one has run too long.
            clock: Source of times.
            limit: Most activities under way.
            timeout: Longest run of an activity; a thread that overruns it is left alone.
            delivers_twice: Run each activity twice at the same time.
        """
        self._worker = worker
        self._taker = taker
        self._alarm = alarm
        self._clock = clock
        self._limit = limit
        self._timeout = timeout
        self._copies = 2 if delivers_twice else 1
        self._lock = threading.Lock()
        self._waiting: deque[ActivityRow] = deque()
        self._running = 0
        self._numbers = itertools.count()
        self._under_way: dict[int, _Run] = {}
        self._has_alarm = False

    def dispatch(self, rows: Iterable[ActivityRow]) -> None:
        """Queue activities and start as many as may run."""
        with self._lock:
            for row in rows:
                self._waiting.extend([row] * self._copies)
        self._start_waiting()

    def _start_waiting(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._running >= self._limit:
                    return
                row = self._waiting.popleft()
                self._running += 1
            self._start(row)

    def _start(self, row: ActivityRow) -> None:
        try:
            future = self._submit(row)
        except HostStoppingError:
            # The lease stays in the store, and the next host runs it.
            return
        except Exception as error:  # noqa: BLE001 - any refusal is the activity's failure
            future = Future()
            future.set_exception(error)
        number = next(self._numbers)
        if self._timeout is not None:
            self._watch(number, _Run(row, future, self._clock.now() + self._timeout))
        future.add_done_callback(lambda done: self._finish(number, row, done))

    def _watch(self, number: int, run: "_Run") -> None:
        with self._lock:
            self._under_way[number] = run
            if not self._has_alarm:
                self._has_alarm = True
                self._alarm.at(run.deadline, self._end_overdue)

    def _end_overdue(self) -> None:
        """Fail whatever runs too long. All have the same limit, so the oldest is due first."""
        now = self._clock.now()
        with self._lock:
            numbers = [n for n, run in self._under_way.items() if run.deadline <= now]
            overdue = [self._under_way.pop(number) for number in numbers]
        for run in overdue:
            text = (
                f"Timeout value of {self._timeout} exceeded by function 'Functions.{run.row.name}'"
            )
            logger.error("%s of %s", text, run.row.instance_id)
            self._taker.finish_activity(run.row, to_failure(run.row.name, TimeoutError(text)))
            run.future.cancel()
        with self._lock:
            oldest = next(iter(self._under_way.values()), None)
            self._has_alarm = oldest is not None
            if oldest is not None:
                self._alarm.at(oldest.deadline, self._end_overdue)

    def _submit(self, row: ActivityRow) -> "Future[Any]":
        if row.name == HTTP_ACTIVITY:
            request = json.loads(row.input or "{}")
            return self._worker.submit_coroutine(lambda: call_http(request))
        function = self._worker.app.activities.get(row.name.lower())
        if function is None:
            raise LookupError(
                f"no activity named '{row.name}' is registered any more, or it is disabled"
            )
        datum = Datum(row.input or "", "string")
        return self._worker.submit(function, bindings.decode_trigger(function, datum))

    def _finish(self, number: int, row: ActivityRow, done: "Future[Any]") -> None:
        with self._lock:
            self._under_way.pop(number, None)
            self._running -= 1
        try:
            self._taker.finish_activity(row, self._to_result(row, done))
        except Exception:
            logger.exception("the result of activity %s was not stored", row.name)
        self._start_waiting()

    def _to_result(self, row: ActivityRow, done: "Future[Any]") -> dict[str, object]:
        # A function that cancels itself has failed; one that the host cancels at its end has not,
        # and the engine takes no result any more by then.
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            try:
                return {"Result": bindings.encode_result("activityTrigger", done.result()).value}
            except ValueError as failure:
                error = failure
        if not isinstance(error, asyncio.CancelledError):
            logger.warning(
                "activity %s of %s failed: %s: %s",
                row.name,
                row.instance_id,
                type(error).__name__,
                error,
                exc_info=error if logger.isEnabledFor(logging.DEBUG) else None,
            )
        return to_failure(row.name, error)


def to_failure(name: str, error: BaseException) -> dict[str, object]:
    """Write an activity's failure as the Durable extension stores it.

    Args:
        name: The activity.
        error: What it raised.

    Returns:
        ``Reason``, a sentence, and ``Details``, a .NET exception as JSON text.
    """
    text = f" {type(error).__name__}: {error}"
    details = {
        "$type": "System.Exception, System.Private.CoreLib",
        "ClassName": "System.Exception",
        "Message": text,
        "Data": None,
        "InnerException": None,
        "HelpURL": None,
        "StackTraceString": None,
        "Source": None,
    }
    return {
        "Reason": f"Activity function '{name}' failed: {text}",
        "Details": json.dumps(details),
    }
