"""One episode of an orchestration or entity: call the function, replay, say what follows.

Nothing here touches the store: an episode takes the instance as it stands and the events that
arrived, and returns what has to be stored and sent.
"""

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from localcloud.functions_host.actions import OrchestratorAnswer, parse_answer, parse_failure
from localcloud.functions_host.decisions import (
    CallActivity,
    CallSubOrchestrator,
    Completed,
    Completion,
    ContinuedAsNew,
    Failed,
    Outcome,
    SendOperation,
    StartTimer,
)
from localcloud.functions_host.events import (
    STATUS_NUMBERS,
    Event,
    EventType,
    as_played,
    execution_started,
    make,
    text_of,
)
from localcloud.functions_host.instances import Instance, completed_id
from localcloud.functions_host.moments import to_history_text
from localcloud.functions_host.replay import Catalog, replay
from localcloud.functions_host.sanitizer import find_credential_mark
from localcloud.functions_host.store import InstanceRow, Parent

logger = logging.getLogger(__name__)

LONG_TIMER_STEP = "3.00:00:00"
SHORT_TIMER_LIMIT = "6.00:00:00"
"""Timers longer than this are cut into steps by the SDK (.NET's duration format)."""


class Functions(Catalog, Protocol):
    """The orchestrators and entities of the app."""

    def call_orchestrator(self, name: str, context: str) -> str:
        """Run an orchestrator once; raises what it raised."""
        ...

    def call_entity(self, name: str, context: str) -> str:
        """Run an entity once; raises what it raised."""
        ...


@dataclass(frozen=True)
class Letter:
    """A message to send.

    Attributes:
        instance_id: Where to.
        text: The event as JSON text.
        execution_id: The only generation that may see it; None for any.
        visible_at: When it may be seen; None for at once.
    """

    instance_id: str
    text: str
    execution_id: str | None = None
    visible_at: datetime | None = None


@dataclass
class Episode:
    """What an episode of an orchestration came to.

    Attributes:
        row: How the instance stands now; another execution id means a new generation.
        events: History events to append.
        texts: The same as JSON texts, as they are stored.
        activities: Activities to run.
        children: Sub-orchestrations to start.
        letters: Messages to send.
    """

    row: InstanceRow
    events: list[Event] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    activities: list[CallActivity] = field(default_factory=list)
    children: list[CallSubOrchestrator] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    def append(self, event: Event, *, is_played: bool = False) -> None:
        """Append an event to the history."""
        text = text_of(event)
        self.events.append(event)
        self.texts.append(as_played(text) if is_played else text)


@dataclass(frozen=True)
class EntityBatch:
    """What a batch of operations on an entity came to.

    Attributes:
        row: How the entity stands now.
        replies: Answers to those who wait.
    """

    row: InstanceRow
    replies: tuple[Letter, ...]


def run_orchestrator(
    instance: Instance,
    arrived: Sequence[Event],
    functions: Functions,
    *,
    now: datetime,
    is_strict: bool,
    http_poll_interval: timedelta,
) -> Episode:
    """Run one episode.

    Args:
        instance: The instance with its history loaded. Not changed.
        arrived: Events of this generation that were not seen yet, oldest first.
        functions: The app.
        now: Time of the episode.
        is_strict: Whether an anomaly fails the orchestration.
        http_poll_interval: See `replay`.
    """
    fresh = _sort_out(instance, arrived)
    episode = Episode(row=replace(instance.row, updated_at=now))
    ending = next((e for e in fresh if e["EventType"] == EventType.EXECUTION_TERMINATED), None)
    if ending is not None:
        _terminate(episode, instance, fresh, ending["Input"] or "", now)
        return episode
    status = _next_status(instance.row.status, fresh)
    episode.row = replace(episode.row, status=status, output=_find_pause_reason(fresh, instance))
    if status != "Suspended":
        episode.row = replace(episode.row, output=None)
    has_begun = bool(instance.texts) or any(is_start(event) for event in fresh)
    if not fresh or not has_begun:
        return episode
    mark = make(EventType.ORCHESTRATOR_STARTED, now)
    episode.append(mark)
    for event in fresh:
        episode.append(event, is_played=True)
    if status == "Suspended" and all(_is_pause(event) for event in fresh):
        episode.append(make(EventType.ORCHESTRATOR_COMPLETED, now))
        return episode
    answer = _call(instance, [mark, *fresh], functions)
    outcome = replay(
        [*(instance.events or ()), mark, *fresh],
        answer,
        functions,
        http_poll_interval=http_poll_interval,
    )
    outcome = _judge(outcome, instance, is_strict=is_strict)
    _warn_of_credentials(instance, answer, outcome)
    _apply_outcome(episode, answer, outcome, now)
    return episode


def run_entity(
    row: InstanceRow, arrived: Sequence[Event], functions: Functions, now: datetime
) -> EntityBatch:
    """Run a batch of operations on an entity; state and answers go together.

    Args:
        row: How the entity stands.
        arrived: One event for each operation, oldest first.
        functions: The app.
        now: Time of the batch.
    """
    messages = [json.loads(event["Input"]) for event in arrived if event.get("Name") == "op"]
    held: dict[str, Any] = json.loads(row.input or "{}")
    _, name, key = row.instance_id.split("@", 2)
    context = {
        "self": {"name": name, "key": key},
        "exists": bool(held.get("exists")),
        "state": held.get("state"),
        "batch": [
            {
                "name": message["op"],
                "input": message.get("input"),
                "isSignal": bool(message.get("signal")),
            }
            for message in messages
        ],
    }
    try:
        answer = json.loads(functions.call_entity(name, json.dumps(context)))
        results = answer["results"]
        held = {"exists": bool(answer["entityExists"]), "state": answer["entityState"]}
    except Exception as error:
        logger.exception("the entity %s failed", row.instance_id)
        failure = {"isError": True, "result": json.dumps(f"{type(error).__name__}: {error}")}
        results = [failure] * len(messages)
    else:
        _log_failures(row, messages, results)
    replies = tuple(
        _reply(message, result, now)
        for message, result in zip(messages, results, strict=False)
        if message.get("parent")
    )
    changed = replace(
        row,
        input=json.dumps(held),
        custom_status=json.dumps({"entityExists": bool(held.get("exists"))}),
        updated_at=now,
    )
    return EntityBatch(changed, replies)


def _log_failures(
    row: InstanceRow, messages: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]]
) -> None:
    for message, result in zip(messages, results, strict=False):
        if result["isError"]:
            logger.warning(
                "the operation %s of the entity %s failed: %s",
                message["op"],
                row.instance_id,
                result["result"],
            )


def new_entity_row(instance_id: str, now: datetime) -> InstanceRow:
    """Describe an entity that has no state yet."""
    return InstanceRow(
        instance_id=instance_id,
        execution_id=uuid.uuid4().hex,
        name=instance_id,
        version="",
        status="Running",
        input=None,
        output=None,
        custom_status=None,
        created_at=now,
        updated_at=now,
    )


def to_parent_text(parent: Parent | None) -> dict[str, Any] | None:
    """Write a parent as ``ParentInstance`` of the event that starts a child."""
    if parent is None:
        return None
    return {
        "OrchestrationInstance": {
            "InstanceId": parent.instance_id,
            "ExecutionId": parent.execution_id,
        },
        "Name": parent.name,
        "Version": "",
        "TaskScheduleId": parent.task_id,
    }


def _sort_out(instance: Instance, arrived: Sequence[Event]) -> list[Event]:
    """Put the start first and drop what was seen before."""
    fresh: list[Event] = [event for event in arrived if is_start(event)][:1]
    if instance.texts:
        fresh = []
    seen: set[int] = set()
    for event in arrived:
        if is_start(event):
            continue
        key = completed_id(event)
        if key is not None and (key in instance.completed or key in seen):
            logger.debug("%s: dropped a duplicate result of %d", instance.row.instance_id, key)
            continue
        if key is not None:
            seen.add(key)
        fresh.append(event)
    return fresh


def is_start(event: Event) -> bool:
    """Tell whether an event begins an execution."""
    return bool(event["EventType"] == EventType.EXECUTION_STARTED)


def _is_pause(event: Event) -> bool:
    return event["EventType"] in (EventType.EXECUTION_SUSPENDED, EventType.EXECUTION_RESUMED)


def _next_status(status: str, fresh: Sequence[Event]) -> str:
    for event in fresh:
        if event["EventType"] == EventType.EXECUTION_SUSPENDED:
            status = "Suspended"
        elif event["EventType"] == EventType.EXECUTION_RESUMED or status == "Pending":
            status = "Running"
    return status


def _find_pause_reason(fresh: Sequence[Event], instance: Instance) -> str | None:
    reasons = [e["Reason"] for e in fresh if e["EventType"] == EventType.EXECUTION_SUSPENDED]
    return reasons[-1] if reasons else instance.row.output


def _call(instance: Instance, news: Sequence[Event], functions: Functions) -> OrchestratorAnswer:
    row = instance.row
    texts = [*instance.texts, *(text_of(event) for event in news)]
    parent = None if row.parent is None else row.parent.instance_id
    context = (
        f'{{"history":[{",".join(texts)}],'
        f'"input":{row.input or "null"},'
        f'"instanceId":{json.dumps(row.instance_id)},'
        '"isReplaying":false,'
        f'"parentInstanceId":{json.dumps(parent)},'
        '"upperSchemaVersion":1,"upperSchemaVersionNew":2,'
        f'"longRunningTimerIntervalDuration":"{LONG_TIMER_STEP}",'
        f'"maximumShortTimerDuration":"{SHORT_TIMER_LIMIT}",'
        '"defaultHttpAsyncRequestSleepTimeMillseconds":30000}'
    )
    try:
        return parse_answer(functions.call_orchestrator(row.name, context))
    except Exception as error:  # noqa: BLE001 - whatever the app raises fails the orchestration
        return parse_failure(f"{error}")


def _judge(outcome: Outcome, instance: Instance, *, is_strict: bool) -> Outcome:
    """Make anomalies heard; in strict mode they fail the orchestration."""
    for text in outcome.anomalies:
        if text not in instance.told:
            instance.told.add(text)
            level = logging.ERROR if is_strict else logging.WARNING
            logger.log(level, "%s (%s): %s", instance.row.name, instance.row.instance_id, text)
    if not outcome.anomalies or not is_strict or outcome.is_fatal:
        return outcome
    return Outcome(
        completion=Failed(f"strict mode: {outcome.anomalies[0]}"),
        anomalies=outcome.anomalies,
        next_id=outcome.next_id,
        is_fatal=True,
    )


def _warn_of_credentials(instance: Instance, answer: OrchestratorAnswer, outcome: Outcome) -> None:
    texts = [
        decision.input_text
        for decision in outcome.decisions
        if isinstance(decision, CallActivity | CallSubOrchestrator)
    ]
    if isinstance(outcome.completion, Completed):
        texts.append(outcome.completion.output_text)
    if answer.custom_status is not None:
        texts.append(json.dumps(answer.custom_status))
    for mark in filter(None, map(find_credential_mark, texts)):
        text = (
            f"an input, output or status holds '{mark}': when this orchestrator raises, Azure's "
            "host cuts the text there and loses the orchestration's state"
        )
        if text not in instance.told:
            instance.told.add(text)
            logger.warning("%s (%s): %s", instance.row.name, instance.row.instance_id, text)


def _apply_outcome(
    episode: Episode, answer: OrchestratorAnswer, outcome: Outcome, now: datetime
) -> None:
    if answer.custom_status is not None and not outcome.is_fatal:
        episode.row = replace(episode.row, custom_status=json.dumps(answer.custom_status))
    if isinstance(outcome.completion, ContinuedAsNew):
        _begin_anew(episode, outcome, outcome.completion, now)
        return
    _record_decisions(episode, outcome, now)
    if outcome.completion is not None:
        _complete(episode, outcome.completion, outcome.next_id, now)
    episode.append(make(EventType.ORCHESTRATOR_COMPLETED, now))


def _record_decisions(episode: Episode, outcome: Outcome, now: datetime) -> None:
    row = episode.row
    for decision in outcome.decisions:
        key = decision.id
        if isinstance(decision, CallActivity):
            episode.append(
                make(
                    EventType.TASK_SCHEDULED,
                    now,
                    event_id=key,
                    Name=decision.name,
                    Version="",
                    Input=None,
                )
            )
            episode.activities.append(decision)
        elif isinstance(decision, CallSubOrchestrator):
            episode.append(
                make(
                    EventType.SUB_ORCHESTRATION_CREATED,
                    now,
                    event_id=key,
                    Name=decision.name,
                    Version=decision.version,
                    InstanceId=decision.instance_id,
                    Input=json.dumps(decision.input_text),
                )
            )
            episode.children.append(decision)
        elif isinstance(decision, StartTimer):
            fire_at = to_history_text(decision.fire_at)
            episode.append(make(EventType.TIMER_CREATED, now, event_id=key, FireAt=fire_at))
            fired = make(
                EventType.TIMER_FIRED, max(now, decision.fire_at), TimerId=key, FireAt=fire_at
            )
            episode.letters.append(
                Letter(row.instance_id, text_of(fired), row.execution_id, decision.fire_at)
            )
        else:
            _send_operation(episode, decision, now)


def _send_operation(episode: Episode, decision: SendOperation, now: datetime) -> None:
    text = json.dumps(decision.message)
    episode.append(
        make(
            EventType.EVENT_SENT,
            now,
            event_id=decision.id,
            InstanceId=decision.entity_id,
            Name="op",
            Input=text,
        )
    )
    raised = make(EventType.EVENT_RAISED, now, Name="op", Input=text)
    episode.letters.append(Letter(decision.entity_id, text_of(raised)))


def _begin_anew(
    episode: Episode, outcome: Outcome, completion: ContinuedAsNew, now: datetime
) -> None:
    old = episode.row
    execution_id = uuid.uuid4().hex
    # What the old generation ordered last goes out too: signals, above all.
    _record_decisions(episode, outcome, now)
    episode.events.clear()
    episode.texts.clear()
    episode.row = replace(
        old,
        execution_id=execution_id,
        input=completion.input_text,
        created_at=now,
        status="Running",
    )
    start = execution_started(
        now,
        name=old.name,
        version=old.version,
        input_text=completion.input_text,
        instance_id=old.instance_id,
        execution_id=execution_id,
        parent=to_parent_text(old.parent),
    )
    episode.letters.append(Letter(old.instance_id, text_of(start), execution_id))
    episode.letters.extend(Letter(old.instance_id, text_of(event)) for event in completion.carried)


def _complete(episode: Episode, completion: Completion, event_id: int, now: datetime) -> None:
    row = episode.row
    if isinstance(completion, Completed):
        episode.row = replace(row, status="Completed", output=completion.output_text)
        result = completion.output_text
    elif isinstance(completion, Failed):
        logger.error("%s (%s) failed: %s", row.name, row.instance_id, completion.reason)
        result = f"Orchestrator function '{row.name}' failed: {completion.reason}"
        episode.row = replace(row, status="Failed", output=result)
    else:
        raise TypeError(f"{completion} does not end an instance")
    episode.append(
        make(
            EventType.EXECUTION_COMPLETED,
            now,
            event_id=event_id,
            OrchestrationStatus=STATUS_NUMBERS[episode.row.status],
            Result=result,
        )
    )
    _tell_parent(episode, now)


def _terminate(
    episode: Episode, instance: Instance, fresh: Sequence[Event], reason: str, now: datetime
) -> None:
    if instance.texts or any(is_start(event) for event in fresh):
        episode.append(make(EventType.ORCHESTRATOR_STARTED, now))
        for event in fresh:
            episode.append(event, is_played=True)
    episode.row = replace(episode.row, status="Terminated", output=reason)
    if episode.texts:
        episode.append(
            make(
                EventType.EXECUTION_COMPLETED,
                now,
                event_id=len(instance.completed),
                OrchestrationStatus=STATUS_NUMBERS["Terminated"],
                Result=reason,
            )
        )
        episode.append(make(EventType.ORCHESTRATOR_COMPLETED, now))
    _tell_parent(episode, now)


def _tell_parent(episode: Episode, now: datetime) -> None:
    row = episode.row
    if row.parent is None:
        return
    if row.status == "Completed":
        event = make(
            EventType.SUB_ORCHESTRATION_COMPLETED,
            now,
            TaskScheduledId=row.parent.task_id,
            Result=row.output,
        )
    else:
        event = make(
            EventType.SUB_ORCHESTRATION_FAILED,
            now,
            TaskScheduledId=row.parent.task_id,
            Reason=row.output,
            Details="",
        )
    episode.letters.append(Letter(row.parent.instance_id, text_of(event), row.parent.execution_id))


def _reply(message: dict[str, Any], result: dict[str, Any], now: datetime) -> Letter:
    body: dict[str, Any] = {"result": result["result"]}
    if result["isError"]:
        body["exceptionType"] = "System.Exception"
    event = make(EventType.EVENT_RAISED, now, Name=message["id"], Input=json.dumps(body))
    return Letter(message["parent"], text_of(event), message.get("parentExecution"))
