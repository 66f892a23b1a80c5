"""Drives a workflow's real generator: a test answers the activities, timers take no time."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MAX_STEPS = 2000


@dataclass(eq=False)
class Task:
    """What a workflow waits for.

    Attributes:
        kind: ``activity``, ``timer``, ``event``, ``child`` or ``any``.
        of: Name of the activity, event or workflow; the moment of a timer; the tasks of an any.
    """

    kind: str
    of: Any
    given: Any = None
    result: Any = None
    is_cancelled: bool = False

    def cancel(self) -> None:
        assert self.kind == "timer", "only a timer can be cancelled"
        self.is_cancelled = True


@dataclass
class FakeContext:
    """What the SDK hands to an orchestrator.

    Attributes:
        began_anew_with: Input given to continue-as-new, if it was called.
        statuses: Every custom status, in order.
    """

    order: Any
    current_utc_datetime: datetime = BEGIN
    statuses: list[Any] = field(default_factory=list)
    timers: list[Task] = field(default_factory=list)
    began_anew_with: Any = None

    def get_input(self) -> Any:
        return self.order

    def call_activity(self, name: str, input_: Any = None) -> Task:
        return Task("activity", str(name), input_)

    def call_sub_orchestrator(self, name: str, input_: Any, instance_id: str) -> Task:
        return Task("child", str(name), {"instance_id": instance_id, "order": input_})

    def create_timer(self, at: datetime) -> Task:
        assert at.tzinfo is not None, "a naive moment"
        timer = Task("timer", at)
        self.timers.append(timer)
        return timer

    def wait_for_external_event(self, name: str) -> Task:
        return Task("event", name)

    def task_any(self, tasks: list[Task]) -> Task:
        return Task("any", tasks)

    def set_custom_status(self, status: Any) -> None:
        self.statuses.append(status)

    def continue_as_new(self, input_: Any) -> None:
        self.began_anew_with = input_


Answer = Callable[[str, Any], Any]


class Drive:
    """One run of a workflow from its begin to its end.

    Args:
        answer: Gives the result of an activity or child by name and input; an exception that it
            returns is thrown into the workflow (a child's becomes its task's result in an any).
        happens: Tells whether an event of this name comes before the timer that it races.

    Attributes:
        calls: ``(name, input)`` of every activity, in order.
        waits: Seconds of every timer that ran out, in order.
        output: What the workflow returned.
        error: What it raised.
    """

    def __init__(
        self,
        workflow: Callable[[Any], Generator[Any, Any, Any]],
        order: Any,
        answer: Answer,
        *,
        happens: Callable[[str], bool] = lambda name: False,
        takes_s: Callable[[str], float] = lambda name: 0.0,
    ) -> None:
        self.context = FakeContext(order)
        self.calls: list[tuple[str, Any]] = []
        self.waits: list[float] = []
        self.output: Any = None
        self.error: Exception | None = None
        self._answer = answer
        self._happens = happens
        self._takes_s = takes_s
        self._run(workflow(self.context))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    @property
    def status(self) -> Any:
        return self.context.statuses[-1]

    def _run(self, steps: Generator[Any, Any, Any]) -> None:
        value: Any = None
        try:
            for _ in range(MAX_STEPS):
                task = steps.throw(value) if isinstance(value, Exception) else steps.send(value)
                value = self._resolve(task)
        except StopIteration as end:
            self.output = end.value
        except Exception as error:
            self.error = error
        else:
            raise AssertionError("the workflow does not end")

    def _resolve(self, task: Task) -> Any:
        if task.kind == "any":
            return self._resolve_any(task.of)
        if task.kind == "timer":
            self._pass_until(task.of)
            return None
        assert task.kind in ("activity", "child"), f"waits for {task.kind} {task.of} for ever"
        return self._call(task)

    def _resolve_any(self, tasks: list[Task]) -> Task:
        for task in tasks:
            if task.kind == "event" and self._happens(task.of):
                return task
        for task in tasks:
            if task.kind in ("activity", "child"):
                task.result = self._call(task)
                return task
        timers = [task for task in tasks if task.kind == "timer" and not task.is_cancelled]
        assert timers, "waits for an event that never comes"
        first = min(timers, key=lambda timer: timer.of)
        self._pass_until(first.of)
        return first

    def _call(self, task: Task) -> Any:
        self.calls.append((task.of, task.given))
        seconds = self._takes_s(task.of)
        moment = self.context.current_utc_datetime.timestamp() + seconds
        self.context.current_utc_datetime = datetime.fromtimestamp(moment, UTC)
        return self._answer(task.of, task.given)

    def _pass_until(self, moment: datetime) -> None:
        now = self.context.current_utc_datetime
        self.waits.append((moment - now).total_seconds())
        self.context.current_utc_datetime = max(now, moment)


def script(**answers: list[Any]) -> Answer:
    """Answer each activity out of its own list; the last answer of a list is given for ever."""
    left = {name: list(values) for name, values in answers.items()}

    def answer(name: str, given: Any) -> Any:
        assert name in left, f"nobody answers {name}"
        values = left[name]
        value = values.pop(0) if len(values) > 1 else values[0]
        return value(given) if callable(value) else value

    return answer
