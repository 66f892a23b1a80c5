"""What an orchestrator function answered: the actions it wants and how it stands."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

FAILURE_MARK = "$OutOfProcData$:"

Action = Mapping[str, Any]


class ActionType(IntEnum):
    """Kinds of action that the SDK sends."""

    CALL_ACTIVITY = 0
    CALL_ACTIVITY_WITH_RETRY = 1
    CALL_SUB_ORCHESTRATOR = 2
    CALL_SUB_ORCHESTRATOR_WITH_RETRY = 3
    CONTINUE_AS_NEW = 4
    CREATE_TIMER = 5
    WAIT_FOR_EXTERNAL_EVENT = 6
    CALL_ENTITY = 7
    CALL_HTTP = 8
    SIGNAL_ENTITY = 9
    SCHEDULED_SIGNAL_ENTITY = 10
    WHEN_ANY = 11
    WHEN_ALL = 12


@dataclass(frozen=True)
class OrchestratorAnswer:
    """What one call of an orchestrator function came to.

    Attributes:
        actions: Every action since the generation began, in the order they were yielded.
        is_done: Whether the function returned or asked to continue as new.
        output: What it returned.
        error: Text of the exception that it raised, or None.
        custom_status: Its custom status; None leaves the stored one.
        is_plain_failure: Whether the call failed without telling its state, so that there is
            nothing to replay.
    """

    actions: tuple[Action, ...] = ()
    is_done: bool = False
    output: Any = None
    error: str | None = None
    custom_status: Any = None
    is_plain_failure: bool = False


def parse_answer(text: str) -> OrchestratorAnswer:
    """Read the state that an orchestrator function returned.

    Raises:
        ValueError: The text is no state.
    """
    state = json.loads(text)
    if not isinstance(state, dict):
        raise ValueError("an orchestrator must answer a JSON object")  # noqa: TRY004
    return _from_state(state)


def parse_failure(message: str) -> OrchestratorAnswer:
    """Read the exception text of an orchestrator function that raised.

    The SDK hides the state behind a marker; without it the text is all there is.
    """
    text, mark, state_text = message.partition(FAILURE_MARK)
    if not mark:
        return OrchestratorAnswer(error=message.strip(), is_plain_failure=True)
    try:
        state = json.loads(state_text)
    except ValueError:
        return OrchestratorAnswer(error=text.strip(), is_plain_failure=True)
    answer = _from_state(state)
    if answer.error:
        return answer
    return OrchestratorAnswer(error=text.strip() or "unknown error", is_plain_failure=True)


def _from_state(state: dict[str, Any]) -> OrchestratorAnswer:
    lists = state.get("actions") or [[]]
    return OrchestratorAnswer(
        actions=tuple(lists[0]) if lists else (),
        is_done=bool(state.get("isDone")),
        output=state.get("output"),
        error=state.get("error"),
        custom_status=state.get("customStatus"),
    )
