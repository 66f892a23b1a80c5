from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest

from localcloud.functions_host.alarm import Alarm
from localcloud.functions_host.errors import AppLoadError
from localcloud.functions_host.loader import index_app
from localcloud.functions_host.timers import Schedule, TimerTriggers

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FakeWorker:
    """Notes what it is asked to run, and is done with it at once."""

    def __init__(self, schedule):
        app = func.FunctionApp()

        @app.timer_trigger(arg_name="timer", schedule=schedule)
        def tick(timer: func.TimerRequest): ...

        self.app = index_app(app)
        self.runs = []

    def submit(self, function, values):
        self.runs.append(values["timer"])
        done = Future()
        done.set_result(None)
        return done


class TestSchedule:
    @pytest.mark.parametrize(
        ("text", "next_at"),
        [
            ("0 */5 * * * *", NOON + timedelta(minutes=5)),
            ("30 0 12 * * *", NOON + timedelta(seconds=30)),
            ("*/5 * * * *", NOON + timedelta(minutes=5)),
            ("0 0 3 * * 1", datetime(2026, 1, 5, 3, tzinfo=UTC)),
            ("00:00:10", NOON + timedelta(seconds=10)),
        ],
    )
    def test_reads_ncrontab_and_intervals(self, text, next_at):
        assert Schedule(text).next_after(NOON) == next_at

    @pytest.mark.parametrize("text", ["", "every day", "61 * * * * *", "00:00:00", "* * * *"])
    def test_refuses_the_rest(self, text):
        with pytest.raises(AppLoadError):
            Schedule(text)


class TestTimerTriggers:
    @pytest.fixture
    def alarm(self, clock):
        alarm = Alarm(clock)
        alarm.start()
        yield alarm
        alarm.stop()

    def start(self, worker, store, alarm, clock, **environ):
        TimerTriggers(worker, store, alarm, clock, environ).start()

    def test_runs_when_it_is_due_and_not_before(self, store, alarm, clock, until):
        worker = FakeWorker("0 */5 * * * *")
        self.start(worker, store, alarm, clock)
        assert worker.runs == []

        clock.advance(timedelta(minutes=5))

        until(lambda: len(worker.runs) == 1)
        assert not worker.runs[0].past_due
        until(lambda: store.read_schedule("tick").next_at == clock.now() + timedelta(minutes=5))

    def test_a_run_missed_while_the_host_was_down_is_past_due(self, store, alarm, clock):
        self.start(FakeWorker("0 */5 * * * *"), store, alarm, clock)
        alarm.stop()
        clock.advance(timedelta(hours=1))
        worker = FakeWorker("0 */5 * * * *")

        self.start(worker, store, alarm, clock)

        assert [run.past_due for run in worker.runs] == [True]

    def test_another_schedule_begins_afresh(self, store, alarm, clock):
        self.start(FakeWorker("0 */5 * * * *"), store, alarm, clock)
        clock.advance(timedelta(hours=1))
        worker = FakeWorker("0 0 * * * *")

        self.start(worker, store, alarm, clock)

        assert worker.runs == []

    def test_reads_its_schedule_from_a_setting(self, store, alarm, clock):
        worker = FakeWorker("%TICK%")
        self.start(worker, store, alarm, clock, TICK="0 0 * * * *")

        assert store.read_schedule("tick").schedule == "0 0 * * * *"
        with pytest.raises(AppLoadError, match="TICK"):
            self.start(worker, store, alarm, clock)
