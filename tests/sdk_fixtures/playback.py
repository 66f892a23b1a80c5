"""Plays on our engine what a fabricated history says happened, in the same order.

Activities, children and entities answer what the history has them answer, and not before; timers
fire and events come when it says so. What our engine writes meanwhile can then be laid beside it.
"""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any

from azure.functions.meta import Datum

from localcloud.clock import VirtualClock
from localcloud.functions_host import bindings
from localcloud.functions_host.engine import Engine
from localcloud.functions_host.events import EventType
from localcloud.functions_host.instances import Instance
from localcloud.functions_host.moments import from_text
from localcloud.functions_host.store import ActivityRow, InstanceRow, Store
from tests.differential.stepping import Schedule, SteppedAlarm, SteppedExecutor

ROOT = "fixture"
TICK = timedelta(milliseconds=1)


class HoldingExecutor(SteppedExecutor):
    """Runs the root; holds children and entities until they are let go."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self._held: dict[str, Callable[[], object]] = {}

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        (instance,) = args
        assert isinstance(instance, Instance)
        if instance.row.instance_id == ROOT:
            return super().submit(call, instance)
        self._held[instance.row.instance_id] = lambda: call(instance)
        return Future()

    def let_go(self, instance_id: str) -> None:
        """Let a child or an entity run."""
        self._held.pop(instance_id)()


class Playback:
    """One history, played."""

    def __init__(self, folder: Path, orchestrator: Callable[..., str]) -> None:
        """Start the orchestration.

        Args:
            folder: Where the store is made.
            orchestrator: The SDK's handle of the fixture's function.
        """
        self._orchestrator = orchestrator
        self._answers: dict[str, Mapping[str, Any]] = {}
        self._replies: list[dict[str, Any]] = []
        self._clock = VirtualClock()
        self._schedule = Schedule(random.Random(0), self._clock)
        self._executor = HoldingExecutor(self._schedule)
        self._store = Store(folder / "durable.sqlite", lease="fixture")
        alarm = SteppedAlarm(self._clock, self._schedule)
        self._engine = Engine(self._store, self, self._clock, executor=self._executor, alarm=alarm)
        self.activities: dict[int, ActivityRow] = {}
        self._open: set[int] = set()
        self._engine.start(self)
        self._engine.start_instance("fixture", ROOT, None)
        self._execution_id = self.read_instance().execution_id

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    # The app, as the engine sees it

    def has_activity(self, name: str) -> bool:
        return True

    has_orchestrator = has_entity = has_activity

    def call_orchestrator(self, name: str, context: str) -> str:
        instance_id = json.loads(context)["instanceId"]
        if instance_id == ROOT:
            datum = Datum(context, "json")
            return self._orchestrator(context=bindings.decode("orchestrationTrigger", datum))
        event = self._answers[instance_id]
        if event["EventType"] == EventType.SUB_ORCHESTRATION_FAILED:
            raise RuntimeError(event["Reason"])
        state = {"isDone": True, "schemaVersion": 2, "actions": [[]]}
        return json.dumps({**state, "output": json.loads(event["Result"])})

    def call_entity(self, name: str, context: str) -> str:
        batch = json.loads(context)["batch"]
        results = []
        for operation in batch:
            reply = {} if operation["isSignal"] else self._replies.pop(0)
            is_error = "exceptionType" in reply
            results.append({"isError": is_error, "result": reply.get("result", "null")})
        return json.dumps({"entityExists": True, "entityState": "null", "results": results})

    def dispatch(self, rows: Iterable[ActivityRow]) -> None:
        for row in rows:
            self.activities[row.task_id] = row
            self._open.add(row.task_id)

    # Playing

    def play(self, history: list[dict[str, Any]]) -> int:
        """Let everything happen that the history tells of, until the orchestration is over.

        Returns:
            How many events were played.

        Raises:
            AssertionError: It tells of the end of something that our engine never began.
        """
        self._run_root()
        for count, event in enumerate(history):
            if self.read_instance().is_over:
                return count
            # No two timers of different episodes may be due at the same moment.
            self._schedule.advance_to(self._clock.now() + TICK)
            self._play_event(event)
            self._run_root()
        return len(history)

    def pass_time(self, span: timedelta) -> None:
        """Let time pass and everything happen that comes due."""
        self._schedule.advance_to(self._clock.now() + span)
        self._run_root()

    def end_siblings(self) -> None:
        """Answer every activity that is still open: the host holds the end back for them."""
        for key in sorted(self._open):
            self._engine.finish_activity(self.activities[key], {"Result": "null"})
            self._run_root()

    @property
    def has_begun_anew(self) -> bool:
        """Whether the orchestration is in another generation than at its start."""
        return self.read_instance().execution_id != self._execution_id

    def read_rows(self) -> list[dict[str, Any]]:
        """Read the history that our engine has written."""
        return [json.loads(text) for text in self._store.read_history(ROOT)]

    def read_instance(self) -> InstanceRow:
        """Read how the orchestration stands."""
        row = self._store.read_instance(ROOT)
        assert row is not None
        return row

    def _run_root(self) -> None:
        while self._schedule.step_now():
            pass

    def _play_event(self, event: dict[str, Any]) -> None:
        kind = event["EventType"]
        if kind in (EventType.TASK_COMPLETED, EventType.TASK_FAILED):
            key = event["TaskScheduledId"]
            assert key in self.activities, f"our engine never ordered an activity {key}"
            self._open.discard(key)
            fields = ("Result",) if kind == EventType.TASK_COMPLETED else ("Reason", "Details")
            result = {field: event.get(field) for field in fields}
            self._engine.finish_activity(self.activities[key], result)
        elif kind in (EventType.SUB_ORCHESTRATION_COMPLETED, EventType.SUB_ORCHESTRATION_FAILED):
            child_id = self._find(7, event["TaskScheduledId"])["InstanceId"]
            self._answers[child_id] = event
            self._executor.let_go(child_id)
        elif kind == EventType.TIMER_FIRED:
            fire_at = from_text(self._find(10, event["TimerId"])["FireAt"])
            self._schedule.advance_to(fire_at)
        elif kind == EventType.EVENT_RAISED:
            self._raise_event(event)

    def _raise_event(self, event: dict[str, Any]) -> None:
        sent = [row for row in self.read_rows() if row["EventType"] == EventType.EVENT_SENT]
        if sent and event["Name"] == "0000":
            self._replies.append(json.loads(event["Input"]))
            self._executor.let_go(sent[-1]["InstanceId"])
        else:
            self._engine.raise_event(ROOT, event["Name"], event["Input"])

    def _find(self, kind: int, key: int) -> dict[str, Any]:
        found = [
            row for row in self.read_rows() if (row["EventType"], row["EventId"]) == (kind, key)
        ]
        assert found, f"our engine never wrote an event of type {kind} with the id {key}"
        return found[0]
