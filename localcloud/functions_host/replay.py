"""The host's own replay of an orchestration: history and actions in, decisions out. Pure.

After each call of the orchestrator function the Durable extension takes the list of all actions
and runs through it once more against the same history, with its own counter of ids. What it starts
and no history event records is new work; what it waits for holds everything behind it. The SDK
counts the same ids on its side, so each rule here decides whether the two stay in step:

* actions start in order, each one waits for the one before; signals complete at once;
* ``WhenAll`` waits for every child, a failed one included, ``WhenAny`` for the first;
* a wait for an event goes on a stack by name, an event to the newest waiter, or in a queue;
* retries are the host's: attempt, timer, attempt, timer, and one timer after the last failure;
* the end is held back while an activity, a child or a live timer is open.
"""

import json
import uuid
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from localcloud.functions_host.actions import Action, ActionType, OrchestratorAnswer
from localcloud.functions_host.decisions import (
    CallActivity,
    CallSubOrchestrator,
    Completed,
    Completion,
    ContinuedAsNew,
    Decision,
    Failed,
    Outcome,
    SendOperation,
    StartTimer,
)
from localcloud.functions_host.events import Event, EventType
from localcloud.functions_host.moments import from_text

MAX_ACTIONS = 100_000
"""Most actions of one generation (``maxOrchestrationActions``)."""

MAX_CUSTOM_STATUS_BYTES = 16 * 1024
"""Longest custom status, as UTF-16."""

HTTP_ACTIVITY = "BuiltIn::HttpActivity"
"""Name of the activity that the host itself provides for ``call_http``."""

_GUIDS = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_MATCHED = {
    EventType.TASK_SCHEDULED: CallActivity,
    EventType.SUB_ORCHESTRATION_CREATED: CallSubOrchestrator,
    EventType.TIMER_CREATED: StartTimer,
    EventType.EVENT_SENT: SendOperation,
}
_KINDS = {
    CallActivity: "an activity",
    CallSubOrchestrator: "a sub-orchestration",
    StartTimer: "a timer",
    SendOperation: "a message to an entity",
}


class Catalog(Protocol):
    """Tells which durable functions the app has; names are compared ignoring case."""

    def has_activity(self, name: str) -> bool:
        """Tell whether an activity has this name."""
        ...

    def has_orchestrator(self, name: str) -> bool:
        """Tell whether an orchestrator has this name."""
        ...

    def has_entity(self, name: str) -> bool:
        """Tell whether an entity has this name."""
        ...


def replay(
    history: Sequence[Event],
    answer: OrchestratorAnswer,
    catalog: Catalog,
    *,
    http_poll_interval: timedelta = timedelta(seconds=30),
) -> Outcome:
    """Run through the actions of an orchestration and decide what to do next.

    Args:
        history: Every event of this generation, the new ones included, in order.
        answer: What the orchestrator function answered to exactly this history.
        catalog: The functions of the app.
        http_poll_interval: Pause between polls of a 202 answer to ``call_http``.

    Returns:
        New decisions and, if the orchestration is over, its completion. Equal arguments give an
        equal outcome.
    """
    if answer.is_plain_failure:
        return Outcome(completion=Failed(answer.error or "unknown error"), is_fatal=True)
    run = _Replay(answer, catalog, http_poll_interval)
    try:
        return run.to_outcome(history)
    except _FatalError as error:
        return Outcome(
            completion=Failed(str(error)),
            anomalies=tuple(run.anomalies),
            next_id=run.next_id,
            is_fatal=True,
        )


class _FatalError(Exception):
    """The orchestration can't go on; not held back by open work."""


class _Slot:
    """Something the replay waits for.

    Attributes:
        is_done: Whether it has come.
        is_ok: Whether it came as a success.
        value: Its value (JSON text), for those that the host itself reads.
        label: Words for it in a message.
        children: Slots that a compound waits for.
    """

    __slots__ = ("_then", "children", "is_done", "is_ok", "label", "value")

    def __init__(self, label: str, children: "Sequence[_Slot]" = ()) -> None:
        self.is_done = False
        self.is_ok = True
        self.value: Any = None
        self.label = label
        self.children = children
        self._then: list[Callable[[], None]] = []

    def then(self, call: Callable[[], None]) -> None:
        """Call back when it comes; at once if it has."""
        if self.is_done:
            call()
        else:
            self._then.append(call)

    def settle(self, *, is_ok: bool = True, value: Any = None) -> None:
        """Let it come; a second time does nothing."""
        if self.is_done:
            return
        self.is_done, self.is_ok, self.value = True, is_ok, value
        waiting, self._then = self._then, []
        for call in waiting:
            call()

    def has_failure(self) -> bool:
        """Tell whether it or anything below it has failed."""
        return (self.is_done and not self.is_ok) or any(c.has_failure() for c in self.children)


_Steps = Generator[_Slot, None, None]


class _Replay:
    """One run through a history. Built, used once, thrown away."""

    def __init__(
        self, answer: OrchestratorAnswer, catalog: Catalog, http_poll_interval: timedelta
    ) -> None:
        self.anomalies: list[str] = []
        self._answer = answer
        self._catalog = catalog
        self._http_poll_interval = http_poll_interval
        self.next_id = 0
        self._decided: dict[int, Decision] = {}
        self._open: dict[int, _Slot] = {}
        self._timers: dict[int, _Slot] = {}
        self._children: dict[str, _Slot] = {}
        self._waiters: dict[str, list[tuple[str, _Slot]]] = {}
        self._buffered: dict[str, deque[Event]] = {}
        self._now_text = ""
        self._instance_id = self._execution_id = ""
        self._parent_id: str | None = None
        self._position = -1
        self._blocked: _Slot | None = None
        self._is_through = False
        self._next_input: str | None = None
        self._carried: list[Event] = []

    def to_outcome(self, history: Sequence[Event]) -> Outcome:
        """Apply every event, then read off what is left."""
        if len(self._answer.actions) > MAX_ACTIONS:
            raise _FatalError(f"more than {MAX_ACTIONS} actions in one orchestration")
        for event in history:
            self._apply(event)
        self._check_custom_status()
        completion = self._to_completion()
        self._look_for_anomalies(completion)
        decisions = tuple(self._decided[key] for key in sorted(self._decided))
        return Outcome(decisions, completion, tuple(self.anomalies), self.next_id)

    def _apply(self, event: Event) -> None:
        kind = event["EventType"]
        if kind == EventType.ORCHESTRATOR_STARTED:
            self._now_text = event["Timestamp"]
        elif kind == EventType.EXECUTION_STARTED:
            self._begin(event)
        elif kind in _MATCHED:
            self._match(event, EventType(kind))
        elif kind in (EventType.TASK_COMPLETED, EventType.SUB_ORCHESTRATION_COMPLETED):
            self._settle(self._open, event["TaskScheduledId"], value=event.get("Result"))
        elif kind in (EventType.TASK_FAILED, EventType.SUB_ORCHESTRATION_FAILED):
            self._settle(self._open, event["TaskScheduledId"], is_ok=False)
        elif kind == EventType.TIMER_FIRED:
            self._settle(self._timers, event["TimerId"])
        elif kind == EventType.EVENT_RAISED:
            self._raise_event(event)

    def _begin(self, event: Event) -> None:
        own = event["OrchestrationInstance"]
        parent = event.get("ParentInstance") or {}
        self._instance_id, self._execution_id = own["InstanceId"], own["ExecutionId"]
        self._parent_id = (parent.get("OrchestrationInstance") or {}).get("InstanceId")
        self._spawn(self._run_actions(), _Slot("the orchestration"))

    def _run_actions(self) -> _Steps:
        for position, action in enumerate(self._answer.actions):
            self._position = position
            slot = self._start(action)
            if not slot.is_done:
                self._blocked = slot
                yield slot
                self._blocked = None
        self._is_through = True

    def _spawn(self, steps: _Steps, result: _Slot) -> None:
        def advance() -> None:
            for slot in steps:
                if not slot.is_done:
                    slot.then(advance)
                    return
            result.settle(is_ok=result.is_ok)

        advance()

    # Starting an action

    def _start(self, action: Action) -> _Slot:
        kind = ActionType(action["actionType"])
        if kind in (ActionType.WHEN_ALL, ActionType.WHEN_ANY):
            return self._start_compound(kind, action["compoundActions"])
        starters: Mapping[ActionType, Callable[[Action], _Slot]] = {
            ActionType.CALL_ACTIVITY: self._start_activity,
            ActionType.CALL_ACTIVITY_WITH_RETRY: self._start_retried,
            ActionType.CALL_SUB_ORCHESTRATOR: self._start_child,
            ActionType.CALL_SUB_ORCHESTRATOR_WITH_RETRY: self._start_retried,
            ActionType.CONTINUE_AS_NEW: self._start_anew,
            ActionType.CREATE_TIMER: self._start_user_timer,
            ActionType.WAIT_FOR_EXTERNAL_EVENT: self._start_wait,
            ActionType.CALL_ENTITY: self._start_entity_call,
            ActionType.CALL_HTTP: self._start_http,
            ActionType.SIGNAL_ENTITY: self._start_signal,
        }
        starter = starters.get(kind)
        if starter is None:
            raise _FatalError(f"the action {kind.name} is not one that the Python SDK sends")
        return starter(action)

    def _start_compound(self, kind: ActionType, actions: Sequence[Action]) -> _Slot:
        children = [self._start(action) for action in actions]
        label = "task_all" if kind is ActionType.WHEN_ALL else "task_any"
        slot = _Slot(f"{label}({', '.join(child.label for child in children)})", children)
        left = len(children) if kind is ActionType.WHEN_ALL else min(1, len(children))
        if left == 0:
            slot.settle()

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                slot.settle()

        for child in children:
            child.then(count)
        return slot

    def _start_activity(self, action: Action) -> _Slot:
        name = action["functionName"]
        if not self._catalog.has_activity(name):
            raise _FatalError(
                f"no activity named '{name}' is registered, or it is disabled; Azure would leave "
                "this orchestration Running for ever. Call activities by their registered name"
            )
        return self._open_activity(name, action.get("input"))

    def _open_activity(self, name: str, input_text: str | None) -> _Slot:
        key = self._take_id()
        self._decided[key] = CallActivity(key, name, input_text)
        return self._open_slot(self._open, key, f"activity '{name}'")

    def _start_child(self, action: Action) -> _Slot:
        name, child_id = action["functionName"], action.get("instanceId")
        if not self._catalog.has_orchestrator(name):
            raise _FatalError(
                f"no orchestrator named '{name}' is registered, or it is disabled; Azure would "
                "leave this orchestration Running for ever"
            )
        if child_id and (
            child_id.startswith("@") or child_id in (self._instance_id, self._parent_id)
        ):
            raise _FatalError(
                f"a sub-orchestration can't have the instance id '{child_id}': it may not begin "
                "with @ nor be the id of its caller or of the caller's parent"
            )
        if child_id in self._children and not self._children[child_id].is_done:
            raise _FatalError(
                f"two sub-orchestrations have the instance id '{child_id}' at the same time: only "
                "one can run under it, and the other's end would be awaited for ever. Give each "
                "an id of its own. What Azure does here is not known"
            )
        key = self._take_id()
        self._decided[key] = CallSubOrchestrator(
            id=key,
            name=name,
            input_text=action.get("input"),
            instance_id=child_id or f"{self._execution_id}:{key}",
            version=action.get("version") or "",
        )
        slot = self._open_slot(self._open, key, f"sub-orchestration '{name}'")
        if child_id:
            self._children[child_id] = slot
        return slot

    def _start_retried(self, action: Action) -> _Slot:
        is_activity = action["actionType"] == ActionType.CALL_ACTIVITY_WITH_RETRY
        start = self._start_activity if is_activity else self._start_child
        result = _Slot(f"'{action['functionName']}' with retry")
        self._spawn(self._retry(start, action, result), result)
        return result

    def _retry(self, start: Callable[[Action], _Slot], action: Action, result: _Slot) -> _Steps:
        options = action["retryOptions"]
        pause = timedelta(milliseconds=options["firstRetryIntervalInMilliseconds"])
        attempts = int(options["maxNumberOfAttempts"])
        for attempt in range(1, attempts + 1):
            slot = start(action)
            yield slot
            if slot.is_ok:
                return
            # One more timer follows the last failure: the SDK counts it too. It fires at once.
            yield self._open_timer(pause if attempt < attempts else timedelta(0))
        result.is_ok = False

    def _start_anew(self, action: Action) -> _Slot:
        self._take_id()
        self._next_input = json.dumps(action.get("input"))
        return _settled("continue_as_new")

    def _start_user_timer(self, action: Action) -> _Slot:
        key = self._take_id()
        self._decided[key] = StartTimer(key, from_text(action["fireAt"]))
        slot = _Slot("a timer")
        if action.get("isCanceled"):
            slot.settle()
        else:
            self._timers[key] = slot
        return slot

    def _open_timer(self, pause: timedelta) -> _Slot:
        key = self._take_id()
        self._decided[key] = StartTimer(key, from_text(self._now_text) + pause)
        return self._open_slot(self._timers, key, "a retry timer")

    def _start_wait(self, action: Action) -> _Slot:
        name: str = action["externalEventName"]
        slot = _Slot(f"event '{name}'")
        queue = self._buffered.get(name.lower())
        if queue:
            self._note_buffer(name, queue)
            slot.settle(value=queue.popleft()["Input"])
        else:
            self._waiters.setdefault(name.lower(), []).append((name, slot))
        return slot

    def _start_entity_call(self, action: Action) -> _Slot:
        guid = self._send_operation(action, is_signal=False)
        slot = _Slot(f"entity '{action['instanceId']}'")
        self._waiters.setdefault(guid, []).append((guid, slot))
        return slot

    def _start_signal(self, action: Action) -> _Slot:
        self._send_operation(action, is_signal=True)
        return _settled(f"signal to '{action['instanceId']}'")

    def _send_operation(self, action: Action, *, is_signal: bool) -> str:
        entity_id: str = action["instanceId"]
        entity_name = entity_id.split("@", 2)[1] if entity_id.startswith("@") else entity_id
        if not self._catalog.has_entity(entity_name):
            raise _FatalError(
                f"no entity named '{entity_name}' is registered, or it is disabled; Azure would "
                "leave this orchestration Running for ever"
            )
        key = self._take_id()
        guid = str(uuid.uuid5(_GUIDS, f"{self._instance_id}/{self._execution_id}/{key}"))
        message: dict[str, Any] = {"op": action["operation"]}
        if is_signal:
            message["signal"] = True
        message["input"] = json.dumps(action.get("input"))
        message["id"] = guid
        if not is_signal:
            message["parent"] = self._instance_id
            message["parentExecution"] = self._execution_id
        self._decided[key] = SendOperation(key, entity_id, message)
        return guid

    def _start_http(self, action: Action) -> _Slot:
        result = _Slot("call_http")
        self._spawn(self._poll_http(action["httpRequest"]), result)
        return result

    def _poll_http(self, request: Mapping[str, Any]) -> _Steps:
        slot = self._open_activity(HTTP_ACTIVITY, json.dumps(request))
        yield slot
        while slot.is_ok and slot.value:
            reply = json.loads(slot.value)
            headers = {k.lower(): v for k, v in (reply.get("headers") or {}).items()}
            if reply.get("statusCode") != 202 or "location" not in headers:
                return
            self.anomalies.append(
                f"call_http to {request['uri']} answered 202 with Location: the host polls on "
                "with ids that the SDK doesn't count, so later results go astray. Do such calls "
                "inside an activity"
            )
            pause = headers.get("retry-after", "")
            yield self._open_timer(
                timedelta(seconds=int(pause)) if pause.isdigit() else self._http_poll_interval
            )
            poll = {**request, "method": "GET", "uri": headers["location"], "content": None}
            slot = self._open_activity(HTTP_ACTIVITY, json.dumps(poll))
            yield slot

    def _take_id(self) -> int:
        key = self.next_id
        self.next_id += 1
        return key

    def _open_slot(self, table: dict[int, _Slot], key: int, label: str) -> _Slot:
        table[key] = slot = _Slot(label)
        return slot

    # Applying an event

    def _match(self, event: Event, kind: EventType) -> None:
        key = event["EventId"]
        decision = self._decided.pop(key, None)
        wanted = _MATCHED[kind]
        if type(decision) is wanted and _has_same_name(decision, event):
            return
        name = f" named '{event['Name']}'" if event.get("Name") else ""
        now = "nothing" if decision is None else _describe(decision)
        raise _FatalError(
            "Non-Deterministic workflow detected: an earlier run of this orchestration ordered "
            f"{_KINDS[wanted]}{name} with the sequence number {key}, and this replay ordered "
            f"{now} there. Was the orchestrator code changed while this instance was running, is "
            "it not deterministic, or did it yield a with-retry task twice?"
        )

    def _settle(
        self, table: dict[int, _Slot], key: int, *, is_ok: bool = True, value: Any = None
    ) -> None:
        slot = table.pop(key, None)
        if slot is not None:
            slot.settle(is_ok=is_ok, value=value)

    def _raise_event(self, event: Event) -> None:
        if self._next_input is not None:
            self._carried.append(event)
            return
        name: str = event["Name"]
        waiters = self._waiters.get(name.lower())
        if not waiters:
            self._buffered.setdefault(name.lower(), deque()).append(event)
            return
        awaited, slot = waiters.pop()
        if awaited != name:
            self.anomalies.append(
                f"the event '{name}' was raised where '{awaited}' is awaited: the host matches "
                "names ignoring case, the SDK does not, and the orchestration never hears of it"
            )
        slot.settle(value=event["Input"])

    def _note_buffer(self, name: str, queue: deque[Event]) -> None:
        first = queue[0]["Input"]
        if any(event["Input"] != first for event in queue):
            self.anomalies.append(
                f"{len(queue)} events named '{name}' came before the first wait: the SDK keeps "
                "the last and serves it to every later wait. Put a number in the event's name"
            )
        if queue[0]["Name"] != name:
            self.anomalies.append(
                f"the event '{queue[0]['Name']}' was raised where '{name}' is awaited: the host "
                "matches names ignoring case, the SDK does not"
            )

    # Reading off the end

    def _check_custom_status(self) -> None:
        status = self._answer.custom_status
        if status is None:
            return
        size = len(json.dumps(status, ensure_ascii=False).encode("utf-16-le"))
        if size > MAX_CUSTOM_STATUS_BYTES:
            raise _FatalError(
                f"the custom status takes {size} bytes as UTF-16; at most "
                f"{MAX_CUSTOM_STATUS_BYTES} are allowed"
            )

    def _to_completion(self) -> Completion | None:
        answer = self._answer
        if not self._is_through or self._open or self._timers:
            return None
        if answer.error:
            return Failed(answer.error)
        if not answer.is_done:
            return None
        if self._next_input is not None:
            return ContinuedAsNew(self._next_input, tuple(self._carried))
        return Completed(None if answer.output is None else json.dumps(answer.output))

    def _look_for_anomalies(self, completion: Completion | None) -> None:
        if completion is not None:
            return
        answer = self._answer
        is_over = answer.is_done or answer.error is not None
        is_ahead = is_over or self._position < len(answer.actions) - 1
        if self._blocked is not None and is_ahead and not self._blocked.has_failure():
            self.anomalies.append(
                f"the orchestrator went on past {self._blocked.label}, which the host still waits "
                "for: nothing that it ordered since will start before. Make a fresh wait each "
                "round and cancel the timer that lost"
            )
        elif self._is_through and answer.is_done and self._timers and not self._open:
            self.anomalies.append(
                "the orchestrator has returned, but a timer that it never cancelled keeps the "
                "instance Running until it fires"
            )
        elif self._is_through and not is_over and not self._is_waiting():
            self.anomalies.append(
                "the orchestrator waits for something that the host has nothing open for: it will "
                "stay Running for ever. A with-retry task that was yielded twice does this"
            )

    def _is_waiting(self) -> bool:
        return bool(self._open or self._timers or any(self._waiters.values()))


def _settled(label: str) -> _Slot:
    slot = _Slot(label)
    slot.settle()
    return slot


def _has_same_name(decision: Decision | None, event: Event) -> bool:
    if isinstance(decision, CallActivity | CallSubOrchestrator):
        return decision.name.lower() == (event.get("Name") or "").lower()
    return True


def _describe(decision: Decision) -> str:
    if isinstance(decision, CallActivity | CallSubOrchestrator):
        return f"{_KINDS[type(decision)]} named '{decision.name}'"
    return _KINDS[type(decision)]
