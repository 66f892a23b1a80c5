"""`Durable` over the SDK's client, which builds URLs by joining strings.

The SDK escapes reasons and nothing else (azure-functions-durable 1.7.0), and tells of a refusal
with a bare `Exception`. Here every other part of a URL is escaped, and what was refused is told
apart by the instance's status.
"""

from typing import Any
from urllib.parse import quote

from orchestrator.domain.errors import InstanceOverError, InstanceStateError, UnknownJobError
from orchestrator.domain.instances import LIVE, SUSPENDED, status_name


class DurableClient:
    """`Durable` on a `DurableOrchestrationClient`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None, client_input: Any
    ) -> str:
        escaped = None if instance_id is None else _escape(instance_id)
        started: str = await self._client.start_new(
            orchestration_function_name, escaped, client_input
        )
        return started

    async def raise_event(self, instance_id: str, event_name: str, event_data: Any) -> None:
        try:
            await self._client.raise_event(_escape(instance_id), _escape(event_name), event_data)
        except Exception as error:
            await self._tell(instance_id, error)
            raise

    async def get_status(
        self, instance_id: str, *, show_history: bool = False, show_history_output: bool = False
    ) -> Any:
        return await self._client.get_status(
            _escape(instance_id),
            show_history=show_history,
            show_history_output=show_history_output,
        )

    async def terminate(self, instance_id: str, reason: str) -> None:
        try:
            await self._client.terminate(_escape(instance_id), reason)
        except Exception as error:
            await self._tell(instance_id, error)
            raise

    async def suspend(self, instance_id: str, reason: str) -> None:
        try:
            await self._client.suspend(_escape(instance_id), reason)
        except Exception as error:
            if await self._tell(instance_id, error) == SUSPENDED:
                raise InstanceStateError(
                    "the instance is suspended already", code="instance_suspended"
                ) from error
            raise

    async def resume(self, instance_id: str, reason: str) -> None:
        try:
            await self._client.resume(_escape(instance_id), reason)
        except Exception as error:
            if await self._tell(instance_id, error) != SUSPENDED:
                raise InstanceStateError(
                    "the instance is not suspended", code="instance_not_suspended"
                ) from error
            raise

    async def purge(self, instance_id: str) -> int | None:
        try:
            purged = await self._client.purge_instance_history(_escape(instance_id))
        except Exception:
            if status_name(await self.get_status(instance_id)) in LIVE:
                return None
            raise
        return int(purged.instances_deleted)

    def create_http_management_payload(self, instance_id: str) -> dict[str, str]:
        urls: dict[str, str] = self._client.create_http_management_payload(_escape(instance_id))
        return urls

    async def _tell(self, instance_id: str, error: Exception) -> str:
        """Find out why a call was refused.

        Returns:
            The status of an instance that lives.

        Raises:
            UnknownJobError: There is no such instance.
            InstanceOverError: It has ended.
        """
        status = await self.get_status(instance_id)
        if not status:
            raise UnknownJobError("the job's instance is gone") from error
        name = status_name(status)
        if name not in LIVE:
            raise InstanceOverError(f"the job's instance has ended: {name}") from error
        return name


def _escape(part: str) -> str:
    return quote(part, safe="")
