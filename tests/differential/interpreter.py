"""Performs a program on either engine: a generator over what a `Dialect` offers."""

import re
from collections.abc import Generator, Mapping
from typing import Any, Protocol

FAULT = re.compile(r"fault\(([^)]*)\)")
SHARED_KEY = "s"
NEVER_S = 3600
"""A timer that loses every race."""


class Dialect(Protocol):
    """One engine's way to order what a program asks for. Tasks are the engine's own objects."""

    instance_id: str

    def call(self, name: str, value: Any) -> Any:
        """Order an activity."""

    def retry(self, name: str, value: Any, attempts: int) -> Any:
        """Order an activity with retries."""

    def child(self, value: Any, instance_id: str | None) -> Any:
        """Order a sub-orchestration of the same kind."""

    def child_retry(self, value: Any, attempts: int) -> Any:
        """Order a sub-orchestration with retries."""

    def timer(self, seconds: int) -> Any:
        """Set a timer."""

    def cancel(self, timer: Any) -> None:
        """Cancel a timer that has not fired."""

    def event(self, name: str) -> Any:
        """Wait for an event."""

    def ask(self, key: str, operation: str, value: Any) -> Any:
        """Call an entity."""

    def signal(self, key: str, operation: str, value: Any) -> None:
        """Signal an entity."""

    def all(self, tasks: list[Any]) -> Any:
        """Wait for every task."""

    def any(self, tasks: list[Any]) -> Any:
        """Wait for one task; gives that task."""

    def set_status(self, text: str) -> None:
        """Set the custom status."""

    def continue_as_new(self, value: Any) -> None:
        """Begin anew with another input."""


def begin(program: Mapping[str, Any], scope: str) -> dict[str, Any]:
    """Make the input of a program's first round.

    Args:
        program: See `programs`.
        scope: Prefix of its entities' keys and of its labels, unique in the engine.
    """
    return {"program": program, "scope": scope, "root": scope, "round": 0, "trail": []}


def find_fault(text: str) -> str:
    """Find whose fault a failure is: the label in its text, ``?`` if there is none."""
    found = FAULT.search(text)
    return "?" if found is None else found[1]


def interpret(dialect: Dialect, given: dict[str, Any]) -> Generator[Any, Any, Any]:
    """Perform one round of a program.

    Yields:
        The dialect's tasks.

    Returns:
        The trail: what each step of every round came to.
    """
    return (yield from _Round(dialect, given).run())


class _Round:
    def __init__(self, dialect: Dialect, given: dict[str, Any]) -> None:
        self._dialect = dialect
        self._given = given
        self._program = given["program"]
        self._scope: str = given["scope"]
        self._number: int = given["round"]
        self._keys: set[str] = set()
        self._races = 0

    def run(self) -> Generator[Any, Any, Any]:
        trail = list(self._given["trail"])
        self._dialect.set_status(f"{self._scope} round {self._number}")
        for verb, *rest in self._program["steps"]:
            trail.append((yield from getattr(self, f"_{verb}")(*rest)))
        if self._number + 1 < self._program["rounds"]:
            following = {**self._given, "round": self._number + 1, "trail": trail}
            self._dialect.continue_as_new(following)
            return None
        if self._scope == self._given["root"]:
            self._keys.add(SHARED_KEY)
        for key in sorted(self._keys):
            trail.append([key, (yield self._dialect.ask(self._entity(key), "get", 0))])
        return trail

    # Steps

    def _do(self, task: list[Any]) -> Generator[Any, Any, Any]:
        result = yield self._order(task)
        return self._plain(result)

    def _try(self, task: list[Any]) -> Generator[Any, Any, Any]:
        try:
            return (yield from self._do(task))
        except Exception as error:
            return f"failed: {find_fault(str(error))}"

    def _sleep(self, seconds: int) -> Generator[Any, Any, Any]:
        # What a timer of several legs gives is no value that anybody should look at.
        yield self._dialect.timer(seconds)
        return "slept"

    def _race(self, task: list[Any], loser: str) -> Generator[Any, Any, Any]:
        runner = self._order(task)
        if loser == "late":
            other = self._dialect.timer(NEVER_S)
        else:
            self._races += 1
            other = self._dialect.event(f"never-{self._number}-{self._races}")
        winner = yield self._dialect.any([runner, other])
        if loser == "late":
            self._dialect.cancel(other)
        try:
            return [winner is runner, self._plain((yield runner))]
        except Exception as error:
            return [winner is runner, f"failed: {find_fault(str(error))}"]

    def _scramble(self, tasks: list[list[Any]]) -> Generator[Any, Any, Any]:
        orders = [self._order(task) for task in tasks]
        winner = yield self._dialect.any(orders)
        results = []
        for order in orders:
            results.append(self._plain((yield order)))
        return [winner in orders, results]

    def _abandon(self, tasks: list[list[Any]]) -> Generator[Any, Any, Any]:
        orders = [self._order(task) for task in tasks]
        return (yield self._dialect.any(orders)) in orders

    def _linger(self, label: str) -> Generator[Any, Any, Any]:
        if self._number == 0:
            return "first"
        event = self._dialect.event(f"{label}-lost.{self._number - 1}")
        timer = self._dialect.timer(1)
        winner = yield self._dialect.any([event, timer])
        return "lost" if winner is timer else "found"

    def _signal(self, key: str, number: int) -> Generator[Any, Any, Any]:
        self._dialect.signal(self._entity(key), "add", number)
        return "signalled"
        yield

    def _raise(self, label: str) -> Generator[Any, Any, Any]:
        raise ValueError(f"fault({label})")
        yield

    # Tasks

    def _order(self, task: list[Any]) -> Any:
        kind, *rest = task
        return getattr(self, f"_order_{kind}")(*rest)

    def _order_call(self, label: str) -> Any:
        return self._dialect.call("work", {"label": self._name(label)})

    def _order_fault(self, label: str) -> Any:
        return self._dialect.call("work", {"label": self._name(label), "fails": True})

    def _order_retry(self, label: str, failures: int, attempts: int) -> Any:
        return self._dialect.retry("flaky", self._flaky(label, failures), attempts)

    def _order_child(self, label: str, program: Any, is_named: bool) -> Any:
        name = self._name(label)
        given = {**begin(program, name), "root": self._given["root"]}
        return self._dialect.child(given, name if is_named else None)

    def _order_child_retry(self, label: str, failures: int, attempts: int) -> Any:
        steps = [["do", ["flaky", label, failures]], ["do", ["call", label]]]
        given = begin({"steps": steps, "rounds": 1}, self._name(label))
        return self._dialect.child_retry({**given, "root": self._given["root"]}, attempts)

    def _order_flaky(self, label: str, failures: int) -> Any:
        return self._dialect.call("flaky", self._flaky(label, failures))

    def _order_timer(self, seconds: int) -> Any:
        return self._dialect.timer(seconds)

    def _order_event(self, label: str) -> Any:
        return self._dialect.event(f"{label}.{self._number}")

    def _order_cue(self, labels: list[str]) -> Any:
        names = [f"{label}.{self._number}" for label in labels]
        value = {"scope": self._scope, "instance": self._dialect.instance_id, "names": names}
        return self._dialect.call("cue", value)

    def _order_add(self, key: str, number: int) -> Any:
        return self._dialect.ask(self._entity(key), "add", number)

    def _order_spoil(self, key: str, label: str) -> Any:
        return self._dialect.ask(self._entity(key), "spoil", self._name(label))

    def _order_all(self, tasks: list[list[Any]]) -> Any:
        return self._dialect.all([self._order(task) for task in tasks])

    def _order_any(self, tasks: list[list[Any]]) -> Any:
        return self._dialect.any([self._order(task) for task in tasks])

    # Names

    def _name(self, label: str) -> str:
        return f"{self._scope}-{label}-{self._number}"

    def _flaky(self, label: str, failures: int) -> dict[str, Any]:
        return {"label": self._name(label), "failures": failures}

    def _entity(self, key: str) -> str:
        if key == SHARED_KEY:
            return f"{self._given['root']}-{key}"
        self._keys.add(key)
        return f"{self._scope}-{key}"

    def _plain(self, result: Any) -> Any:
        """Turn a result into JSON: a task that won inside a compound becomes a word."""
        if isinstance(result, list):
            return [self._plain(one) for one in result]
        if result is None or isinstance(result, str | int | dict):
            return result
        return "a task"
