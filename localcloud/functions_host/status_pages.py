"""How the management API shows instances, histories and entities."""

import json
from collections.abc import Sequence
from typing import Any

from localcloud.functions_host.events import NAMES, STATUS_NUMBERS, Event, EventType
from localcloud.functions_host.moments import to_status_text
from localcloud.functions_host.store import InstanceRow

_STATUS_NAMES = {number: name for name, number in STATUS_NUMBERS.items()}
_HIDDEN = frozenset({EventType.ORCHESTRATOR_STARTED, EventType.ORCHESTRATOR_COMPLETED})
_ORDERED = frozenset({EventType.TASK_SCHEDULED, EventType.SUB_ORCHESTRATION_CREATED})
_ANSWERED = frozenset(
    {
        EventType.TASK_COMPLETED,
        EventType.TASK_FAILED,
        EventType.SUB_ORCHESTRATION_COMPLETED,
        EventType.SUB_ORCHESTRATION_FAILED,
    }
)
_RESULTS = frozenset(
    {
        EventType.TASK_COMPLETED,
        EventType.SUB_ORCHESTRATION_COMPLETED,
        EventType.EXECUTION_COMPLETED,
    }
)


def to_status(row: InstanceRow, *, shows_input: bool) -> dict[str, Any]:
    """Show an instance.

    Args:
        row: The instance.
        shows_input: Whether its input is shown.
    """
    return {
        "name": row.name,
        "instanceId": row.instance_id,
        "runtimeStatus": row.status,
        "input": parse_or_keep(row.input) if shows_input else None,
        "customStatus": parse_or_keep(row.custom_status),
        "output": parse_or_keep(row.output),
        "createdTime": to_status_text(row.created_at),
        "lastUpdatedTime": to_status_text(row.updated_at),
    }


def to_entity(row: InstanceRow, *, fetches_state: bool) -> dict[str, Any]:
    """Show an entity.

    Args:
        row: Its instance.
        fetches_state: Whether its state is shown.
    """
    _, name, key = row.instance_id.split("@", 2)
    page: dict[str, Any] = {
        "entityId": {"name": name, "key": key},
        "lastOperationTime": to_status_text(row.updated_at),
    }
    if fetches_state:
        page["state"] = parse_or_keep(json.loads(row.input or "{}").get("state"))
    return page


def to_history(
    texts: Sequence[str], *, shows_input: bool, shows_output: bool
) -> list[dict[str, Any]]:
    """Show a history: each order folded into its answer.

    Args:
        texts: The events as they are stored.
        shows_input: Whether inputs are shown.
        shows_output: Whether results are shown.
    """
    events: list[Event] = [json.loads(text) for text in texts]
    answered = {event["TaskScheduledId"] for event in events if event["EventType"] in _ANSWERED}
    orders = {event["EventId"]: event for event in events if event["EventType"] in _ORDERED}
    shown = []
    for event in events:
        kind = EventType(event["EventType"])
        if kind in _HIDDEN or (kind in _ORDERED and event["EventId"] in answered):
            continue
        page = {**event, "EventType": NAMES[kind]}
        if kind in _ANSWERED:
            _fold(page, orders.get(page.pop("TaskScheduledId")), shows_input=shows_input)
        _trim(page, kind, shows_input=shows_input, shows_output=shows_output)
        shown.append(page)
    return shown


def parse_or_keep(text: str | None) -> Any:
    """Parse JSON text; a text that is none is shown as it is."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fold(page: dict[str, Any], order: Event | None, *, shows_input: bool) -> None:
    if order is None:
        return
    page["ScheduledTime"] = order["Timestamp"]
    page["FunctionName"] = order["Name"]
    if shows_input:
        page["Input"] = parse_or_keep(order.get("Input"))


def _trim(page: dict[str, Any], kind: EventType, *, shows_input: bool, shows_output: bool) -> None:
    for name in ("EventId", "IsPlayed"):
        page.pop(name, None)
    if kind in _ORDERED:
        page.pop("Version", None)
    if kind is EventType.EXECUTION_STARTED:
        page["FunctionName"] = page["Name"]
        for name in ("Name", "OrchestrationInstance", "ParentInstance", "Version", "Tags"):
            page.pop(name, None)
    if kind is EventType.TIMER_FIRED:
        page.pop("TimerId", None)
    if kind is EventType.EXECUTION_COMPLETED:
        page["OrchestrationStatus"] = _STATUS_NAMES[page["OrchestrationStatus"]]
    if kind in _RESULTS:
        result = page.pop("Result", None)
        if shows_output:
            page["Result"] = parse_or_keep(result)
    if not shows_input:
        page.pop("Input", None)
    elif kind is EventType.EXECUTION_STARTED:
        page["Input"] = parse_or_keep(page.get("Input"))
