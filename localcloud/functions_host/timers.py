"""Timer triggers: when they run next, kept across restarts."""

import logging
import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any

from croniter import CroniterError, croniter

from localcloud.clock import Clock
from localcloud.functions_host import bindings
from localcloud.functions_host.alarm import Alarm
from localcloud.functions_host.errors import AppLoadError
from localcloud.functions_host.host_settings import parse_timespan
from localcloud.functions_host.loader import AppFunction
from localcloud.functions_host.store import ScheduleRow, Store
from localcloud.functions_host.worker import Worker

logger = logging.getLogger(__name__)

CRON_FIELDS = 6


class Schedule:
    """An NCRONTAB expression of six fields (or five), or an interval ``hh:mm:ss``."""

    def __init__(self, text: str) -> None:
        """Read an expression.

        Raises:
            AppLoadError: It is neither.
        """
        self.text = text
        self._interval = parse_timespan(text)
        if self._interval is not None:
            if self._interval <= timedelta(0):
                raise AppLoadError(f"the interval '{text}' must be greater than zero")
            return
        if len(text.split()) not in (CRON_FIELDS - 1, CRON_FIELDS):
            raise AppLoadError(f"the schedule '{text}' is no NCRONTAB expression of six fields")
        try:
            self.next_after(datetime(2026, 1, 1).astimezone())
        except CroniterError as error:
            raise AppLoadError(f"the schedule '{text}' can't be read: {error}") from error

    def next_after(self, moment: datetime) -> datetime:
        """Compute the first run after a moment."""
        if self._interval is not None:
            return moment + self._interval
        found: datetime = croniter(self.text, moment, second_at_beginning=True).get_next(datetime)
        return found


class TimerTriggers:
    """The timer functions of an app; none overlaps with itself."""

    def __init__(
        self, worker: Worker, store: Store, alarm: Alarm, clock: Clock, environ: Mapping[str, str]
    ) -> None:
        """Read the schedules.

        Raises:
            AppLoadError: One can't be read, or its setting is missing.
        """
        self._worker = worker
        self._store = store
        self._alarm = alarm
        self._clock = clock
        self._lock = threading.Lock()
        self._schedules = {
            function.name: (function, Schedule(_resolve(function, environ)))
            for function in worker.app.functions.values()
            if function.trigger_type == "timerTrigger"
        }

    def start(self) -> None:
        """Set every timer; one that was missed while the host was down runs at once."""
        for function, schedule in self._schedules.values():
            self._begin(function, schedule)

    def _begin(self, function: AppFunction, schedule: Schedule) -> None:
        now = self._clock.now()
        row = self._store.read_schedule(function.name)
        if row is None or row.schedule != schedule.text:
            row = ScheduleRow(function.name, schedule.text, None, schedule.next_after(now), now)
            self._store.write_schedule(row)
        is_past_due = row.next_at < now
        if is_past_due or function.trigger.get("runOnStartup"):
            self._run(function, schedule, row, is_past_due=is_past_due)
        else:
            self._set(function, schedule, row)

    def _set(self, function: AppFunction, schedule: Schedule, row: ScheduleRow) -> None:
        self._alarm.at(row.next_at, lambda: self._run(function, schedule, row))

    def _run(
        self,
        function: AppFunction,
        schedule: Schedule,
        row: ScheduleRow,
        *,
        is_past_due: bool = False,
    ) -> None:
        now = self._clock.now()
        next_at = schedule.next_after(now)
        datum = bindings.to_timer_datum(
            last_at=row.last_at, next_at=next_at, updated_at=now, is_past_due=is_past_due
        )
        future = self._worker.submit(function, bindings.decode_trigger(function, datum))

        def finish(done: "Future[Any]") -> None:
            report(function, done)
            self._set_next(function, schedule, now)

        future.add_done_callback(finish)

    def _set_next(self, function: AppFunction, schedule: Schedule, ran_at: datetime) -> None:
        now = self._clock.now()
        row = ScheduleRow(function.name, schedule.text, ran_at, schedule.next_after(now), now)
        try:
            self._store.write_schedule(row)
        except Exception:
            logger.exception("the schedule of %s was not stored", function.name)
        self._set(function, schedule, row)


def report(function: AppFunction, done: "Future[Any]") -> None:
    """Log how a function without an answer ended."""
    if done.cancelled():
        return
    error = done.exception()
    if error is not None:
        logger.error("the function %s failed", function.name, exc_info=error)
    elif done.result() is not None:
        logger.error(
            "the function %s returned a value without a $return binding: Azure fails it",
            function.name,
        )


def _resolve(function: AppFunction, environ: Mapping[str, str]) -> str:
    text = str(function.trigger["schedule"])
    match = re.fullmatch(r"%([^%]+)%", text)
    if match is None:
        return text
    value = environ.get(match[1])
    if not value:
        raise AppLoadError(f"the timer '{function.name}' needs the app setting {match[1]}")
    return value
