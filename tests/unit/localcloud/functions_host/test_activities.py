import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import azure.durable_functions as df
import pytest

from localcloud.functions_host.activities import ActivityRunner
from localcloud.functions_host.alarm import Alarm
from localcloud.functions_host.loader import index_app
from localcloud.functions_host.store import ActivityRow
from localcloud.functions_host.worker import Worker


class FakeTaker:
    """Keeps results by row."""

    def __init__(self):
        self.results = []

    def finish_activity(self, row, result):
        self.results.append((row.id, result))


class Gate:
    """Counts who is inside, and lets everyone out at once."""

    def __init__(self):
        self.inside = 0
        self.most = 0
        self.is_open = False

    async def __call__(self):
        self.inside += 1
        self.most = max(self.most, self.inside)
        while not self.is_open:
            await asyncio.sleep(0.002)
        self.inside -= 1


def order(key, name="follow", value="1"):
    return ActivityRow(key, "i", "x", key, name, value)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def taker():
    return FakeTaker()


@pytest.fixture
def alarm(clock):
    alarm = Alarm(clock)
    alarm.start()
    yield alarm
    alarm.stop()


@pytest.fixture
def make_runner(gate, taker, alarm, clock):
    app = df.DFApp()

    @app.activity_trigger(input_name="value")
    async def follow(value):
        await gate()
        return value

    @app.activity_trigger(input_name="value")
    def fail(value):
        raise ValueError("boom")

    @app.activity_trigger(input_name="value")
    def unwritable(value):
        return {1, 2}

    @app.activity_trigger(input_name="value")
    def name_thread(value):
        return threading.current_thread().name

    worker = Worker(index_app(app), Path(), threads=2)
    worker.start("")

    def make(**options):
        return ActivityRunner(worker, taker, alarm, clock, **{"limit": 100, **options})

    yield make
    gate.is_open = True
    worker.stop()


class TestActivityRunner:
    def test_keeps_to_the_limit(self, make_runner, gate, taker, until):
        make_runner(limit=5).dispatch(order(n) for n in range(20))
        until(lambda: gate.inside == 5)

        gate.is_open = True

        until(lambda: len(taker.results) == 20)
        assert gate.most == 5

    def test_async_ones_wait_side_by_side_without_threads(self, make_runner, gate, until):
        runner = make_runner()
        threads = threading.active_count()

        runner.dispatch(order(n) for n in range(60))

        until(lambda: gate.inside == 60)
        assert threading.active_count() <= threads

    def test_plain_ones_run_on_the_pool(self, make_runner, taker, until):
        make_runner().dispatch([order(1, "name_thread")])

        until(lambda: taker.results)
        assert taker.results[0][1]["Result"].startswith('"function')

    def test_writes_failures_as_the_extension_does(self, make_runner, taker, until):
        make_runner().dispatch([order(1, "fail")])

        until(lambda: taker.results)
        assert taker.results[0][1]["Reason"] == (
            "Activity function 'fail' failed:  ValueError: boom"
        )

    @pytest.mark.parametrize("name", ["unwritable", "gone"])
    def test_fails_what_cannot_be_run_or_written(self, make_runner, taker, until, name):
        make_runner().dispatch([order(1, name)])

        until(lambda: taker.results)
        assert "Reason" in taker.results[0][1]

    def test_delivers_twice_when_asked(self, make_runner, gate, taker, until):
        make_runner(delivers_twice=True).dispatch([order(1)])
        until(lambda: gate.inside == 2)

        gate.is_open = True

        until(lambda: len(taker.results) == 2)

    def test_ends_what_runs_too_long(self, make_runner, gate, taker, clock, until):
        make_runner(timeout=timedelta(minutes=5)).dispatch([order(1)])
        until(lambda: gate.inside == 1)

        clock.advance(timedelta(minutes=6))

        until(lambda: taker.results)
        assert "Timeout value of 0:05:00 exceeded" in taker.results[0][1]["Reason"]
