"""What the engine keeps in memory of one instance."""

import json
import threading
from collections import deque
from collections.abc import Sequence

from localcloud.functions_host.events import Event, EventType
from localcloud.functions_host.store import InstanceRow, Message

_COMPLETIONS = {
    EventType.TASK_COMPLETED: "TaskScheduledId",
    EventType.TASK_FAILED: "TaskScheduledId",
    EventType.SUB_ORCHESTRATION_COMPLETED: "TaskScheduledId",
    EventType.SUB_ORCHESTRATION_FAILED: "TaskScheduledId",
    EventType.TIMER_FIRED: "TimerId",
}
_START = f'{{"EventType":{EventType.EXECUTION_STARTED:d},'
_SUSPENSION = f'{{"EventType":{EventType.EXECUTION_SUSPENDED:d},'
_CONTROLS = (
    _SUSPENSION,
    f'{{"EventType":{EventType.EXECUTION_RESUMED:d},',
    f'{{"EventType":{EventType.EXECUTION_TERMINATED:d},',
)


class Instance:
    """One instance: its row, its waiting messages and, while it is in use, its history.

    Attributes:
        row: How it stands in the store.
        mailbox: Messages that may be seen, oldest first.
        is_busy: Whether a thread works on it.
        is_resting: Whether the end of its rest will wake it.
        rests_until: Until when results of its activities may gather.
        events: History of this generation, or None if it has to be read first.
        texts: The same as JSON texts.
        told: Anomalies that were logged already.
        commit_lock: Held while an episode of it is stored, or while it is purged.
        is_purged: Whether it is gone: nothing of it is stored any more.
        awaits_start: Whether its messages lie until the one that begins it has come too.
    """

    __slots__ = (
        "awaits_start",
        "commit_lock",
        "completed",
        "events",
        "is_busy",
        "is_purged",
        "is_resting",
        "mailbox",
        "rests_until",
        "row",
        "texts",
        "told",
    )

    def __init__(self, row: InstanceRow) -> None:
        self.row = row
        self.mailbox: deque[Message] = deque()
        self.is_busy = False
        self.is_resting = False
        self.rests_until = row.created_at
        self.events: list[Event] | None = None
        self.texts: list[str] = []
        self.completed: set[int] = set()
        self.told: set[str] = set()
        self.commit_lock = threading.Lock()
        self.is_purged = False
        self.awaits_start = False

    @property
    def is_entity(self) -> bool:
        """Whether it is an entity."""
        return self.row.instance_id.startswith("@")

    @property
    def is_suspended(self) -> bool:
        """Whether it holds its messages back."""
        return self.row.status == "Suspended"

    def load(self, texts: Sequence[str]) -> None:
        """Take in the history that the store holds."""
        self.events = []
        self.texts = []
        self.completed = set()
        self.extend([json.loads(text) for text in texts], texts)

    def unload(self) -> None:
        """Forget the history; it is read again when needed."""
        self.events = None
        self.texts = []
        self.completed = set()

    def extend(self, events: Sequence[Event], texts: Sequence[str]) -> None:
        """Append events that the store holds by now."""
        if self.events is None:
            raise RuntimeError("the history is not loaded")
        self.events.extend(events)
        self.texts.extend(texts)
        for event in events:
            key = completed_id(event)
            if key is not None:
                self.completed.add(key)

    def take_batch(self, limit: int) -> list[Message]:
        """Take the messages that may be handled now, oldest first.

        Args:
            limit: Most messages.

        Returns:
            All of them, or only controls while it is suspended.
        """
        self.awaits_start = self.awaits_start and not self._holds_start()
        if self.awaits_start:
            return []
        if not self.is_suspended:
            return self._take_until_suspended(limit)
        batch = [message for message in self.mailbox if is_control(message)]
        if batch:
            self.mailbox = deque(message for message in self.mailbox if not is_control(message))
        return batch

    def _take_until_suspended(self, limit: int) -> list[Message]:
        batch: list[Message] = []
        while self.mailbox and len(batch) < limit:
            batch.append(self.mailbox.popleft())
            if batch[-1].text.startswith(_SUSPENSION):
                break
        return batch

    def put_back(self, batch: Sequence[Message]) -> None:
        """Take a batch back until the message that begins the instance has come."""
        self.awaits_start = True
        self.mailbox.extendleft(reversed(batch))

    def _holds_start(self) -> bool:
        return any(message.text.startswith(_START) for message in self.mailbox)

    def has_work(self) -> bool:
        """Tell whether a batch would hold anything."""
        if self.awaits_start and not self._holds_start():
            return False
        if not self.is_suspended:
            return bool(self.mailbox)
        return any(is_control(message) for message in self.mailbox)


def completed_id(event: Event) -> int | None:
    """Read the sequence number that an event completes, None if it completes nothing."""
    field = _COMPLETIONS.get(event["EventType"])
    return None if field is None else event[field]


def is_control(message: Message) -> bool:
    """Tell whether a message steers the instance itself (terminate, suspend, resume)."""
    return message.text.startswith(_CONTROLS)
