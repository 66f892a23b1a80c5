"""Activities that do nothing but apply a command to the pool."""

from typing import Any

from orchestrator.domain.pool import command_from_json
from orchestrator.domain.ports import Durable
from orchestrator.services.pool import PoolService


class PoolActivities:
    """What every workflow does to the pool."""

    def __init__(self, pool: PoolService) -> None:
        self._pool = pool

    async def apply_pool_command(self, command: dict[str, Any], client: Durable) -> dict[str, Any]:
        """Apply a command and give its reply. Safe to run twice: see `PoolService.apply`."""
        return await self._pool.apply(command_from_json(command), client)
