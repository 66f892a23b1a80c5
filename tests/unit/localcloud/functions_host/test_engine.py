import json
from concurrent.futures import Executor, Future
from datetime import timedelta

import azure.durable_functions as df
import pytest
from azure.functions.meta import Datum

from localcloud.functions_host import bindings
from localcloud.functions_host.engine import Engine, EngineOptions
from localcloud.functions_host.errors import InstanceExistsError, NotTerminalError
from localcloud.functions_host.store import Store

# The SDK says so once per process, to whichever test comes first.
pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads was called")


class FakeApp:
    """Orchestrators by name, run through the real SDK."""

    def __init__(self, **orchestrators):
        self.handles = {name: df.Orchestrator.create(o) for name, o in orchestrators.items()}

    def has_activity(self, name):
        return name == "act"

    def has_orchestrator(self, name):
        return name in self.handles

    def has_entity(self, name):
        return False

    def call_orchestrator(self, name, context):
        value = bindings.decode("orchestrationTrigger", Datum(context, "json"))
        return self.handles[name](context=value)

    def call_entity(self, name, context):
        raise NotImplementedError


class HeldActivities:
    """Keeps activities until the test answers them."""

    def __init__(self):
        self.rows = []

    def dispatch(self, rows):
        self.rows.extend(rows)


class HeldEpisodes(Executor):
    """Keeps episodes until the test runs them."""

    def __init__(self):
        self.calls = []

    def submit(self, call, /, *args, **kwargs):
        self.calls.append(lambda: call(*args, **kwargs))
        return Future()

    def run(self):
        """Run what was kept and tell how many there were."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()
        return len(calls)


class SlowApp(FakeApp):
    """Takes 0.2 s of the clock for each call."""

    def __init__(self, clock, **orchestrators):
        super().__init__(**orchestrators)
        self.clock = clock
        self.takes = timedelta(seconds=0.2)

    def call_orchestrator(self, name, context):
        self.clock.advance(self.takes)
        return super().call_orchestrator(name, context)


def act_thrice(context):
    return (yield context.task_all([context.call_activity("act", n) for n in range(3)]))


def act_twice(context):
    first = yield context.call_activity("act", 1)
    second = yield context.call_activity("act", 2)
    return [first, second]


def sleep_a_year(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(days=365))
    return "awake"


def spin(context):
    rounds = context.get_input()
    if rounds:
        context.continue_as_new(rounds - 1)
    return rounds


@pytest.fixture
def held():
    return HeldActivities()


@pytest.fixture
def engine(store, clock, held):
    app = FakeApp(act_twice=act_twice, sleep_a_year=sleep_a_year, spin=spin)
    engine = Engine(store, app, clock, EngineOptions(is_strict=True))
    engine.start(held)
    yield engine
    engine.stop()


def status(store, instance_id):
    return store.read_instance(instance_id).status


class TestActivities:
    def test_a_second_result_changes_nothing(self, engine, store, held, until):
        instance_id = engine.start_instance("act_twice", None, None)
        until(lambda: len(held.rows) == 1)
        engine.finish_activity(held.rows[0], {"Result": '"a"'})
        engine.finish_activity(held.rows[0], {"Result": '"late"'})
        until(lambda: len(held.rows) == 2)

        engine.finish_activity(held.rows[1], {"Result": '"b"'})

        until(lambda: status(store, instance_id) == "Completed")
        assert store.read_instance(instance_id).output == '["a", "b"]'

    def test_a_result_for_a_terminated_instance_is_dropped(self, engine, store, held, until):
        instance_id = engine.start_instance("act_twice", None, None)
        until(lambda: len(held.rows) == 1)
        engine.terminate(instance_id, "enough")
        until(lambda: status(store, instance_id) == "Terminated")

        engine.finish_activity(held.rows[0], {"Result": '"a"'})

        assert status(store, instance_id) == "Terminated"
        assert store.take_over_activities() == []

    def test_a_result_of_an_earlier_run_of_the_same_id_is_dropped(
        self, engine, store, held, until
    ):
        engine.start_instance("act_twice", "same", None)
        until(lambda: len(held.rows) == 1)
        engine.terminate("same", "enough")
        until(lambda: status(store, "same") == "Terminated")
        engine.start_instance("act_twice", "same", None)
        until(lambda: len(held.rows) == 2)

        engine.finish_activity(held.rows[0], {"Result": '"old"'})
        engine.finish_activity(held.rows[1], {"Result": '"new"'})
        until(lambda: len(held.rows) == 3)
        engine.finish_activity(held.rows[2], {"Result": '"b"'})

        until(lambda: status(store, "same") == "Completed")
        assert json.loads(store.read_instance("same").output) == ["new", "b"]

    def test_unanswered_ones_are_delivered_by_the_next_host(
        self, engine, store, clock, held, until, tmp_path
    ):
        instance_id = engine.start_instance("act_twice", None, None)
        until(lambda: len(held.rows) == 1)
        engine.stop()
        other_store = Store(tmp_path / "durable.sqlite", lease="next-run")
        other = Engine(other_store, FakeApp(act_twice=act_twice), clock)
        again = HeldActivities()

        other.start(again)

        assert [row.deliveries for row in again.rows] == [2]
        other.finish_activity(again.rows[0], {"Result": '"a"'})
        until(lambda: len(again.rows) == 2)
        assert status(other_store, instance_id) == "Running"
        other.stop()
        other_store.close()


class TestRest:
    """Results of activities gather for a while, because each episode replays all before it."""

    @pytest.fixture
    def threads(self):
        return HeldEpisodes()

    @pytest.fixture
    def app(self, clock):
        return SlowApp(clock, act_thrice=act_thrice, act_twice=act_twice)

    @pytest.fixture
    def slow(self, store, app, clock, held, threads):
        engine = Engine(store, app, clock, executor=threads)
        engine.start(held)
        yield engine
        engine.stop()

    def test_lasts_twice_as_long_as_the_episode_before(self, slow, clock, held, threads, until):
        slow.start_instance("act_thrice", None, None)
        threads.run()

        slow.finish_activity(held.rows[0], {"Result": "0"})
        slow.finish_activity(held.rows[1], {"Result": "1"})

        assert threads.calls == []
        clock.advance(timedelta(seconds=0.4))
        until(lambda: threads.calls)
        assert threads.run() == 1

    def test_is_short_even_if_the_machine_slept(self, slow, app, clock, held, threads, until):
        app.takes = timedelta(hours=8)
        slow.start_instance("act_thrice", None, None)
        threads.run()

        slow.finish_activity(held.rows[0], {"Result": "0"})

        clock.advance(timedelta(seconds=1))
        until(lambda: threads.calls)

    def test_ends_with_the_last_result(self, slow, store, held, threads):
        instance_id = slow.start_instance("act_thrice", None, None)
        threads.run()

        for row in held.rows:
            slow.finish_activity(row, {"Result": "0"})

        assert threads.run() == 1
        assert status(store, instance_id) == "Completed"

    def test_is_none_between_activities_in_sequence(self, slow, held, threads):
        slow.start_instance("act_twice", None, None)
        threads.run()

        slow.finish_activity(held.rows[0], {"Result": "0"})

        assert threads.run() == 1

    def test_is_none_once_it_is_over_by_itself(self, slow, clock, held, threads):
        slow.start_instance("act_thrice", None, None)
        threads.run()
        clock.advance(timedelta(seconds=0.4))

        slow.finish_activity(held.rows[0], {"Result": "0"})

        assert threads.run() == 1


class TestTime:
    def test_a_year_passes_as_fast_as_the_clock_says(self, engine, store, clock, until):
        instance_id = engine.start_instance("sleep_a_year", None, None)
        until(lambda: status(store, instance_id) == "Running")

        def pass_time():
            clock.advance(timedelta(days=1))
            return status(store, instance_id) == "Completed"

        until(pass_time)

        row = store.read_instance(instance_id)
        assert row.updated_at - row.created_at >= timedelta(days=365)


class TestStarts:
    def test_refuses_a_live_id(self, engine):
        engine.start_instance("act_twice", "taken", None)

        with pytest.raises(InstanceExistsError):
            engine.start_instance("act_twice", "taken", None)

    def test_does_not_purge_a_live_instance(self, engine):
        engine.start_instance("act_twice", "live", None)

        with pytest.raises(NotTerminalError):
            engine.purge("live")

    def test_goes_round_without_growing(self, engine, store, until):
        instance_id = engine.start_instance("spin", None, '"300"')

        until(lambda: status(store, instance_id) == "Completed")

        assert store.read_instance(instance_id).output == "0"
        assert len(store.read_history(instance_id)) == 4
        assert store.read_inbox() == []


class TestFailures:
    def test_a_step_that_cannot_be_stored_is_tried_again(
        self, engine, store, clock, held, until, monkeypatch
    ):
        apply, failures = store.apply, []

        def fail_once(changes):
            if changes.ordered and not failures:
                failures.append(1)
                raise OSError("disk full")
            apply(changes)

        monkeypatch.setattr(store, "apply", fail_once)
        engine.start_instance("act_twice", None, None)
        until(lambda: failures)

        def pass_time():
            clock.advance(timedelta(seconds=1))
            return bool(held.rows)

        until(pass_time)
        assert len(held.rows) == 1
