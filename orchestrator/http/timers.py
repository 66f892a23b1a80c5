"""Timer triggers."""

from typing import Protocol

from orchestrator.domain.ports import Durable

SWEEP_SCHEDULE = "0 */5 * * * *"
"""Every five minutes."""


class Sweeper(Protocol):
    """The second reaper."""

    async def sweep(self, client: Durable) -> None:
        """Do what the reconciler should have done, if it has not for a while."""


class TimerTriggers:
    """What runs by the clock, independent of any orchestration."""

    def __init__(self, *, sweeper: Sweeper) -> None:
        self._sweeper = sweeper

    async def sweep(self, client: Durable) -> None:
        """Look whether the reconciler does its work."""
        await self._sweeper.sweep(client)
