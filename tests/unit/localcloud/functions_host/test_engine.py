import json
import threading
from concurrent.futures import Executor, Future
from datetime import timedelta

import azure.durable_functions as df
import pytest
from azure.functions.meta import Datum

from localcloud.functions_host import bindings
from localcloud.functions_host.alarm import Alarm
from localcloud.functions_host.engine import Engine, EngineOptions
from localcloud.functions_host.errors import (
    InstanceExistsError,
    InstanceNotFoundError,
    InstanceOverError,
    InstanceStateError,
    NotTerminalError,
)
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


def waits(context):
    first = yield context.wait_for_external_event("go")
    second = yield context.wait_for_external_event("on")
    return [first, second]


def begins_anew(context):
    if context.get_input() == 1:
        context.set_custom_status("first generation")
        yield context.wait_for_external_event("go")
        context.continue_as_new(2)
        return None
    yield context.wait_for_external_event("on")
    return context.parent_instance_id


def calls_child(context):
    return (yield context.call_sub_orchestrator("waits", None, instance_id="child"))


def calls_twins(context):
    twins = [context.call_sub_orchestrator("waits", None, instance_id="twin") for _ in range(2)]
    return (yield context.task_all(twins))


def tells_version(context):
    if context.get_input() == "deeper":
        return (yield context.call_sub_orchestrator("tells_version", None))
    return context.version


def breaks(context):
    raise ValueError("boom")


@pytest.fixture
def threads():
    return HeldEpisodes()


@pytest.fixture
def stepped(store, clock, held, threads):
    """An engine whose episodes run when the test says so."""
    app = FakeApp(
        act_twice=act_twice,
        waits=waits,
        begins_anew=begins_anew,
        calls_child=calls_child,
        calls_twins=calls_twins,
        breaks=breaks,
    )
    engine = Engine(store, app, clock, executor=threads)
    engine.start(held)
    yield engine
    engine.stop()


def settle(threads):
    """Run episodes until none is left."""
    while threads.run():
        pass


class TestOneId:
    def test_is_started_once_however_many_start_it(self, stepped, store, held, threads):
        outcomes = []

        def start(number):
            try:
                outcomes.append(stepped.start_instance("act_twice", "one", f'"{number}"'))
            except InstanceExistsError:
                outcomes.append(None)

        starters = [threading.Thread(target=start, args=(n,)) for n in range(8)]
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join()
        settle(threads)

        assert sorted(outcomes, key=str) == [None] * 7 + ["one"]
        assert len(held.rows) == 1

    def test_begins_afresh_once_it_has_ended(self, stepped, store, threads):
        stepped.start_instance("waits", "one", None)
        settle(threads)
        old = store.read_instance("one")
        stepped.terminate("one", "enough")
        settle(threads)

        stepped.start_instance("waits", "one", '"again"')

        new = store.read_instance("one")
        assert (new.status, new.output, new.input) == ("Pending", None, '"again"')
        assert new.execution_id != old.execution_id
        assert store.read_history("one") == []


class TestReplacement:
    """What ``overridableExistingInstanceStates: AnyState`` allows."""

    def test_takes_the_place_of_a_live_instance(self, store, clock, held, threads):
        options = EngineOptions(replaces_live=True)
        engine = Engine(store, FakeApp(act_twice=act_twice), clock, options, executor=threads)
        engine.start(held)
        engine.start_instance("act_twice", "one", '"old"')
        settle(threads)

        engine.start_instance("act_twice", "one", '"new"')
        settle(threads)
        engine.finish_activity(held.rows[0], {"Result": '"of the old"'})
        settle(threads)

        assert store.read_instance("one").input == '"new"'
        assert len(held.rows) == 2
        engine.stop()


class TestChildren:
    def test_do_not_take_the_place_of_a_live_instance(self, stepped, store, threads):
        stepped.start_instance("waits", "child", None)
        settle(threads)

        stepped.start_instance("calls_child", "parent", None)
        settle(threads)

        assert "already exists: child" in store.read_instance("parent").output
        assert status(store, "child") == "Running"

    def test_may_have_the_id_of_one_that_has_ended(self, stepped, store, threads):
        stepped.start_instance("waits", "child", None)
        stepped.terminate("child", "")
        settle(threads)

        stepped.start_instance("calls_child", "parent", None)
        settle(threads)

        assert status(store, "child") == status(store, "parent") == "Running"

    def test_of_one_id_at_the_same_time_fail_their_parent(self, stepped, store, threads):
        stepped.start_instance("calls_twins", "parent", None)
        settle(threads)

        assert status(store, "parent") == "Failed"
        assert "Give each an id of its own" in store.read_instance("parent").output
        assert store.read_instance("twin") is None


class TestVersions:
    @pytest.mark.parametrize("depth", ['"deeper"', '"here"'])
    @pytest.mark.parametrize(("given", "seen"), [("", '"2.0"'), ("1.0", '"1.0"')])
    def test_of_a_start_without_one_is_the_default(
        self, store, clock, held, threads, depth, given, seen
    ):
        options = EngineOptions(default_version="2.0")
        app = FakeApp(tells_version=tells_version)
        engine = Engine(store, app, clock, options, executor=threads)
        engine.start(held)

        engine.start_instance("tells_version", "one", json.dumps(depth), given)
        settle(threads)

        # A child never has its parent's version.
        assert store.read_instance("one").output == ('"2.0"' if depth == '"deeper"' else seen)
        engine.stop()


class TestLog:
    def test_tells_why_an_orchestration_failed(self, stepped, threads, caplog):
        stepped.start_instance("breaks", "one", None)
        settle(threads)

        assert "breaks (one) failed: boom" in [record.message for record in caplog.records]


class TestPurge:
    def test_in_the_middle_of_an_episode_leaves_nothing(self, stepped, store, held, threads):
        stepped.start_instance("act_twice", "gone", None)

        stepped.purge("gone", is_forced=True)
        settle(threads)

        assert store.read_instance("gone") is None
        assert store.read_history("gone") == []
        assert store.read_inbox() == []
        assert held.rows == []

    def test_does_not_touch_the_next_of_that_id(self, stepped, store, held, threads):
        stepped.start_instance("act_twice", "same", None)
        stepped.purge("same", is_forced=True)
        stepped.start_instance("act_twice", "same", None)

        settle(threads)

        assert len(held.rows) == 1
        assert status(store, "same") == "Running"

    def test_drops_what_its_activities_come_to(self, stepped, store, held, threads):
        stepped.start_instance("act_twice", "gone", None)
        settle(threads)
        stepped.purge("gone", is_forced=True)

        stepped.finish_activity(held.rows[0], {"Result": "1"})
        settle(threads)

        assert store.read_instance("gone") is None
        assert store.take_over_activities() == []

    def test_of_nobody_is_refused(self, stepped):
        with pytest.raises(InstanceNotFoundError):
            stepped.purge("nobody")


class TestSuspension:
    @pytest.fixture
    def suspended(self, stepped, threads):
        stepped.start_instance("waits", "held", None)
        settle(threads)
        stepped.suspend("held", "a pause")
        settle(threads)
        return stepped

    def test_shows_its_reason_while_it_lasts(self, suspended, store, threads):
        row = store.read_instance("held")
        assert (row.status, row.output) == ("Suspended", "a pause")

        suspended.resume("held", "go on")
        settle(threads)

        row = store.read_instance("held")
        assert (row.status, row.output) == ("Running", None)

    def test_holds_events_in_their_order(self, suspended, store, threads):
        suspended.raise_event("held", "go", '"1"')
        suspended.raise_event("held", "on", '"2"')
        settle(threads)
        assert status(store, "held") == "Suspended"

        suspended.resume("held", "")
        settle(threads)

        events = [json.loads(text) for text in store.read_history("held")]
        assert [e["Name"] for e in events if e["EventType"] == 15] == ["go", "on"]
        assert json.loads(store.read_instance("held").output) == ["1", "2"]

    def test_is_lost_on_a_termination(self, suspended, store, threads):
        suspended.raise_event("held", "go", '"1"')
        suspended.terminate("held", "enough")
        settle(threads)

        row = store.read_instance("held")
        assert (row.status, row.output) == ("Terminated", "enough")

    def test_is_not_for_the_suspended_nor_its_end_for_the_running(self, suspended, store, threads):
        with pytest.raises(InstanceStateError):
            suspended.suspend("held", "")
        suspended.resume("held", "")
        settle(threads)
        with pytest.raises(InstanceStateError):
            suspended.resume("held", "")

    def test_outlives_the_host(self, suspended, store, clock, threads, tmp_path):
        suspended.stop()
        other_store = Store(tmp_path / "durable.sqlite", lease="next-run")
        other = Engine(other_store, FakeApp(waits=waits), clock, executor=threads)
        other.start(HeldActivities())

        other.raise_event("held", "go", '"1"')
        other.raise_event("held", "on", '"2"')
        settle(threads)
        assert status(other_store, "held") == "Suspended"
        other.resume("held", "")
        settle(threads)

        assert status(other_store, "held") == "Completed"
        other.stop()
        other_store.close()


class TestEvents:
    def test_to_a_pending_one_come_with_its_first_episode(self, stepped, store, threads):
        stepped.start_instance("waits", "early", None)
        stepped.raise_event("early", "go", '"1"')
        assert status(store, "early") == "Pending"

        assert threads.run() == 1

        assert [json.loads(e)["EventType"] for e in store.read_history("early")][:3] == [12, 0, 15]

    def test_to_nobody_or_to_the_ended_are_refused(self, stepped, threads):
        stepped.start_instance("waits", "over", None)
        stepped.terminate("over", "")
        settle(threads)

        with pytest.raises(InstanceNotFoundError):
            stepped.raise_event("nobody", "go", "1")
        with pytest.raises(InstanceOverError):
            stepped.raise_event("over", "go", "1")


class TestContinueAsNew:
    def test_moves_the_creation_and_keeps_the_rest(self, stepped, store, clock, threads):
        stepped.start_instance("begins_anew", "eternal", '"1"')
        settle(threads)
        old = store.read_instance("eternal")
        clock.advance(timedelta(hours=1))

        stepped.raise_event("eternal", "go", "1")
        settle(threads)

        new = store.read_instance("eternal")
        assert new.created_at - old.created_at == timedelta(hours=1)
        assert new.execution_id != old.execution_id
        assert new.input == '"2"'
        assert new.custom_status == old.custom_status == '"first generation"'


class TestTermination:
    def test_of_a_parent_leaves_its_child_running(self, stepped, store, threads):
        stepped.start_instance("calls_child", "parent", None)
        settle(threads)

        stepped.terminate("parent", "enough")
        settle(threads)

        assert status(store, "parent") == "Terminated"
        assert status(store, "child") == "Running"


class HeldDelays:
    """Delays that the test has chosen; none when they are used up."""

    def __init__(self):
        self.next_s = []

    def draw(self):
        return timedelta(seconds=self.next_s.pop(0) if self.next_s else 0)


class Moments(Alarm):
    """Calls back when the test moves the clock."""

    def __init__(self, clock):
        super().__init__(clock)
        self.calls = []

    def start(self): ...

    def at(self, moment, call):
        self.calls.append((moment, call))

    def ring(self):
        now = self._clock.now()
        due = sorted((one for one in self.calls if one[0] <= now), key=lambda one: one[0])
        self.calls = [one for one in self.calls if one[0] > now]
        for _, call in due:
            call()


class TestLateness:
    @pytest.fixture
    def delays(self):
        return HeldDelays()

    @pytest.fixture
    def alarm(self, clock):
        return Moments(clock)

    @pytest.fixture
    def late(self, store, clock, held, threads, delays, alarm):
        app = FakeApp(act_twice=act_twice, waits=waits)
        options = EngineOptions(lateness=delays)
        engine = Engine(store, app, clock, options, executor=threads, alarm=alarm)
        engine.start(held)
        yield engine
        engine.stop()

    @pytest.fixture
    def pass_s(self, clock, alarm, threads):
        def pass_s(seconds):
            clock.advance(timedelta(seconds=seconds))
            alarm.ring()
            settle(threads)

        return pass_s

    def test_holds_messages_back(self, late, store, delays, threads, pass_s):
        delays.next_s = [5]
        late.start_instance("waits", "one", None)
        settle(threads)
        assert status(store, "one") == "Pending"

        pass_s(5)

        assert status(store, "one") == "Running"

    def test_holds_activities_and_their_results_back(
        self, late, store, held, delays, threads, pass_s
    ):
        delays.next_s = [0, 5, 3]
        late.start_instance("act_twice", "one", None)
        settle(threads)
        assert held.rows == []

        pass_s(5)
        late.finish_activity(held.rows[0], {"Result": "1"})
        settle(threads)
        assert len(held.rows) == 1
        pass_s(3)
        pass_s(0)

        assert len(held.rows) == 2

    def test_loses_no_event_that_overtakes_the_start(self, late, store, delays, threads, pass_s):
        delays.next_s = [5, 0]
        late.start_instance("waits", "one", None)
        late.raise_event("one", "go", '"1"')
        settle(threads)
        assert status(store, "one") == "Pending"

        pass_s(5)
        late.raise_event("one", "on", '"2"')
        settle(threads)

        assert json.loads(store.read_instance("one").output) == ["1", "2"]
        assert store.read_inbox() == []

    def test_forgets_what_was_meant_for_an_earlier_one_of_that_id(
        self, late, store, delays, threads, pass_s
    ):
        delays.next_s = [5, 9, 0]
        late.start_instance("waits", "one", None)
        late.purge("one", is_forced=True)
        late.start_instance("waits", "one", None)
        late.raise_event("one", "go", '"1"')
        pass_s(5)
        assert status(store, "one") == "Pending"

        pass_s(4)

        assert [json.loads(e)["EventType"] for e in store.read_history("one")][:3] == [12, 0, 15]

    def test_lets_two_callers_believe_that_they_started_one_id(
        self, late, store, delays, threads, pass_s
    ):
        delays.next_s = [5]
        late.start_instance("waits", "one", '"first"')

        assert late.start_instance("waits", "one", '"second"') == "one"

        pass_s(5)
        assert store.read_instance("one").input == '"first"'
        with pytest.raises(InstanceExistsError):
            late.start_instance("waits", "one", None)

    def test_keeps_the_order_of_an_entity_s_operations(self, late, alarm, delays, clock):
        late._functions.has_entity = lambda name: True
        delays.next_s = [9, 1]

        late.signal_entity("counter", "k", "first", None)
        late.signal_entity("counter", "k", "second", None)

        assert [moment - clock.now() for moment, _ in alarm.calls] == [timedelta(seconds=9)] * 2
