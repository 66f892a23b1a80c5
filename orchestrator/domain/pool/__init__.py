"""The pool's scheduler: every decision about VMs, slots and the queue, as one pure function.

``decide(state, command, now, policy) -> Decision(state, effects, reply)`` reads no clock, draws no
id and does no IO. Equal input gives an equal decision. The caller stores the new state only if the
old one is still there (ETag), then performs the effects, each of which is safe to run twice.
"""

from orchestrator.domain.pool.commands import (
    Acquire,
    Cancel,
    Command,
    Confirm,
    Deallocated,
    DeallocationAccepted,
    Drained,
    DrainRefused,
    Enqueue,
    JobSeen,
    PowerAsked,
    PowerRefused,
    Prewarm,
    Release,
    ResetVm,
    StartAccepted,
    StartFailed,
    Tick,
    VmLost,
    VmReady,
    VmRunning,
    VmSeen,
    command_from_json,
    command_to_json,
)
from orchestrator.domain.pool.decide import Decision, decide
from orchestrator.domain.pool.effects import (
    Effect,
    GrantSlot,
    Look,
    RecordInterval,
    RetireVm,
    StartReconciler,
    StopJob,
    WakeVm,
)
from orchestrator.domain.pool.policy import Candidate, PoolPolicy
from orchestrator.domain.pool.state import PoolState, Slot, Ticket, Vm, VmPhase
from orchestrator.domain.pool.warmth import WarmWindow

__all__ = [
    "Acquire",
    "Cancel",
    "Candidate",
    "Command",
    "Confirm",
    "Deallocated",
    "DeallocationAccepted",
    "Decision",
    "DrainRefused",
    "Drained",
    "Effect",
    "Enqueue",
    "GrantSlot",
    "JobSeen",
    "Look",
    "PoolPolicy",
    "PoolState",
    "PowerAsked",
    "PowerRefused",
    "Prewarm",
    "RecordInterval",
    "Release",
    "ResetVm",
    "RetireVm",
    "Slot",
    "StartAccepted",
    "StartFailed",
    "StartReconciler",
    "StopJob",
    "Tick",
    "Ticket",
    "Vm",
    "VmLost",
    "VmPhase",
    "VmReady",
    "VmRunning",
    "VmSeen",
    "WakeVm",
    "WarmWindow",
    "command_from_json",
    "command_to_json",
    "decide",
]
