"""Whether the machine has to go: decided anew at every look, from what was seen.

Pure. Moments are seconds on the boot clock. The door (see `gpu_agent.wire.DrainRequest`) is closed
before the machine goes: by the agent itself, or by stopping it.

==========================  ===================================================================
before the hard cap         what is done
==========================  ===================================================================
the agent is closed         deallocate
leased, or boot grace       nothing
neither, it holds a job     nothing
neither, it holds nothing   close its door, which it may refuse; then look again
neither, silent 3 times     stop the agent's unit, then deallocate
==========================  ===================================================================

From the hard cap on, the agent's unit is stopped and the machine deallocated in any case.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_SILENCES = 3
"""Looks in a row without an answer after which an agent counts as hung."""


class Why(StrEnum):
    """The reason of an action, for the log."""

    HOLDS_JOBS = "the lease is over, but the agent holds jobs"
    BOOTING = "the machine has booted only now"
    LEASED = "the lease has time left"
    LEASE_OVER = "the lease is over and the agent holds nothing"
    CLOSED = "the agent is closed until the next boot"
    REFUSED = "the agent refuses the token: only the hard cap can end this"
    SILENT = "the agent does not answer"
    CAP_NEAR = "the hard cap on uptime is near"
    CAP = "the hard cap on uptime is reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient the switch is, in seconds.

    Attributes:
        max_uptime_s: Hard cap, from boot; then the machine goes, with or without jobs.
        warning_s: So long before the hard cap the log warns of it.
        boot_grace_s: From boot, while no lease was ever heard of.
    """

    max_uptime_s: float = 12 * 3600.0
    warning_s: float = 300.0
    boot_grace_s: float = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSeen:
    """What an agent has said of itself.

    Attributes:
        epoch: Newest wake period that it has heard of, 0 before the first.
        is_closed: No job and no lease until the next boot.
        jobs: Ids of the jobs that are not over.
        lease_left_s: Seconds, 0 when it is over; None before the first lease.
    """

    epoch: int
    is_closed: bool = False
    jobs: tuple[str, ...] = ()
    lease_left_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the switch knows after a look at the agent.

    Attributes:
        booted_at: When the machine booted.
        lease_until: End of the lease last heard of in this boot, or None. An agent forgets its
            lease when it is started again; the switch does not.
        agent: The answer to the last look, or None.
        is_refused: The last look was answered with a refusal.
        silences: Looks in a row without any answer.
        stopped_for: Why the switch has told the agent's unit to stop, or None. An answer after
            that takes it back, except at the hard cap, where nobody asks whether it has worked.
    """

    booted_at: float
    lease_until: float | None = None
    agent: AgentSeen | None = None
    is_refused: bool = False
    silences: int = 0
    stopped_for: Why | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Look again later."""

    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseDoor:
    """Have the agent refuse jobs and leases until the next boot, if it holds nothing."""

    why: Why
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAgent:
    """Stop the agent's unit: the door of an agent that does not close it itself."""

    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Deallocate:
    """Have Azure deallocate this machine."""

    why: Why


Action = Wait | CloseDoor | StopAgent | Deallocate


def decide(seen: Observation, now: float, policy: Policy) -> Action:
    """Choose what to do after a look."""
    is_closed = seen.agent is not None and seen.agent.is_closed
    cap_in_s = seen.booted_at + policy.max_uptime_s - now
    if cap_in_s <= 0:
        return (Deallocate if is_closed or seen.stopped_for else StopAgent)(why=Why.CAP)
    action = _decide_before_cap(seen, now, policy)
    if isinstance(action, Wait) and cap_in_s <= policy.warning_s:
        return Wait(why=Why.CAP_NEAR)
    return action


def _decide_before_cap(seen: Observation, now: float, policy: Policy) -> Action:
    if seen.is_refused:
        return Wait(why=Why.REFUSED)
    if seen.agent is not None and seen.agent.is_closed and not seen.agent.jobs:
        return Deallocate(why=Why.CLOSED)
    if seen.lease_until is None and now < seen.booted_at + policy.boot_grace_s:
        return Wait(why=Why.BOOTING)
    if seen.lease_until is not None and now < seen.lease_until:
        return Wait(why=Why.LEASED)
    if seen.agent is not None and seen.agent.jobs:
        return Wait(why=Why.HOLDS_JOBS)
    if seen.agent is not None:
        return CloseDoor(why=Why.LEASE_OVER, epoch=seen.agent.epoch)
    if seen.silences < MAX_SILENCES:
        return Wait(why=Why.SILENT)
    return (Deallocate if seen.stopped_for else StopAgent)(why=Why.SILENT)


def note_answer(seen: Observation, agent: AgentSeen, now: float) -> Observation:
    """Add what the agent has just said."""
    left_s = agent.lease_left_s
    return Observation(
        booted_at=seen.booted_at,
        lease_until=seen.lease_until if left_s is None else now + left_s,
        agent=agent,
        stopped_for=Why.CAP if seen.stopped_for is Why.CAP else None,
    )


def note_refusal(seen: Observation) -> Observation:
    """Add that the agent answers and tells nothing."""
    return replace(seen, agent=None, is_refused=True, silences=0)


def note_silence(seen: Observation) -> Observation:
    """Add that nobody answered."""
    return replace(seen, agent=None, is_refused=False, silences=seen.silences + 1)


def note_stopped(seen: Observation, why: Why) -> Observation:
    """Add that the agent's unit was told to stop."""
    return replace(seen, stopped_for=why)
