"""The Durable engine: takes messages in, runs episodes, and hands out activities and timers.

The store is the truth; what is kept in memory only spares reading it. Every step is one `Changes`
applied in one transaction, and only then seen by anyone: instances are woken, activities handed
out and timers set after it. So a host that is killed at any moment goes on from the last step when
it is started again.
"""

import itertools
import json
import logging
import threading
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from localcloud.clock import Clock
from localcloud.functions_host import episodes
from localcloud.functions_host.alarm import Alarm
from localcloud.functions_host.decisions import CallSubOrchestrator
from localcloud.functions_host.delays import Delays
from localcloud.functions_host.errors import (
    InstanceExistsError,
    InstanceNotFoundError,
    InstanceOverError,
    InstanceStateError,
    InvalidInstanceIdError,
    NotTerminalError,
    UnknownFunctionError,
)
from localcloud.functions_host.events import EventType, execution_started, make, text_of
from localcloud.functions_host.instances import Instance
from localcloud.functions_host.replay import Catalog
from localcloud.functions_host.store import (
    ActivityRow,
    Changes,
    InstanceRow,
    Message,
    Parent,
    Store,
)

logger = logging.getLogger(__name__)

MAX_ID_CHARS = 256
RETRY_PAUSE = timedelta(seconds=1)
"""Pause before an episode whose step could not be stored is tried again."""
REST_PER_EPISODE = 2
"""Rest after an episode while activities are open, in lengths of that episode."""
LONGEST_REST = timedelta(seconds=1)
"""Bound of that rest: a machine that slept during an episode must not rest for as long again."""


@dataclass(frozen=True)
class EngineOptions:
    """How the engine behaves.

    Attributes:
        episode_threads: Orchestrators and entities that run at the same time.
        max_entity_batch: Most operations of one entity batch.
        cached_histories: Most histories kept in memory.
        is_strict: Turn silent anomalies into failures.
        http_poll_interval: Pause between polls of a ``call_http`` that answered 202.
        delivers_twice: Post each result twice.
        lateness: How late messages and activities are delivered; None for at once.
        replaces_live: Let a start take the place of a live instance of that id.
        default_version: Version of orchestrations that are started without one; "" for none.
    """

    episode_threads: int = 4
    max_entity_batch: int = 5000
    cached_histories: int = 512
    is_strict: bool = False
    http_poll_interval: timedelta = timedelta(seconds=30)
    delivers_twice: bool = False
    lateness: Delays | None = None
    replaces_live: bool = False
    default_version: str = ""


class DurableFunctions(Catalog, Protocol):
    """The app's durable functions, callable."""

    def call_orchestrator(self, name: str, context: str) -> str:
        """Run an orchestrator once over its history.

        Returns:
            Its state as JSON text.

        Raises:
            Exception: As the function raised it.
        """
        ...

    def call_entity(self, name: str, context: str) -> str:
        """Run an entity over a batch of operations, see `call_orchestrator`."""
        ...


class ActivityDispatcher(Protocol):
    """Runs activities as they are handed out."""

    def dispatch(self, rows: Iterable[ActivityRow]) -> None:
        """Run each activity at least once and give its result to `Engine.finish_activity`."""
        ...


class Engine:
    """Runs the orchestrations and entities of one store. Safe to use from many threads."""

    def __init__(
        self,
        store: Store,
        functions: DurableFunctions,
        clock: Clock,
        options: EngineOptions | None = None,
        *,
        executor: Executor | None = None,
        alarm: Alarm | None = None,
    ) -> None:
        """Make an engine that does nothing yet.

        Args:
            store: Holds everything; no other engine uses it.
            functions: The app.
            clock: Source of times.
            options: How to behave.
            executor: Runs the episodes; None for threads of the engine's own.
            alarm: Calls back at moments; None for one with a thread of its own.
        """
        self._store = store
        self._functions = functions
        self._clock = clock
        self._options = options or EngineOptions()
        self._alarm = alarm or Alarm(clock)
        self._dispatcher: ActivityDispatcher | None = None
        self._pool = executor or ThreadPoolExecutor(self._options.episode_threads, "episode")
        self._lock = threading.RLock()
        self._start_lock = threading.Lock()
        self._instances: dict[str, Instance] = {}
        self._histories: OrderedDict[str, None] = OrderedDict()
        self._outstanding: set[int] = set()
        self._open_activities: Counter[str] = Counter()
        self._watchers: dict[str, list[Callable[[InstanceRow], None]]] = {}
        self._entity_due: dict[str, datetime] = {}
        self._is_stopped = False
        message_id, activity_id = store.read_highest_ids()
        self._message_ids = itertools.count(message_id + 1)
        self._activity_ids = itertools.count(activity_id + 1)

    @property
    def alarm(self) -> Alarm:
        """The engine's alarm, for whoever else waits for moments."""
        return self._alarm

    def start(self, dispatcher: ActivityDispatcher) -> None:
        """Take up everything that the store holds and begin to work.

        Args:
            dispatcher: Gets every activity, those of a host that was killed first.
        """
        self._dispatcher = dispatcher
        activities = self._store.take_over_activities()
        if activities:
            logger.info("delivering %d unanswered activities again", len(activities))
        self._alarm.start()
        self._note_ordered(activities)
        self._post(self._store.read_inbox())
        dispatcher.dispatch(activities)

    def stop(self) -> None:
        """Begin nothing new. Episodes under way may still end, or be cut off with the process."""
        self._is_stopped = True
        self._alarm.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # What clients ask for

    def require_live(self, instance_id: str) -> InstanceRow:
        """Read an instance that can be sent something.

        Raises:
            InstanceNotFoundError: No such instance.
            InstanceOverError: The instance has ended.
        """
        instance = self._find(instance_id)
        if instance is None:
            raise InstanceNotFoundError(f"No instance with ID {instance_id} found.")
        if instance.row.is_over:
            raise InstanceOverError(f"The instance {instance_id} is {instance.row.status}.")
        return instance.row

    def start_instance(
        self, name: str, instance_id: str | None, input_text: str | None, version: str = ""
    ) -> str:
        """Start an orchestration.

        Args:
            name: Name of the orchestrator, case ignored.
            instance_id: Its id; None for a random one.
            input_text: Raw input as JSON text.
            version: Its version; "" for the default one.

        Returns:
            The instance id.

        Raises:
            UnknownFunctionError: No such orchestrator.
            InvalidInstanceIdError: The id can't be used.
            InstanceExistsError: The id belongs to a live instance, and starts don't replace it.
        """
        if not self._functions.has_orchestrator(name):
            raise UnknownFunctionError(
                f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator "
                "function."
            )
        chosen = uuid.uuid4().hex if instance_id is None else instance_id
        _check_instance_id(chosen)
        with self._start_lock:
            old = self._find(chosen)
            if old is not None and old.row.status == "Pending" and self._options.lateness:
                # Two callers that read the status before either wrote it: Azure tells both that
                # they have started it, and throws one start away.
                logger.info("a second start of %s was thrown away", chosen)
                return chosen
            if old is not None and not old.row.is_over and self._options.replaces_live:
                self._purge(old)
            elif old is not None and not old.row.is_over:
                raise InstanceExistsError(
                    f"An Orchestration instance with the status {old.row.status} already exists."
                )
            changes = Changes()
            self._add_start(changes, name, chosen, input_text, version=version, parent=None)
            self._commit(changes)
        return chosen

    def raise_event(self, instance_id: str, name: str, input_text: str) -> None:
        """Send an event to an instance.

        Args:
            instance_id: Where to.
            name: Its name.
            input_text: Its data as JSON text.

        Raises:
            InstanceNotFoundError: No such instance.
            InstanceOverError: The instance has ended.
        """
        self.require_live(instance_id)
        event = make(EventType.EVENT_RAISED, self._clock.now(), Name=name, Input=input_text)
        self._send(instance_id, text_of(event))

    def terminate(self, instance_id: str, reason: str) -> None:
        """End an instance; its running activities go on, their results are dropped.

        Raises:
            InstanceNotFoundError: No such instance.
            InstanceOverError: The instance has ended.
        """
        self.require_live(instance_id)
        event = make(EventType.EXECUTION_TERMINATED, self._clock.now(), Input=reason)
        self._send(instance_id, text_of(event))

    def suspend(self, instance_id: str, reason: str) -> None:
        """Hold an instance's messages back until it is resumed.

        Raises:
            InstanceNotFoundError: No such instance.
            InstanceOverError: The instance has ended.
            InstanceStateError: It is suspended already.
        """
        if self.require_live(instance_id).status == "Suspended":
            raise InstanceStateError(
                f"Cannot suspend the orchestration instance {instance_id}: it is suspended"
            )
        event = make(EventType.EXECUTION_SUSPENDED, self._clock.now(), Reason=reason)
        self._send(instance_id, text_of(event))

    def resume(self, instance_id: str, reason: str) -> None:
        """Let a suspended instance go on.

        Raises:
            InstanceNotFoundError: No such instance.
            InstanceOverError: The instance has ended.
            InstanceStateError: It is not suspended.
        """
        row = self.require_live(instance_id)
        if row.status != "Suspended":
            raise InstanceStateError(
                f"Cannot resume the orchestration instance {instance_id}: it is {row.status}"
            )
        event = make(EventType.EXECUTION_RESUMED, self._clock.now(), Reason=reason)
        self._send(instance_id, text_of(event))

    def has_entity(self, name: str) -> bool:
        """Tell whether the app has an entity of this name, case ignored."""
        return self._functions.has_entity(name)

    def signal_entity(self, name: str, key: str, operation: str, input_text: str | None) -> None:
        """Send an operation to an entity without waiting for it.

        Args:
            name: Its name, case ignored.
            key: Its key.
            operation: What to do.
            input_text: Operation input as JSON text, None for none.

        Raises:
            UnknownFunctionError: No such entity.
        """
        if not self._functions.has_entity(name):
            raise UnknownFunctionError(
                f"The function '{name}' doesn't exist, is disabled, or is not an entity function."
            )
        message = {"op": operation, "signal": True, "input": input_text, "id": str(uuid.uuid4())}
        event = make(
            EventType.EVENT_RAISED, self._clock.now(), Name="op", Input=json.dumps(message)
        )
        self._send(f"@{name.lower()}@{key}", text_of(event))

    def purge(self, instance_id: str, *, is_forced: bool = False) -> None:
        """Forget an instance; what it ordered goes on, and whoever waits for it waits for ever.

        Args:
            instance_id: Which one.
            is_forced: Also one that has not ended.

        Raises:
            InstanceNotFoundError: No such instance.
            NotTerminalError: It has not ended; an entity may go at any time.
        """
        with self._start_lock:
            instance = self._find(instance_id)
            if instance is None:
                raise InstanceNotFoundError(f"No instance with ID {instance_id} found.")
            if not (instance.row.is_over or instance.is_entity or is_forced):
                raise NotTerminalError(
                    "Only orchestrations in a terminal state can be purged, but the orchestration "
                    f"with instance ID {instance_id} has status {instance.row.status}"
                )
            self._purge(instance)

    def _purge(self, instance: Instance) -> None:
        key = instance.row.instance_id
        with instance.commit_lock:
            instance.is_purged = True
            self._store.apply(Changes(purged=[key]))
        with self._lock:
            self._instances.pop(key, None)
            self._histories.pop(key, None)

    def unwatch(self, instance_id: str, call: Callable[[InstanceRow], None]) -> None:
        """Take back a `watch`; nothing happens if it was called already."""
        with self._lock:
            calls = self._watchers.get(instance_id, [])
            if call in calls:
                calls.remove(call)
            if not calls:
                self._watchers.pop(instance_id, None)

    def watch(self, instance_id: str, call: Callable[[InstanceRow], None]) -> None:
        """Call back when an instance ends; at once if it has.

        Args:
            instance_id: Which one.
            call: Gets its row; quick.
        """
        with self._lock:
            instance = self._find(instance_id)
            if instance is None or not instance.row.is_over:
                self._watchers.setdefault(instance_id, []).append(call)
                return
        call(instance.row)

    def finish_activity(self, row: ActivityRow, result: Mapping[str, Any]) -> None:
        """Take in the result of an activity; a late or second one is dropped.

        Args:
            row: The activity.
            result: ``Result``, or ``Reason`` and ``Details`` of a failure.
        """
        with self._lock:
            if self._is_stopped:
                # The lease stays in the store, and the next host runs it again.
                return
            if row.id not in self._outstanding:
                logger.debug("dropped a second result of activity %s", row.name)
                return
            self._note_answered(row)
            instance = self._find(row.instance_id)
        changes = Changes(answered=[row.id])
        if (
            instance is not None
            and not instance.row.is_over
            and instance.row.execution_id == row.execution_id
        ):
            kind = EventType.TASK_COMPLETED if "Result" in result else EventType.TASK_FAILED
            event = make(kind, self._clock.now(), TaskScheduledId=row.task_id, **result)
            for _ in range(2 if self._options.delivers_twice else 1):
                changes.sent.append(
                    self._message(row.instance_id, text_of(event), row.execution_id)
                )
        self._commit(changes)

    # Messages

    def _send(self, instance_id: str, text: str) -> None:
        self._commit(Changes(sent=[self._message(instance_id, text)]))

    def _message(
        self,
        instance_id: str,
        text: str,
        execution_id: str | None = None,
        visible_at: datetime | None = None,
    ) -> Message:
        return Message(next(self._message_ids), instance_id, execution_id, visible_at, text)

    def _commit(self, changes: Changes, *, continues: Instance | None = None) -> None:
        """Store a step, then let the world see it.

        Args:
            changes: The step.
            continues: An instance that begins anew: what it sends to itself comes before
                whatever has arrived for it in the meantime.
        """
        self._store.apply(changes)
        with self._lock:
            for row in changes.rows:
                self._keep(row)
            self._note_ordered(changes.ordered)
        sent = changes.sent
        if continues is not None:
            own = [m for m in sent if m.instance_id == continues.row.instance_id]
            own = [m for m in own if m.visible_at is None]
            sent = [m for m in sent if m not in own]
            with self._lock:
                continues.mailbox.extendleft(reversed(own))
        if sent:
            self._post(sent)
        if changes.ordered and self._dispatcher is not None:
            self._dispatch(self._dispatcher, changes.ordered)

    def _dispatch(self, dispatcher: ActivityDispatcher, rows: Sequence[ActivityRow]) -> None:
        if self._options.lateness is None:
            dispatcher.dispatch(rows)
            return
        for row in rows:
            due_at = self._clock.now() + self._options.lateness.draw()
            self._alarm.at(due_at, partial(dispatcher.dispatch, [row]))

    def _note_ordered(self, rows: Iterable[ActivityRow]) -> None:
        for row in rows:
            self._outstanding.add(row.id)
            self._open_activities[row.execution_id] += 1

    def _note_answered(self, row: ActivityRow) -> None:
        self._outstanding.discard(row.id)
        self._open_activities[row.execution_id] -= 1
        if self._open_activities[row.execution_id] == 0:
            del self._open_activities[row.execution_id]

    def _keep(self, row: InstanceRow) -> None:
        instance = self._instances.get(row.instance_id)
        if instance is None:
            self._instances[row.instance_id] = Instance(row)
        else:
            if instance.row.execution_id != row.execution_id:
                instance.unload()
            instance.row = row
        if row.is_over:
            for call in self._watchers.pop(row.instance_id, ()):
                call(row)

    def _post(self, messages: Iterable[Message]) -> None:
        now = self._clock.now()
        for message in messages:
            due_at = self._find_due(message, now)
            if due_at > now:
                self._alarm.at(due_at, partial(self._deliver, message))
            else:
                self._deliver(message)

    def _find_due(self, message: Message, now: datetime) -> datetime:
        due_at = now if message.visible_at is None else message.visible_at
        if self._options.lateness is None:
            return due_at
        due_at = max(due_at, now) + self._options.lateness.draw()
        if message.instance_id.startswith("@"):
            # However late, operations come to an entity in their order.
            with self._lock:
                due_at = max(due_at, self._entity_due.get(message.instance_id, due_at))
                self._entity_due[message.instance_id] = due_at
        return due_at

    def _deliver(self, message: Message) -> None:
        with self._lock:
            instance = self._find(message.instance_id)
            if instance is None and message.instance_id.startswith("@"):
                instance = Instance(
                    episodes.new_entity_row(message.instance_id, self._clock.now())
                )
                self._instances[message.instance_id] = instance
            if instance is not None:
                instance.mailbox.append(message)
                self._wake(instance)
                return
        self._store.apply(Changes(consumed=[message.id]))

    def _wake(self, instance: Instance) -> None:
        if instance.is_busy or self._is_stopped or not instance.has_work():
            return
        if self._may_rest(instance):
            self._wake_rested(instance)
            return
        instance.is_busy = True
        self._pool.submit(self._work, instance)

    def _may_rest(self, instance: Instance) -> bool:
        """Tell whether results should gather before the next episode.

        Each episode replays all that came before it, so one for each of a hundred results would
        take most of the time. The last result is never kept waiting.
        """
        return (
            instance.row.execution_id in self._open_activities
            and self._clock.now() < instance.rests_until
        )

    def _wake_rested(self, instance: Instance) -> None:
        if instance.is_resting:
            return
        instance.is_resting = True

        def wake() -> None:
            with self._lock:
                instance.is_resting = False
                self._wake(instance)

        self._alarm.at(instance.rests_until, wake)

    def _find(self, instance_id: str) -> Instance | None:
        with self._lock:
            instance = self._instances.get(instance_id)
            if instance is None:
                row = self._store.read_instance(instance_id)
                if row is None:
                    return None
                instance = Instance(row)
                if not row.is_over:
                    self._instances[instance_id] = instance
            return instance

    # Episodes

    def _work(self, instance: Instance) -> None:
        with self._lock:
            limit = self._options.max_entity_batch if instance.is_entity else 1_000_000
            batch = [] if self._is_stopped else instance.take_batch(limit)
        if not batch:
            instance.is_busy = False
            return
        began_at = self._clock.now()
        try:
            self._take_in(instance, batch)
        except Exception:
            if self._is_stopped:
                return
            logger.exception("an episode of %s was not stored", instance.row.instance_id)
            self._try_later(instance, batch)
            return
        now = self._clock.now()
        with self._lock:
            instance.is_busy = False
            instance.rests_until = now + min(REST_PER_EPISODE * (now - began_at), LONGEST_REST)
            if instance.row.is_over and not instance.mailbox:
                self._forget(instance)
            else:
                self._wake(instance)

    def _try_later(self, instance: Instance, batch: list[Message]) -> None:
        with self._lock:
            instance.unload()
            instance.mailbox.extendleft(reversed(batch))
            instance.is_busy = False

        def wake() -> None:
            with self._lock:
                self._wake(instance)

        self._alarm.at(self._clock.now() + RETRY_PAUSE, wake)

    def _forget(self, instance: Instance) -> None:
        key = instance.row.instance_id
        if self._instances.get(key) is instance:
            del self._instances[key]
        self._histories.pop(key, None)

    def _take_in(self, instance: Instance, batch: list[Message]) -> None:
        changes = Changes(consumed=[message.id for message in batch])
        events = [
            json.loads(message.text)
            for message in batch
            if message.execution_id in (None, instance.row.execution_id)
        ]
        if instance.row.is_over or not events:
            self._commit(changes)
        elif instance.is_entity:
            self._run_entity(instance, events, changes)
        else:
            self._load(instance)
            if not instance.texts and not any(map(episodes.is_start, events)):
                self._keep_for_start(instance, batch)
                return
            self._run_orchestrator(instance, events, changes)

    def _keep_for_start(self, instance: Instance, batch: Sequence[Message]) -> None:
        """Lose nothing that came before the message that begins an instance."""
        kept = [m for m in batch if m.execution_id in (None, instance.row.execution_id)]
        self._commit(Changes(consumed=[m.id for m in batch if m not in kept]))
        with self._lock:
            instance.put_back(kept)

    def _load(self, instance: Instance) -> None:
        key = instance.row.instance_id
        if instance.events is None:
            instance.load(self._store.read_history(key))
        with self._lock:
            self._histories[key] = None
            self._histories.move_to_end(key)
            while len(self._histories) > self._options.cached_histories:
                oldest, _ = self._histories.popitem(last=False)
                other = self._instances.get(oldest)
                if other is not None and not other.is_busy:
                    other.unload()

    def _run_entity(
        self, instance: Instance, events: list[dict[str, object]], changes: Changes
    ) -> None:
        result = episodes.run_entity(instance.row, events, self._functions, self._clock.now())
        changes.rows.append(result.row)
        for reply in result.replies:
            changes.sent.append(self._message(reply.instance_id, reply.text, reply.execution_id))
        self._commit_episode(instance, changes)

    def _run_orchestrator(
        self, instance: Instance, events: list[dict[str, object]], changes: Changes
    ) -> None:
        episode = episodes.run_orchestrator(
            instance,
            events,
            self._functions,
            now=self._clock.now(),
            is_strict=self._options.is_strict,
            http_poll_interval=self._options.http_poll_interval,
        )
        key, row = instance.row.instance_id, instance.row
        first = len(instance.texts)
        changes.rows.append(episode.row)
        if episode.row.execution_id != row.execution_id:
            changes.wiped.append(key)
        else:
            changes.history[key] = (first, episode.texts)
        for activity in episode.activities:
            changes.ordered.append(
                ActivityRow(
                    id=next(self._activity_ids),
                    instance_id=key,
                    execution_id=row.execution_id,
                    task_id=activity.id,
                    name=activity.name,
                    input=activity.input_text,
                )
            )
        for letter in episode.letters:
            changes.sent.append(
                self._message(
                    letter.instance_id, letter.text, letter.execution_id, letter.visible_at
                )
            )
        is_anew = episode.row.execution_id != row.execution_id
        if not is_anew:
            instance.extend(episode.events, episode.texts)
        with self._start_lock if episode.children else nullcontext():
            for child in episode.children:
                self._add_child(changes, row, child)
            self._commit_episode(instance, changes, is_anew=is_anew)

    def _commit_episode(
        self, instance: Instance, changes: Changes, *, is_anew: bool = False
    ) -> None:
        with instance.commit_lock:
            if instance.is_purged:
                # It was purged during this episode: whatever that came to is gone with it.
                return
            self._commit(changes, continues=instance if is_anew else None)

    def _add_child(self, changes: Changes, row: InstanceRow, child: CallSubOrchestrator) -> None:
        old = self._find(child.instance_id)
        if old is not None and not old.row.is_over:
            event = make(
                EventType.SUB_ORCHESTRATION_FAILED,
                self._clock.now(),
                TaskScheduledId=child.id,
                Reason=f"An Orchestration instance with the status {old.row.status} already "
                f"exists: {child.instance_id}",
                Details="",
            )
            changes.sent.append(self._message(row.instance_id, text_of(event), row.execution_id))
            return
        self._add_start(
            changes,
            child.name,
            child.instance_id,
            json.dumps(child.input_text),
            version=child.version,
            parent=Parent(row.instance_id, row.execution_id, row.name, child.id),
        )

    def _add_start(
        self,
        changes: Changes,
        name: str,
        instance_id: str,
        input_text: str | None,
        *,
        version: str,
        parent: Parent | None,
    ) -> None:
        now = self._clock.now()
        version = version or self._options.default_version
        row = InstanceRow(
            instance_id=instance_id,
            execution_id=uuid.uuid4().hex,
            name=name,
            version=version,
            status="Pending",
            input=input_text,
            output=None,
            custom_status=None,
            created_at=now,
            updated_at=now,
            parent=parent,
        )
        changes.rows.append(row)
        changes.wiped.append(instance_id)
        event = execution_started(
            now,
            name=name,
            version=version,
            input_text=input_text,
            instance_id=instance_id,
            execution_id=row.execution_id,
            parent=episodes.to_parent_text(parent),
        )
        changes.sent.append(self._message(instance_id, text_of(event), row.execution_id))


def _check_instance_id(instance_id: str) -> None:
    if instance_id.startswith("@"):
        raise InvalidInstanceIdError("Orchestration instance ids must not start with @.")
    if any(c in "/\\#?" or ord(c) < 32 or 127 <= ord(c) < 160 for c in instance_id):
        raise InvalidInstanceIdError(
            "Orchestration instance ids must not contain /, \\, #, ?, or control characters."
        )
    if len(instance_id) > MAX_ID_CHARS:
        raise InvalidInstanceIdError(
            f"Instance ID lengths must not exceed {MAX_ID_CHARS} characters."
        )
