"""What lies outside the host and outlives it: the clock and the effects of the activities."""

import json
from typing import Any, Protocol

from localcloud.clock import VirtualClock
from localcloud.functions_host.errors import InstanceOverError
from localcloud.functions_host.store import ActivityRow
from tests.differential.stepping import KilledError

Attempt = tuple[str, str, int]


class EventTaker(Protocol):
    """Takes events in."""

    def raise_event(self, instance_id: str, name: str, input_text: str) -> None:
        """Take an event in, see `Engine.raise_event`."""


class World:
    """Plays the activities.

    An attempt is known by instance, generation and sequence number. Whoever delivers it again gets
    the same answer, and the events that it raises are raised once.

    Attributes:
        clock: The time, which no kill turns back.
        calls: Name and input of every attempt, in the order of their first delivery.
    """

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.calls: dict[Attempt, tuple[str, dict[str, Any]]] = {}
        self._raised: set[tuple[Attempt, str]] = set()

    def play(self, row: ActivityRow, value: dict[str, Any], host: EventTaker) -> Any:
        """Play one delivery of an activity.

        Raises:
            ValueError: It fails, as the program wants it to.
            KilledError: The host died under it.
        """
        attempt = (row.instance_id, row.execution_id, row.task_id)
        known = self.calls.setdefault(attempt, (row.name, value))
        assert known == (row.name, value), f"{attempt} was delivered with another input"
        if row.name == "cue":
            for name in value["names"]:
                self._raise_once(attempt, value["instance"], name, host)
            return len(value["names"])
        label = value["label"]
        if row.name == "flaky":
            number = self._number(attempt, label)
            if number > value["failures"]:
                return number
        elif not value.get("fails"):
            return label
        raise ValueError(f"fault({label})")

    def _number(self, attempt: Attempt, label: str) -> int:
        attempts = [
            one
            for one, (name, value) in self.calls.items()
            if name == "flaky" and value["label"] == label
        ]
        return attempts.index(attempt) + 1

    def _raise_once(self, attempt: Attempt, instance_id: str, name: str, host: EventTaker) -> None:
        if (attempt, name) in self._raised:
            return
        try:
            host.raise_event(instance_id, name, json.dumps(name))
        except InstanceOverError:
            pass
        except KilledError as kill:
            if kill.is_stored:
                self._raised.add((attempt, name))
            raise
        self._raised.add((attempt, name))
