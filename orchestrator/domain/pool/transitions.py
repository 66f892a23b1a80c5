"""Which phase of a VM may follow which, and through what: one table for people and for `enter`.

ARCHITECTURE.md draws it (`python -m orchestrator.domain.pool.transitions` prints the drawing). A
transition that it does not name is a fault of the pool's own code, and fails the decision: nothing
is stored, and the VM's own switch outlives that.
"""

from collections.abc import Iterator
from enum import StrEnum

from orchestrator.domain.pool.state import VmPhase

P = VmPhase
OFF = frozenset({P.DEALLOCATED, P.NO_CAPACITY, P.BROKEN})
"""Where a VM ends that is off: free to be woken, cooling down, or given up."""


class Step(StrEnum):
    """What changes a phase without a command of its own."""

    DEADLINE = "deadline"
    IDLE = "idle"
    DEMAND = "demand"


GIVEN_UP = frozenset({P.DEALLOCATING})
RETIRED = GIVEN_UP | OFF
FAILED = frozenset({P.DEALLOCATING, P.NO_CAPACITY, P.BROKEN})
"""After a failure a VM cools down before it is tried again."""
FOUND_OFF = frozenset({P.DEALLOCATING, P.DEALLOCATED, P.BROKEN})
"""Of a VM that was ready: its cool-down is over."""

TRANSITIONS: dict[VmPhase, dict[str, frozenset[VmPhase]]] = {
    P.DEALLOCATED: {
        Step.DEMAND: frozenset({P.STARTING}),
        "Tick": frozenset({P.STARTING, P.DEALLOCATING}),
    },
    P.STARTING: {
        "VmRunning": frozenset({P.WARMING}),
        "VmReady": frozenset({P.READY, P.DEALLOCATING}),
        "StartFailed": FAILED,
        "VmLost": GIVEN_UP,
        "Tick": RETIRED,
        Step.DEADLINE: GIVEN_UP,
    },
    P.WARMING: {
        "VmReady": frozenset({P.READY, P.DEALLOCATING}),
        "StartFailed": FAILED,
        "VmLost": GIVEN_UP,
        "Tick": RETIRED,
        Step.DEADLINE: GIVEN_UP,
    },
    P.READY: {
        Step.IDLE: frozenset({P.DRAINING}),
        "Release": GIVEN_UP,
        "VmLost": GIVEN_UP,
        "Tick": FOUND_OFF,
        Step.DEADLINE: GIVEN_UP,
    },
    P.DRAINING: {
        "Drained": frozenset({P.READY, P.DEALLOCATING}),
        "DrainRefused": frozenset({P.READY}),
        "VmLost": GIVEN_UP,
        "Tick": FOUND_OFF,
        Step.DEADLINE: GIVEN_UP,
    },
    P.DEALLOCATING: {
        "Deallocated": OFF,
        "Tick": RETIRED,
        Step.DEADLINE: GIVEN_UP,
    },
    P.NO_CAPACITY: {
        "ResetVm": frozenset({P.DEALLOCATED}),
        "Tick": frozenset({P.STARTING, P.DEALLOCATING}),
        Step.DEADLINE: frozenset({P.DEALLOCATED}),
    },
    P.BROKEN: {
        "ResetVm": frozenset({P.DEALLOCATED}),
        "Tick": frozenset({P.DEALLOCATED, P.DEALLOCATING}),
    },
}
"""By phase and cause (the name of a command, or a `Step`): the phases that may follow."""


class TransitionError(RuntimeError):
    """The pool's own code wants a transition that the table does not name."""


def check_transition(phase: VmPhase, cause: str, following: VmPhase) -> None:
    """Check that a phase may follow another.

    Raises:
        TransitionError: It may not.
    """
    if following not in TRANSITIONS[phase].get(cause, ()):
        raise TransitionError(f"{phase} is not followed by {following} through {cause}")


def draw() -> str:
    """Draw the table as Mermaid's state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> deallocated"]
    for phase in VmPhase:
        lines += [f"    {phase} --> {after}: {why}" for after, why in _arrows(phase)]
    return "\n".join(lines)


def _arrows(phase: VmPhase) -> Iterator[tuple[VmPhase, str]]:
    for following in VmPhase:
        causes = [cause for cause, after in TRANSITIONS[phase].items() if following in after]
        if causes:
            yield following, ", ".join(causes)


if __name__ == "__main__":
    print(draw())  # noqa: T201 - what the command is for
