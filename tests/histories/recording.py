"""A stored history of a workflow, and what its code did at every step of it.

An instance that is under way when a new version is deployed is replayed from its history. If the
new code asks for other activities, timers or events than the old code did, the host can't match
them and the instance fails: it is stranded.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from localcloud.functions_host.actions import (
    Action,
    ActionType,
    OrchestratorAnswer,
    parse_answer,
    parse_failure,
)
from localcloud.functions_host.events import EventType
from localcloud.functions_host.loader import App

FOLDER = Path(__file__).parent / "recorded"

_DECISIONS = (
    EventType.TASK_SCHEDULED,
    EventType.SUB_ORCHESTRATION_CREATED,
    EventType.TIMER_CREATED,
    EventType.EVENT_SENT,
    EventType.EXECUTION_COMPLETED,
    EventType.ORCHESTRATOR_COMPLETED,
)
_FENCING = ("kind", "job_id", "fence", "round", "vm", "epoch", "drain", "generation")
"""Keys of an input that make an activity safe to run twice: with other values it would not be."""

_REMEDY = (
    "Instances under way would be stranded by a deployment of this. Keep the steps as they were "
    "for histories that have them; or register the changed workflow under a new name beside the "
    "old one, with a decision record that says when the old one may go, and then record anew: "
    "python -m tests.histories.record"
)

Event = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One execution of one instance.

    Attributes:
        name: What happens in it; also the name of its file.
        workflow: Stored name of the workflow.
        context: What the host sent with the history: input, ids, schema versions.
        history: The events up to the last call of the code, as that call saw them.
        answers: What the code had asked for, at each call, see `tell`.
    """

    name: str
    workflow: str
    context: dict[str, Any]
    history: list[Event]
    answers: list[list[str]]

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Read a recording."""
        return cls(name=path.stem, **json.loads(path.read_text("utf-8")))

    def save(self, folder: Path = FOLDER) -> None:
        """Write it so that a change of one event is a change of one line."""
        parts = [
            f'"workflow": {json.dumps(self.workflow)}',
            f'"context": {json.dumps(self.context)}',
            f'"history": {_lines(self.history)}',
            f'"answers": {_lines(self.answers)}',
        ]
        folder.mkdir(exist_ok=True)
        text = "{\n" + ",\n".join(parts) + "\n}\n"
        (folder / f"{self.name}.json").write_text(text, "utf-8")

    def bodies(self) -> Iterator[str]:
        """Give the context that the host sent at each episode, the first one first."""
        for events in cut(self.history):
            yield json.dumps({"history": events, **self.context})


def cut(history: list[Event]) -> Iterator[list[Event]]:
    """Give a history as it was at the beginning of each of its episodes.

    The messages of the episode itself had not been played then.
    """
    for start, event in enumerate(history):
        if event["EventType"] != EventType.ORCHESTRATOR_STARTED:
            continue
        end = start + 1
        while end < len(history) and history[end]["EventType"] not in _DECISIONS:
            end += 1
        news = [{**message, "IsPlayed": False} for message in history[start:end]]
        yield [*history[:start], *news]


def ask(app: App, workflow: str, body: str) -> OrchestratorAnswer:
    """Call a workflow of an app through the SDK, as the host does.

    Raises:
        KeyError: The app has no workflow of this name.
    """
    function = app.orchestrators[workflow.lower()]
    try:
        return parse_answer(function.call(context=body))
    except Exception as error:
        return parse_failure(f"{error}")


def find_stranding(app: App, recording: Recording) -> str | None:
    """Replay a recording against an app's code, episode by episode.

    Returns:
        None if the code asks for what it asked for then; else what differs and what to do.
    """
    if recording.workflow.lower() not in app.orchestrators:
        return f"There is no workflow {recording.workflow} any more. {_REMEDY}"
    for number, body in enumerate(recording.bodies()):
        answer = ask(app, recording.workflow, body)
        then, now = recording.answers[number], tell(answer)
        if then == now:
            continue
        step = next(i for i, pair in enumerate(zip_longest(then, now)) if pair[0] != pair[1])
        asked, asks = ((said[step : step + 1] or ["nothing"])[0] for said in (then, now))
        error = f" ({answer.error})" if answer.error else ""
        return (
            f"{recording.workflow} no longer does what its running instances have done. In "
            f"episode {number + 1} of {recording.name}, step {step + 1} was '{asked}' and now "
            f"is '{asks}'{error}. {_REMEDY}"
        )
    return None


def tell(answer: OrchestratorAnswer) -> list[str]:
    """Tell an answer in words: every action since the beginning, then how the workflow stands."""
    if answer.error is not None:
        end = f"fails: {answer.error.partition(':')[0]}"
    else:
        end = "ends" if answer.is_done else "waits"
    return [*(_tell_action(action) for action in answer.actions), end]


def _tell_action(action: Action) -> str:
    kind = ActionType(action["actionType"])
    match kind:
        case ActionType.WHEN_ALL | ActionType.WHEN_ANY:
            parts = ", ".join(map(_tell_action, action["compoundActions"]))
            return f"{'any' if kind is ActionType.WHEN_ANY else 'all'} of [{parts}]"
        case ActionType.CREATE_TIMER:
            return "timer, cancelled" if action["isCanceled"] else "timer"
        case ActionType.WAIT_FOR_EXTERNAL_EVENT:
            return f"event {action['externalEventName']}"
        case ActionType.CALL_ACTIVITY:
            return f"activity {action['functionName']} {_tell_fencing(action)}".rstrip()
        case ActionType.CALL_SUB_ORCHESTRATOR:
            return f"workflow {action['functionName']} as {action['instanceId']}"
    named = {key: action[key] for key in ("functionName", "operation") if key in action}
    return f"{kind.name.lower()} {named or ''}".rstrip()


def _tell_fencing(action: Action) -> str:
    given = json.loads(action["input"])
    if not isinstance(given, Mapping):
        return ""
    return " ".join(f"{key}={given[key]}" for key in _FENCING if key in given)


def _lines(values: list[Any]) -> str:
    return "[\n  " + ",\n  ".join(json.dumps(value) for value in values) + "\n ]"
