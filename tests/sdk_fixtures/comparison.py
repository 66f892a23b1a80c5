"""Lays a fabricated history beside the one that our engine has written."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from localcloud.functions_host import episodes
from localcloud.functions_host.events import EventType, make

Event = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)

DECISIONS = {
    EventType.TASK_SCHEDULED,
    EventType.SUB_ORCHESTRATION_CREATED,
    EventType.TIMER_CREATED,
    EventType.EVENT_SENT,
}
REFERENCES = {
    EventType.TASK_COMPLETED: "TaskScheduledId",
    EventType.TASK_FAILED: "TaskScheduledId",
    EventType.SUB_ORCHESTRATION_COMPLETED: "TaskScheduledId",
    EventType.SUB_ORCHESTRATION_FAILED: "TaskScheduledId",
    EventType.TIMER_FIRED: "TimerId",
}
KEPT = {
    EventType.TASK_COMPLETED: ("Result",),
    EventType.TASK_FAILED: ("Reason", "Details"),
    EventType.SUB_ORCHESTRATION_COMPLETED: ("Result",),
}
"""Fields whose values the engine hands on. What a child failed with it puts into its own words."""


def compare_rows(fixture: list[Event], ours: list[Event]) -> None:
    """Compare ids, names, answers and field names.

    Raises:
        AssertionError: They differ.
    """
    _compare_decisions(fixture, ours)
    _compare_answers(fixture, ours)
    _compare_fields(fixture, ours)


def compare_entity_batch(fixture: dict[str, Any]) -> None:
    """Compare what an entity is handed: the keys, and the input's double JSON.

    Raises:
        AssertionError: They differ.
    """
    app = _Recorder()
    name, key = fixture["self"]["name"], fixture["self"]["key"]
    row = replace(
        episodes.new_entity_row(f"@{name}@{key}", NOW),
        input=json.dumps({"exists": fixture["exists"], "state": fixture["state"]}),
    )
    requests = [
        {"op": one["name"], "signal": True, "input": one["input"], "id": "x"}
        for one in fixture["batch"]
    ]
    events = [
        make(EventType.EVENT_RAISED, NOW, Name="op", Input=json.dumps(one)) for one in requests
    ]

    episodes.run_entity(row, events, app, NOW)

    (handed,) = app.contexts
    assert set(handed) == set(fixture)
    assert handed["self"] == fixture["self"]
    for own, one in zip(handed["batch"], fixture["batch"], strict=True):
        assert one.items() <= own.items()


class _Recorder:
    """An app that keeps what its entity is handed."""

    def __init__(self) -> None:
        self.contexts: list[Any] = []

    def has_activity(self, name: str) -> bool:
        return True

    has_orchestrator = has_entity = has_activity

    def call_orchestrator(self, name: str, context: str) -> str:
        raise NotImplementedError

    def call_entity(self, name: str, context: str) -> str:
        self.contexts.append(json.loads(context))
        return json.dumps({"entityExists": True, "entityState": "null", "results": []})


def _compare_decisions(fixture: list[Event], ours: list[Event]) -> None:
    written = {event["EventId"]: event for event in ours if event["EventType"] in DECISIONS}
    for event in fixture:
        if event["EventType"] not in DECISIONS:
            continue
        own = written.get(event["EventId"])
        assert own is not None, f"our engine never used the id of {event}"
        assert own["EventType"] == event["EventType"], (event, own)
        if "Name" in event:
            assert own["Name"] == event["Name"], (event, own)


def _compare_answers(fixture: list[Event], ours: list[Event]) -> None:
    # A second answer to one id is left in the fixture and dropped by the engine.
    expected = {_refer(event): event for event in reversed(fixture) if _refer(event)}
    found = {_refer(event): event for event in ours if _refer(event)}
    for key, event in expected.items():
        assert key in found, f"our engine has no {event}"
        for field in KEPT.get(EventType(event["EventType"]), ()):
            assert found[key][field] == event.get(field), (event, found[key])


def _compare_fields(fixture: list[Event], ours: list[Event]) -> None:
    fields = {event["EventType"]: set(event) for event in ours}
    for event in fixture:
        kind = event["EventType"]
        if kind in fields:
            assert set(event) <= fields[kind], set(event) - fields[kind]


def _refer(event: Event) -> tuple[int, int] | None:
    field = REFERENCES.get(event["EventType"])
    return None if field is None else (event["EventType"], event[field])
