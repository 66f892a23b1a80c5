"""What Azure does in silence, provoked through the real SDK: strict mode must say so at once."""

from datetime import timedelta
from pathlib import Path

import azure.durable_functions as df
import pytest

from localcloud.functions_host.activities import ActivityRunner
from localcloud.functions_host.engine import Engine, EngineOptions
from localcloud.functions_host.loader import index_app
from localcloud.functions_host.worker import Worker

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads was called")
OPTIONS = df.RetryOptions(1000, 2)


def loops_over_one_wait(context):
    event = context.wait_for_external_event("go")
    while True:
        timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=10))
        winner = yield context.task_any([event, timer])
        if winner is event:
            break
    yield context.call_activity("works", None)


def waits_afresh(context):
    while True:
        event = context.wait_for_external_event("go")
        timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=10))
        winner = yield context.task_any([event, timer])
        if winner is event:
            timer.cancel()
            break
    yield context.call_activity("works", None)


def yields_a_retry_twice(context):
    retried = context.call_activity_with_retry("fails", OPTIONS, None)
    yield context.task_any([retried, context.call_activity("works", None)])
    try:
        yield retried
    except Exception:
        yield context.call_activity("works", None)


def waits_twice_for_one_name(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=5))
    first = yield context.wait_for_external_event("go")
    second = yield context.wait_for_external_event("go")
    return [first, second]


def writes_names_carelessly(context):
    yield context.wait_for_external_event("GO")


def leaves_a_timer(context):
    timer = context.create_timer(context.current_utc_datetime + timedelta(minutes=5))
    yield context.task_any([context.call_activity("works", None), timer])


def calls_nobody(context):
    yield context.call_activity("nobody", None)


@pytest.fixture
def make_engine(store, clock):
    app = df.DFApp()
    for function in (
        loops_over_one_wait,
        waits_afresh,
        yields_a_retry_twice,
        waits_twice_for_one_name,
        writes_names_carelessly,
        leaves_a_timer,
        calls_nobody,
    ):
        app.orchestration_trigger(context_name="context")(function)

    @app.activity_trigger(input_name="value")
    def works(value): ...

    @app.activity_trigger(input_name="value")
    def fails(value):
        raise ValueError("boom")

    indexed, started = index_app(app), []

    def make(*, is_strict):
        worker = Worker(indexed, Path(), threads=2, is_strict=is_strict)
        worker.start("")
        engine = Engine(store, worker, clock, EngineOptions(is_strict=is_strict))
        engine.start(ActivityRunner(worker, engine, engine.alarm, clock, limit=10))
        started.extend((engine, worker))
        return engine

    yield make
    for one in started:
        one.stop()


@pytest.fixture
def finish(store, clock, until):
    """Lets time pass until an orchestration has ended; returns its row."""

    def finish(instance_id):
        def pass_time():
            clock.advance(timedelta(seconds=1))
            return store.read_instance(instance_id).is_over

        until(pass_time)
        return store.read_instance(instance_id)

    return finish


def start(engine, name, events, clock, until, store):
    instance_id = engine.start_instance(name, None, None)
    until(lambda: store.read_instance(instance_id).status != "Pending")
    for n, (after_s, event) in enumerate(events):
        clock.advance(timedelta(seconds=after_s))
        engine.raise_event(instance_id, event, f'"{n}"')
    return instance_id


class TestStrict:
    @pytest.mark.parametrize(
        ("name", "events", "words"),
        [
            ("yields_a_retry_twice", [], "with-retry task"),
            ("waits_twice_for_one_name", [(0, "go"), (0, "go")], "before the first wait"),
            ("writes_names_carelessly", [(0, "go")], "ignoring case"),
            ("leaves_a_timer", [], "never cancelled"),
            ("calls_nobody", [], "no activity named 'nobody'"),
        ],
    )
    def test_fails_with_a_sentence(
        self, make_engine, finish, store, clock, until, name, events, words
    ):
        engine = make_engine(is_strict=True)

        row = finish(start(engine, name, events, clock, until, store))

        assert row.status == "Failed"
        assert words in row.output

    def test_hears_of_an_event_wait_that_is_yielded_again(
        self, make_engine, finish, store, clock, until
    ):
        engine = make_engine(is_strict=True)
        instance_id = start(engine, "loops_over_one_wait", [], clock, until, store)
        clock.advance(timedelta(seconds=11))
        until(lambda: sum('"EventType":10' in one for one in store.read_history(instance_id)) == 2)

        engine.raise_event(instance_id, "go", "1")

        assert "went on past" in finish(instance_id).output

    def test_leaves_the_sound_form_of_that_loop_alone(
        self, make_engine, finish, store, clock, until
    ):
        engine = make_engine(is_strict=True)
        instance_id = start(engine, "waits_afresh", [], clock, until, store)
        clock.advance(timedelta(seconds=11))
        until(lambda: sum('"EventType":10' in one for one in store.read_history(instance_id)) == 2)

        engine.raise_event(instance_id, "go", "1")

        assert finish(instance_id).status == "Completed"


class TestLenient:
    def test_an_event_wait_yielded_again_holds_up_the_next_action(
        self, make_engine, finish, store, clock, until
    ):
        engine = make_engine(is_strict=False)
        instance_id = start(engine, "loops_over_one_wait", [], clock, until, store)
        clock.advance(timedelta(seconds=11))
        until(lambda: sum('"EventType":10' in one for one in store.read_history(instance_id)) == 2)
        raised_at = clock.now()
        engine.raise_event(instance_id, "go", "1")

        row = finish(instance_id)

        assert row.status == "Completed"
        assert row.updated_at - raised_at >= timedelta(seconds=9)

    def test_a_timer_that_was_not_cancelled_delays_the_end(
        self, make_engine, finish, store, clock, until
    ):
        engine = make_engine(is_strict=False)

        row = finish(start(engine, "leaves_a_timer", [], clock, until, store))

        assert row.status == "Completed"
        assert row.updated_at - row.created_at >= timedelta(minutes=5)
