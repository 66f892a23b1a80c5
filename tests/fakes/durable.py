"""A fake of the SDK's Durable client; most tests use it as `orchestrator.domain.ports.Durable`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from orchestrator.domain.instances import LIVE

MAX_URL_LENGTH = 8 * 1024
"""What the host's web server takes."""
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Instance:
    """An instance and its status, under the SDK's names; falsy when there is none."""

    instance_id: str
    name: str | None = None
    runtime_status: str | None = None
    input_: Any = None
    output: Any = None
    custom_status: Any = None
    created_time: datetime | None = MOMENT
    last_updated_time: datetime | None = MOMENT

    def __bool__(self) -> bool:
        return self.runtime_status is not None


@dataclass
class Purged:
    """What a purge answers."""

    instances_deleted: int


class FakeDurable:
    """Records what is asked of it.

    Attributes:
        instances: By id.
        events: ``(instance id, event, data)`` in order.
        errors: Errors that the next calls raise, by method.
    """

    def __init__(self) -> None:
        self.instances: dict[str, Instance] = {}
        self.events: list[tuple[str, str, Any]] = []
        self.errors: dict[str, list[Exception]] = {}

    def started(self, name: str) -> list[str]:
        """Name the instances of a workflow, in the order in which they were started."""
        return [i.instance_id for i in self.instances.values() if i.name == name]

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None, client_input: Any
    ) -> str:
        self._raise("start_new")
        assert instance_id is not None
        known = self.instances.get(instance_id)
        if known and known.runtime_status in ("Running", "Pending", "Suspended"):
            raise Exception(f"an instance {instance_id} exists")  # noqa: TRY002 - as the SDK does
        self.instances[instance_id] = Instance(
            instance_id,
            name=str(orchestration_function_name),
            runtime_status="Running",
            input_=client_input,
        )
        return instance_id

    async def raise_event(self, instance_id: str, event_name: str, event_data: Any) -> None:
        self._raise("raise_event")
        if instance_id not in self.instances:
            raise Exception(f"no instance {instance_id}")  # noqa: TRY002 - as the SDK does
        if self.instances[instance_id].runtime_status not in LIVE:
            raise Exception(f"{instance_id} is gone")  # noqa: TRY002 - as the SDK does
        self.events.append((instance_id, event_name, event_data))

    async def get_status(self, instance_id: str, **_: Any) -> Instance:
        self._raise("get_status")
        return self.instances.get(instance_id) or Instance(instance_id)

    async def terminate(self, instance_id: str, reason: str) -> None:
        self._raise("terminate")
        if instance_id not in self.instances:
            raise Exception(f"no instance {instance_id}")  # noqa: TRY002 - as the SDK does
        self._end(instance_id, "Terminated", reason)

    async def suspend(self, instance_id: str, reason: str) -> None:
        self._switch(instance_id, ("Running", "Pending"), "Suspended", reason)

    async def resume(self, instance_id: str, reason: str) -> None:
        self._switch(instance_id, ("Suspended",), "Running", reason)

    async def purge_instance_history(self, instance_id: str) -> Purged:
        instance = self.instances.get(instance_id)
        if instance and instance.runtime_status in ("Running", "Pending", "Suspended"):
            raise Exception("unexpected status code 412")  # noqa: TRY002 - as the SDK does
        return Purged(instances_deleted=int(self.instances.pop(instance_id, None) is not None))

    def _switch(self, instance_id: str, begins: tuple[str, ...], end: str, reason: str) -> None:
        if len(quote(reason)) > MAX_URL_LENGTH:
            raise Exception("unexpected status code 414")  # noqa: TRY002 - as the SDK does
        instance = self.instances.get(instance_id)
        if instance is None:
            raise Exception(f"no instance {instance_id}")  # noqa: TRY002 - as the SDK does
        if instance.runtime_status in begins:
            instance.runtime_status = end
        elif instance.runtime_status in LIVE:
            raise Exception("unexpected status code 500")  # noqa: TRY002 - as the SDK does

    def _end(self, instance_id: str, runtime_status: str, output: Any) -> None:
        instance = self.instances.get(instance_id)
        if instance and instance.runtime_status in ("Running", "Pending", "Suspended"):
            instance.runtime_status, instance.output = runtime_status, output

    def _raise(self, method: str) -> None:
        if self.errors.get(method):
            raise self.errors[method].pop(0)
