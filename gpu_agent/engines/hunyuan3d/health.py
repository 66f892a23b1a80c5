"""When the process that owns the GPU counts as lost, and what becomes of its jobs. Pure.

Moments are in seconds on one monotonic clock.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """What the GPU worker is busy with."""

    LOAD = "load"
    DIFFUSE = "diffuse"
    DECODE = "decode"
    PAINT = "paint"


class Cause(StrEnum):
    """Why a child process was lost; also the label of a metric."""

    DIED = "died"
    BROKEN = "broken"
    SILENT = "silent"
    STUCK = "stuck"
    DEAF = "deaf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient the agent is with the GPU worker, in seconds.

    Attributes:
        silence_s: Without any sign of life, once the model is loaded.
        progress_s: Without progress, by step.
        cancel_s: From a cancellation to the end of the work.
    """

    silence_s: float
    progress_s: Mapping[Step, float]
    cancel_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What was last heard of a child process.

    Attributes:
        heard_at: Its last sign of life.
        step: What it is busy with; None while it waits for work.
        progress_at: When it last got on with it.
        unwanted_since: Since when nobody wants what it is busy with; None while somebody does.
    """

    heard_at: float
    step: Step | None = None
    progress_at: float = 0.0
    unwanted_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A child process that is given up.

    Attributes:
        cause: One word.
        detail: One sentence for a person.
    """

    cause: Cause
    detail: str


def list_deadlines(pulse: Pulse, limits: Limits) -> list[tuple[float, Loss]]:
    """List when the child will be given up if nothing is heard until then, and why."""
    silence = Loss(
        cause=Cause.SILENT,
        detail=f"The GPU process gave no sign of life for {limits.silence_s:g} s.",
    )
    deadlines = []
    if pulse.step is not Step.LOAD:
        # Loading a library of gigabytes holds the interpreter's lock for as long as it takes.
        deadlines.append((pulse.heard_at + limits.silence_s, silence))
    if pulse.step is not None:
        patience_s = limits.progress_s[pulse.step]
        stuck = Loss(
            cause=Cause.STUCK,
            detail=f"The GPU process made no progress in {pulse.step} for {patience_s:g} s.",
        )
        deadlines.append((pulse.progress_at + patience_s, stuck))
    if pulse.step is not None and pulse.unwanted_since is not None:
        deaf = Loss(
            cause=Cause.DEAF,
            detail=f"The GPU process went on for {limits.cancel_s:g} s after a cancellation.",
        )
        deadlines.append((pulse.unwanted_since + limits.cancel_s, deaf))
    return deadlines


def find_loss(pulse: Pulse, limits: Limits, now: float) -> Loss | None:
    """Tell why the child is to be given up; None while it is not."""
    due = [(at, loss) for at, loss in list_deadlines(pulse, limits) if now >= at]
    return min(due, key=lambda pair: pair[0])[1] if due else None


def next_look_s(pulse: Pulse, limits: Limits, now: float) -> float:
    """Tell how long it is until the child may have to be given up, in seconds."""
    return max(0.0, min(at for at, _ in list_deadlines(pulse, limits)) - now)


def describe_exit(returncode: int | None, process: str) -> str:
    """Say in words how a process ended.

    Args:
        returncode: As `subprocess` gives it; negative for a signal, None if it is not known.
        process: What it is called, ``GPU process``.
    """
    if returncode == -signal.SIGKILL:
        return f"The {process} was killed from outside, as happens when the memory runs out."
    if returncode == -signal.SIGSEGV:
        return f"The {process} crashed in native code (segmentation fault)."
    if returncode is not None and returncode < 0:
        return f"The {process} crashed ({signal.Signals(-returncode).name})."
    if returncode is None:
        return f"The {process} closed its pipe."
    return f"The {process} ended by itself with status {returncode}."


MOST_LOSSES = 1
"""A job is run again after so many lost children."""


def may_run_again(losses: int) -> bool:
    """Tell whether a job that was held by lost children may be tried once more."""
    return losses <= MOST_LOSSES
