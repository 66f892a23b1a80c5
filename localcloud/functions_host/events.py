"""History events of an orchestration, as the Durable protocol writes them.

An event is a plain dictionary, because it crosses to the SDK as JSON; `text_of` fixes the order of
its first keys, so that ``IsPlayed`` can be turned on without parsing again.
"""

import json
from datetime import datetime
from enum import IntEnum
from typing import Any

from localcloud.functions_host.moments import to_history_text

Event = dict[str, Any]


class EventType(IntEnum):
    """Kinds of history event that this host writes."""

    EXECUTION_STARTED = 0
    EXECUTION_COMPLETED = 1
    EXECUTION_TERMINATED = 3
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_ORCHESTRATION_CREATED = 7
    SUB_ORCHESTRATION_COMPLETED = 8
    SUB_ORCHESTRATION_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_SENT = 14
    EVENT_RAISED = 15
    CONTINUE_AS_NEW = 16
    EXECUTION_SUSPENDED = 19
    EXECUTION_RESUMED = 20


NAMES = {
    EventType.EXECUTION_STARTED: "ExecutionStarted",
    EventType.EXECUTION_COMPLETED: "ExecutionCompleted",
    EventType.EXECUTION_TERMINATED: "ExecutionTerminated",
    EventType.TASK_SCHEDULED: "TaskScheduled",
    EventType.TASK_COMPLETED: "TaskCompleted",
    EventType.TASK_FAILED: "TaskFailed",
    EventType.SUB_ORCHESTRATION_CREATED: "SubOrchestrationInstanceCreated",
    EventType.SUB_ORCHESTRATION_COMPLETED: "SubOrchestrationInstanceCompleted",
    EventType.SUB_ORCHESTRATION_FAILED: "SubOrchestrationInstanceFailed",
    EventType.TIMER_CREATED: "TimerCreated",
    EventType.TIMER_FIRED: "TimerFired",
    EventType.ORCHESTRATOR_STARTED: "OrchestratorStarted",
    EventType.ORCHESTRATOR_COMPLETED: "OrchestratorCompleted",
    EventType.EVENT_SENT: "EventSent",
    EventType.EVENT_RAISED: "EventRaised",
    EventType.CONTINUE_AS_NEW: "ContinueAsNew",
    EventType.EXECUTION_SUSPENDED: "ExecutionSuspended",
    EventType.EXECUTION_RESUMED: "ExecutionResumed",
}

STATUS_NUMBERS = {"Completed": 1, "ContinuedAsNew": 2, "Failed": 3, "Terminated": 5}


def make(kind: EventType, now: datetime, *, event_id: int = -1, **fields: Any) -> Event:
    """Build an event of any kind.

    Args:
        kind: Its type.
        now: Its timestamp.
        event_id: Sequence number of a decision; -1 for everything that arrives.
        **fields: The fields of its own.
    """
    return {
        "EventType": int(kind),
        "EventId": event_id,
        "IsPlayed": False,
        "Timestamp": to_history_text(now),
        **fields,
    }


def execution_started(
    now: datetime,
    *,
    name: str,
    version: str,
    input_text: str | None,
    instance_id: str,
    execution_id: str,
    parent: dict[str, Any] | None,
) -> Event:
    """Build the event that begins an execution.

    Args:
        now: Its timestamp.
        name: Durable name of the orchestrator.
        version: Its version; the SDK needs the key, the text may be empty.
        input_text: Input as JSON text.
        instance_id: Id of the instance.
        execution_id: Id of this generation of it.
        parent: ``ParentInstance`` of a sub-orchestration.
    """
    return make(
        EventType.EXECUTION_STARTED,
        now,
        Name=name,
        Version=version,
        Input=input_text,
        OrchestrationInstance={"InstanceId": instance_id, "ExecutionId": execution_id},
        ParentInstance=parent,
        Tags=None,
        Correlation=None,
        ParentTraceContext=None,
        ScheduledStartTime=None,
        Generation=0,
    )


def text_of(event: Event) -> str:
    """Write an event as JSON, its common keys first."""
    return json.dumps(event, separators=(",", ":"))


def as_played(text: str) -> str:
    """Turn ``IsPlayed`` on in the JSON text of an event that arrived.

    Decisions and the marks of an episode stay as they are: the protocol never plays them.
    """
    return text.replace('"IsPlayed":false', '"IsPlayed":true', 1)
