"""Looks at the agent, decides, acts; again and again until the machine is gone."""

import logging
from collections.abc import Callable
from typing import Protocol

from gpu_agent.host.machine import read_boot_clock
from gpu_agent.switch.decision import (
    Action,
    AgentSeen,
    CloseDoor,
    Deallocate,
    Observation,
    Policy,
    StopAgent,
    Wait,
    Why,
    decide,
    note_answer,
    note_refusal,
    note_silence,
    note_stopped,
)
from gpu_agent.switch.errors import (
    AgentRefusalError,
    AgentSilentError,
    ArmError,
    SwitchError,
    UnitError,
)

logger = logging.getLogger(__name__)

AGAIN_AFTER_S = 120.0
"""A machine that still runs so long after Azure took its deallocation asks again, in seconds."""

MAX_PAUSE_S = 300.0
"""Longest pause between two failed deallocations, in seconds."""


class Agent(Protocol):
    """The agent on this machine."""

    def look(self) -> AgentSeen:
        """Ask the agent what it holds.

        Raises:
            AgentSilentError: No answer, or none that makes sense.
            AgentRefusalError: It refuses the token.
        """

    def close_door(self, *, epoch: int, drain: int) -> bool:
        """Have the agent refuse everything until the next boot; False if it holds something.

        Raises:
            AgentSilentError: No answer, or none that makes sense.
            AgentRefusalError: It refuses the token.
        """


class Unit(Protocol):
    """What the system runs the agent as."""

    def stop(self) -> None:
        """Stop the agent for good.

        Raises:
            UnitError: It may still run.
        """


class Machine(Protocol):
    """The VM on which this runs."""

    def deallocate(self) -> None:
        """Ask Azure to deallocate it; safe to run twice.

        Raises:
            SwitchError: Not accepted.
        """


class Watch:
    """One look, one decision and one act at a time.

    Args:
        agent: The agent on this machine.
        unit: Its unit.
        machine: The machine itself.
        policy: How patient to be.
        booted_at: When the machine booted, on the boot clock.
        poll_s: Seconds between two looks.
        retry_s: Seconds after the first failed deallocation; they double from there.
        clock: Seconds on the boot clock.
    """

    def __init__(
        self,
        *,
        agent: Agent,
        unit: Unit,
        machine: Machine,
        policy: Policy,
        booted_at: float,
        poll_s: float,
        retry_s: float,
        clock: Callable[[], float] = read_boot_clock,
    ) -> None:
        self._agent = agent
        self._unit = unit
        self._machine = machine
        self._policy = policy
        self._poll_s = poll_s
        self._retry_s = retry_s
        self._clock = clock
        self._seen = Observation(booted_at=booted_at)
        self._last: Action | None = None
        self._failures = 0

    def step(self) -> float:
        """Look once, and do what has to be done.

        Returns:
            Seconds until the next step.
        """
        self._look()
        action = decide(self._seen, self._clock(), self._policy)
        if action != self._last:
            self._tell(action)
        self._last = action
        match action:
            case Wait():
                return self._poll_s
            case CloseDoor(epoch=epoch):
                return self._close_door(epoch)
            case StopAgent(why=why):
                return self._stop_agent(why)
            case Deallocate():
                return self._deallocate()

    def _look(self) -> None:
        try:
            answer = self._agent.look()
        except AgentRefusalError as error:
            logger.error("%s: its jobs can't be known", error)  # noqa: TRY400 - no trace wanted
            self._seen = note_refusal(self._seen)
        except AgentSilentError as error:
            self._seen = note_silence(self._seen)
            logger.warning("%s", error, extra={"silences": self._seen.silences})
        else:
            self._seen = note_answer(self._seen, answer, self._clock())

    def _tell(self, action: Action) -> None:
        now = self._clock()
        agent, lease_until = self._seen.agent, self._seen.lease_until
        about = {
            "action": type(action).__name__,
            "jobs": None if agent is None else list(agent.jobs),
            "epoch": None if agent is None else agent.epoch,
            "lease_left_s": None if lease_until is None else round(lease_until - now, 1),
            "uptime_s": round(now - self._seen.booted_at, 1),
            "max_uptime_s": self._policy.max_uptime_s,
        }
        is_quiet = isinstance(action, Wait) and action.why is not Why.CAP_NEAR
        level = logging.INFO if is_quiet else logging.WARNING
        logger.log(level, "%s", action.why, extra=about)

    def _close_door(self, epoch: int) -> float:
        # Never used before in this boot, and far above the control plane's own numbers.
        drain = round(self._clock() * 1000)
        try:
            has_closed = self._agent.close_door(epoch=epoch, drain=drain)
        except SwitchError as error:
            logger.warning("the door could not be closed: %s", error)
            return self._poll_s
        logger.warning("the agent has %s its door", "closed" if has_closed else "not closed")
        # The next look tells whether it is so, and whether anything came in between.
        return 0.0 if has_closed else self._poll_s

    def _stop_agent(self, why: Why) -> float:
        try:
            self._unit.stop()
        except UnitError as error:
            # The machine goes all the same: who hangs so thoroughly does no work.
            logger.error("the agent's unit could not be stopped: %s", error)  # noqa: TRY400
        else:
            logger.warning("the agent's unit is stopped")
        self._seen = note_stopped(self._seen, why)
        return 0.0

    def _deallocate(self) -> float:
        try:
            self._machine.deallocate()
        except SwitchError as error:
            pause_s = min(self._retry_s * 2.0**self._failures, MAX_PAUSE_S)
            if isinstance(error, ArmError) and error.retry_after_s is not None:
                pause_s = min(max(pause_s, error.retry_after_s), MAX_PAUSE_S)
            self._failures = min(self._failures + 1, 30)
            logger.error(  # noqa: TRY400 - the message says it
                "the deallocation was not accepted: %s", error, extra={"next_in_s": pause_s}
            )
            return pause_s
        self._failures = 0
        logger.warning("Azure deallocates this machine")
        return AGAIN_AFTER_S
