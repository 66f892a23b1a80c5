"""A VM as its dead-man's switch meets it, on a clock that a test turns."""

from gpu_agent.switch.decision import AgentSeen
from gpu_agent.switch.errors import AgentRefusalError, AgentSilentError, SwitchError, UnitError


class FakeVm:
    """The agent, its unit and the machine in one; `gone_at` tells when Azure was asked.

    Attributes:
        jobs: What the agent holds.
        lease_until: End of its lease, or None before the first.
        mood: ``well``, ``silent`` or ``refusing``.
        refusals: Raised by the next deallocations, in this order.
        stop_fails: Whether the unit can't be stopped.
        acts: What was done to it, in words.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.epoch = 7
        self.jobs: list[str] = []
        self.lease_until: float | None = None
        self.mood = "well"
        self.is_closed = False
        self.is_stopped = False
        self.stop_fails = False
        self.refusals: list[SwitchError] = []
        self.drains: list[int] = []
        self.acts: list[str] = []
        self.gone_at: float | None = None

    def clock(self) -> float:
        return self.now

    # The agent.

    def look(self) -> AgentSeen:
        self._answer()
        left_s = None if self.lease_until is None else max(0.0, self.lease_until - self.now)
        return AgentSeen(
            epoch=self.epoch,
            is_closed=self.is_closed,
            jobs=tuple(self.jobs),
            lease_left_s=left_s,
        )

    def close_door(self, *, epoch: int, drain: int) -> bool:
        self._answer()
        assert epoch == self.epoch
        self.drains.append(drain)
        is_leased = self.lease_until is not None and self.now < self.lease_until
        self.is_closed = self.is_closed or not (self.jobs or is_leased)
        self.acts.append("closed" if self.is_closed else "kept open")
        return self.is_closed

    def renew(self, ttl_s: float) -> bool:
        """Give it a lease, as the control plane does; False when it is refused."""
        if self.is_closed or self.is_stopped or self.mood != "well":
            return False
        self.lease_until = self.now + ttl_s
        return True

    def _answer(self) -> None:
        if self.is_stopped or self.mood == "silent":
            raise AgentSilentError("silent")
        if self.mood == "refusing":
            raise AgentRefusalError("who are you?")

    # Its unit.

    def stop(self) -> None:
        if self.stop_fails:
            self.acts.append("not stopped")
            raise UnitError("no")
        self.is_stopped = True
        self.acts.append("stopped")

    # The machine.

    def deallocate(self) -> None:
        if self.refusals:
            self.acts.append("refused")
            raise self.refusals.pop(0)
        self.acts.append("deallocated")
        self.gone_at = self.now if self.gone_at is None else self.gone_at
