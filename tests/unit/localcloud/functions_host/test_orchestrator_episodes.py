"""Random orchestrators through the real SDK and the host's replay, with duplicates and crashes.

Both count ids on their own; whatever the order in which results arrive, in however many episodes
and however often an episode is thrown away before it is stored, the end must be the same.
"""

import json
from datetime import UTC, datetime, timedelta

import azure.durable_functions as df
import pytest
from azure.functions.meta import Datum
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.functions_host import bindings, episodes
from localcloud.functions_host.events import EventType, execution_started, make, text_of
from localcloud.functions_host.instances import Instance
from localcloud.functions_host.store import InstanceRow, Message

pytestmark = [
    pytest.mark.filterwarnings("ignore:Potential duplicate Task completion for TaskId. event"),
    pytest.mark.filterwarnings("ignore:azure.functions df_loads was called"),
]
START = datetime(2026, 1, 1, tzinfo=UTC)

leaves = st.sampled_from(
    ["activity", "failing", "timer", "long_timer", "event", "entity", "child"]
)
steps = st.one_of(
    leaves,
    st.tuples(
        st.just("all"),
        st.lists(st.sampled_from(["activity", "timer", "event"]), min_size=1, max_size=4),
    ),
    st.tuples(st.just("any"), st.sampled_from(["event", "timer"])),
    st.tuples(st.just("retry"), st.integers(1, 3), st.integers(1, 4)),
    st.just("signal"),
)
programs = st.lists(steps, min_size=1, max_size=6)


class Simulation:
    """One instance in memory: runs episodes and answers whatever they order."""

    def __init__(self, program, draw):
        self.program = program
        self.draw = draw
        self.now = START
        self.tries = {}
        self.pending = []
        self.timers = []
        self.handle = df.Orchestrator.create(self.orchestrate)
        self.instance = Instance(
            InstanceRow("i", "x", "o", "", "Pending", "null", None, None, START, START)
        )
        self.instance.load([])

    def has_activity(self, name):
        return True

    has_orchestrator = has_entity = has_activity

    def call_orchestrator(self, name, context):
        return self.handle(context=bindings.decode("orchestrationTrigger", Datum(context, "json")))

    def call_entity(self, name, context):
        raise NotImplementedError

    def orchestrate(self, context):
        trail = []
        for number, step in enumerate(self.program):
            try:
                trail.append((yield from self.perform(context, number, step)))
            except Exception as error:
                trail.append(f"failed: {error}"[:9])
        return trail

    def perform(self, context, number, step):
        if step == "signal":
            context.signal_entity(df.EntityId("e", "k"), "op", number)
            return "signalled"
        if isinstance(step, str):
            yield self.task(context, f"{number}", step)
            return step
        kind, *rest = step
        if kind == "retry":
            attempts, good_at = rest
            options = df.RetryOptions(1000, attempts)
            yield context.call_activity_with_retry("retried", options, [number, good_at])
            return kind
        if kind == "all":
            tasks = [self.task(context, f"{number}-{n}", one) for n, one in enumerate(rest[0])]
            results = yield context.task_all(tasks)
            return len(results)
        activity = context.call_activity("activity", number)
        other = self.task(context, f"{number}-other", rest[0])
        winner = yield context.task_any([activity, other])
        if rest[0] == "timer" and winner is activity:
            other.cancel()
        if winner is not activity:
            yield activity
        return kind

    def task(self, context, label, kind):
        return {
            "activity": lambda: context.call_activity("activity", label),
            "failing": lambda: context.call_activity("failing", label),
            "timer": lambda: context.create_timer(
                context.current_utc_datetime + timedelta(seconds=5)
            ),
            "long_timer": lambda: context.create_timer(
                context.current_utc_datetime + timedelta(days=8)
            ),
            "event": lambda: context.wait_for_external_event(f"event-{label}"),
            "entity": lambda: context.call_entity(df.EntityId("e", "k"), "op", 1),
            "child": lambda: context.call_sub_orchestrator("child", label),
        }[kind]()

    def run(self):
        start = execution_started(
            START,
            name="o",
            version="",
            input_text="null",
            instance_id="i",
            execution_id="x",
            parent=None,
        )
        self.pending = [start, *self.raise_all_events()]
        while not self.instance.row.is_over:
            self.episode(self.take_batch())
        return json.loads(self.instance.row.output), self.instance.row.status

    def raise_all_events(self):
        names = []
        for number, step in enumerate(self.program):
            if step == "event":
                names.append(f"event-{number}")
            elif step[0] == "all":
                names += [f"event-{number}-{n}" for n, one in enumerate(step[1]) if one == "event"]
        return [make(EventType.EVENT_RAISED, START, Name=name, Input='"x"') for name in names]

    def take_batch(self):
        if not self.pending:
            assert self.timers, f"nothing will ever happen again: {self.instance.texts[-6:]}"
            self.timers.sort(key=lambda one: one[0])
            moment, fired = self.timers.pop(0)
            self.now = max(self.now, moment)
            return [fired]
        if self.pending[0]["EventType"] == EventType.EXECUTION_STARTED:
            size = 1 + self.draw(st.integers(0, len(self.pending) - 1))
        else:
            self.pending = self.draw(st.permutations(self.pending))
            size = self.draw(st.integers(1, len(self.pending)))
        batch, self.pending = list(self.pending[:size]), list(self.pending[size:])
        if self.draw(st.booleans()):
            batch += [event for event in batch if "TaskScheduledId" in event]
        return batch

    def episode(self, batch):
        self.now += timedelta(seconds=1)
        for _ in range(1 + self.draw(st.integers(0, 1))):
            episode = episodes.run_orchestrator(
                self.instance,
                batch,
                self,
                now=self.now,
                is_strict=True,
                http_poll_interval=timedelta(seconds=30),
            )
        if self.draw(st.booleans()):
            self.instance.load(list(self.instance.texts))
        self.instance.extend(episode.events, episode.texts)
        self.instance.row = episode.row
        for call in episode.activities:
            self.pending.append(self.answer(call))
        for child in episode.children:
            self.pending.append(
                make(
                    EventType.SUB_ORCHESTRATION_COMPLETED,
                    self.now,
                    TaskScheduledId=child.id,
                    Result="1",
                )
            )
        for letter in episode.letters:
            event = json.loads(letter.text)
            if letter.visible_at is not None:
                self.timers.append((letter.visible_at, event))
            elif (message := json.loads(event["Input"])).get("parent"):
                reply = json.dumps({"result": "1"})
                self.pending.append(
                    make(EventType.EVENT_RAISED, self.now, Name=message["id"], Input=reply)
                )

    def answer(self, call):
        value = json.loads(call.input_text)
        tries = self.tries[call.id] = self.tries.get(call.id, 0) + 1
        assert tries == 1, "an activity was ordered twice"
        if call.name == "retried":
            number = value[0]
            self.tries[f"r{number}"] = self.tries.get(f"r{number}", 0) + 1
            is_good = self.tries[f"r{number}"] >= value[1]
        else:
            is_good = call.name != "failing"
        if is_good:
            return make(EventType.TASK_COMPLETED, self.now, TaskScheduledId=call.id, Result="1")
        return make(
            EventType.TASK_FAILED, self.now, TaskScheduledId=call.id, Reason="r", Details="d"
        )


def expected(step):
    if step == "signal":
        return "signalled"
    if step == "failing":
        return "failed: r"
    if isinstance(step, str):
        return step
    kind, *rest = step
    if kind == "retry":
        return kind if rest[1] <= rest[0] else "failed: r"
    return len(rest[0]) if kind == "all" else kind


class TestRandomOrchestrators:
    @settings(max_examples=60, deadline=None)
    @given(program=programs, data=st.data())
    def test_end_the_same_whatever_the_order(self, program, data):
        output, status = Simulation(program, data.draw).run()

        assert status == "Completed"
        assert output == [expected(step) for step in program]


class TestSuspension:
    def test_a_batch_ends_with_the_suspension(self):
        instance = Simulation([], None).instance
        for n, kind in enumerate(
            [EventType.EVENT_RAISED, EventType.EXECUTION_SUSPENDED, EventType.EVENT_RAISED]
        ):
            event = make(kind, START, Name="e", Input="1", Reason="r")
            instance.mailbox.append(Message(n, "i", None, None, text_of(event)))

        assert [message.id for message in instance.take_batch(10)] == [0, 1]
        assert [message.id for message in instance.take_batch(10)] == [2]
