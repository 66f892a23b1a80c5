"""What a replay decides: new work to order, and whether the orchestration is over."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcloud.functions_host.events import Event


@dataclass(frozen=True)
class CallActivity:
    """Run an activity.

    Attributes:
        id: Sequence number in the generation.
        name: Durable name.
        input_text: The action's input, handed on as it is.
    """

    id: int
    name: str
    input_text: str | None


@dataclass(frozen=True)
class CallSubOrchestrator:
    """Start a child.

    Attributes:
        id: Sequence number in the generation.
        name: Durable name.
        input_text: The action's input (JSON text).
        instance_id: Id of the child.
        version: Version of the child, "" for none.
    """

    id: int
    name: str
    input_text: str | None
    instance_id: str
    version: str


@dataclass(frozen=True)
class StartTimer:
    """Set a timer.

    Attributes:
        id: Sequence number in the generation.
        fire_at: When it fires.
    """

    id: int
    fire_at: datetime


@dataclass(frozen=True)
class SendOperation:
    """Send an operation to an entity.

    Attributes:
        id: Sequence number in the generation.
        entity_id: ``@name@key``.
        message: The request message, as the protocol writes it.
    """

    id: int
    entity_id: str
    message: Mapping[str, Any]


Decision = CallActivity | CallSubOrchestrator | StartTimer | SendOperation


@dataclass(frozen=True)
class Completed:
    """The orchestration returned.

    Attributes:
        output_text: Its output as JSON text, or None.
    """

    output_text: str | None


@dataclass(frozen=True)
class Failed:
    """The orchestration failed.

    Attributes:
        reason: Text of the failure, without the function's name.
    """

    reason: str


@dataclass(frozen=True)
class ContinuedAsNew:
    """The orchestration begins anew.

    Attributes:
        input_text: Raw input of the next generation (JSON text).
        carried: Events of this batch that came too late for this generation, in order.
    """

    input_text: str
    carried: tuple[Event, ...]


Completion = Completed | Failed | ContinuedAsNew


@dataclass(frozen=True)
class Outcome:
    """What one replay came to.

    Attributes:
        decisions: Work that no history event records yet, by ascending id.
        completion: How the orchestration ended, or None while it runs.
        anomalies: What Azure would do in silence and a developer should hear of, one sentence
            each.
        next_id: The first sequence number that is still free.
        is_fatal: Whether the completion is a failure that cuts off everything still open.
    """

    decisions: tuple[Decision, ...] = ()
    completion: Completion | None = None
    anomalies: tuple[str, ...] = ()
    next_id: int = 0
    is_fatal: bool = False
