"""The units of a VM's systemd: its agent, and its dead-man's switch if it has one.

Each is one process and what that starts, ended with its VM and started again by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from localcloud.arm import machine
from localcloud.arm.settings import AgentSpec, VmSpec
from localcloud.arm.vm import Agent, AgentStep, Pace, Vm


class _Plan(Protocol):
    def __call__(self, vm: Vm, pace: Pace, *, now: float) -> AgentStep: ...


class _NoteGone(Protocol):
    def __call__(self, vm: Vm, *, now: float, stays_dead: bool = False) -> Vm: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """How to find a unit in what its VM is and in what is remembered of it.

    Attributes:
        name: For people.
        suffix: Tells its processes from those of the VM's other units.
        spec: Its program, or None if this VM has no such unit.
        process: Its process.
        note: Remembers its process.
        note_gone: Remembers that its process ended.
        plan: Tells what has to be done about it.
    """

    name: str
    suffix: str
    spec: Callable[[VmSpec], AgentSpec | None]
    process: Callable[[Vm], Agent]
    note: Callable[[Vm, Agent], Vm]
    note_gone: _NoteGone
    plan: _Plan

    def key(self, vm: str) -> str:
        """Return the name of this unit of a VM."""
        return vm + self.suffix


AGENT = Unit(
    name="agent",
    suffix="",
    spec=lambda spec: spec.agent,
    process=lambda vm: vm.agent,
    note=machine.note_agent,
    note_gone=machine.note_agent_gone,
    plan=machine.plan_agent,
)
SWITCH = Unit(
    name="switch",
    # No VM has a name with a slash in it.
    suffix="/switch",
    spec=lambda spec: spec.switch,
    process=lambda vm: vm.switch,
    note=machine.note_switch,
    note_gone=machine.note_switch_gone,
    plan=machine.plan_switch,
)
UNITS = (AGENT, SWITCH)
