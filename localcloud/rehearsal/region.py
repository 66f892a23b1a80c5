"""The VMs: the ARM stand-in's own state machine in virtual time, with an agent on each."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from localcloud.arm import machine
from localcloud.arm.errors import ArmDetail
from localcloud.arm.errors import ArmError as Refusal
from localcloud.arm.vm import Agent, AgentStep, Pace, PowerState, StartPlan, Vm
from localcloud.rehearsal.agent import SimulatedAgent
from localcloud.rehearsal.faults import FaultName, Faults
from localcloud.rehearsal.money import Billed
from localcloud.rehearsal.timeline import Timeline
from localcloud.rehearsal.virtual_time import BEGINNING, VirtualLoop

BOOT_S = (30.0, 90.0)
DEALLOCATE_S = (20.0, 60.0)
STUCK_S = (600.0, 2400.0)
SLOW_S = (200.0, 1500.0)
AGENT_RESTART_S = 5.0
AGENT_PACE = Pace(restart_agent_after_s=AGENT_RESTART_S)
CAPACITY_CODES = (
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "SkuNotAvailable",
)
NO_ROOM = "There is no host for this size."


class Region:
    """Owns the VMs and their agents.

    Attributes:
        agents: By VM.
        reads: Virtual seconds at which the reconciler was told a VM's power and could store it,
            by VM.

    Args:
        names: Of the VMs.
        boot: Makes the agent that a VM keeps for life.
        on_deallocate: Called with a VM's name when a deallocation is taken, before it acts.
        on_cap: Called with a VM's name when it reaches its hard cap, before its switch acts.
    """

    def __init__(
        self,
        names: list[str],
        *,
        loop: VirtualLoop,
        chance: Random,
        faults: Faults,
        timeline: Timeline,
        boot: Callable[[str], SimulatedAgent],
        on_deallocate: Callable[[str], None],
        on_cap: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._chance = chance
        self._faults = faults
        self._timeline = timeline
        self._on_deallocate = on_deallocate
        self._on_cap = on_cap
        self._numbers = 0
        self.reads: dict[str, list[float]] = {name: [] for name in names}
        self._vms = {name: machine.new_vm(name, now=loop.wall()) for name in names}
        self.agents = {name: boot(name) for name in names}

    @property
    def names(self) -> list[str]:
        """The VMs."""
        return list(self._vms)

    def power(self, name: str) -> PowerState:
        """Tell a VM's power state."""
        return self._advanced(name).power

    def look(self, name: str) -> Vm:
        """Give a VM as it is."""
        return self._advanced(name)

    def start(self, name: str) -> None:
        """Begin to start a VM.

        Raises:
            Refusal: Not now.
        """
        vm = self._advanced(name)
        plan = StartPlan()
        if vm.power in (PowerState.DEALLOCATED, PowerState.STOPPED):
            plan = self._plan_start(name)
        self._put(
            machine.start(vm, self._pace(), now=self._now(), operation_id=self._draw(), plan=plan)[
                0
            ]
        )

    def deallocate(self, name: str) -> None:
        """Begin to deallocate a VM."""
        self._on_deallocate(name)
        vm = self._advanced(name)
        pace = self._pace()
        is_on = vm.power not in (PowerState.DEALLOCATED, PowerState.DEALLOCATING)
        if is_on and self._faults.hits(FaultName.STUCK_DEALLOCATING, name):
            pace = replace(pace, deallocate_s=self._chance.uniform(*STUCK_S))
        self._put(machine.deallocate(vm, pace, now=self._now(), operation_id=self._draw())[0])

    def start_by_hand(self, name: str) -> bool:
        """Start a VM as a person would; False if there is nothing to start."""
        if self.power(name) is not PowerState.DEALLOCATED:
            return False
        vm = self._advanced(name)
        self._put(machine.start(vm, self._pace(), now=self._now(), operation_id=self._draw())[0])
        return True

    def deallocate_by_hand(self, name: str) -> bool:
        """Deallocate a VM as a person would; False if there is nothing to do."""
        vm = self._advanced(name)
        if vm.power in (PowerState.DEALLOCATED, PowerState.DEALLOCATING):
            return False
        self._put(
            machine.deallocate(vm, self._pace(), now=self._now(), operation_id=self._draw())[0]
        )
        return True

    def stop_by_hand(self, name: str) -> bool:
        """Shut a VM's guest down, which leaves it billed; False if it does not run."""
        vm = self._advanced(name)
        if vm.power is not PowerState.RUNNING:
            return False
        self._put(machine.shut_guest_down(vm, self._pace(), now=self._now()))
        return True

    def crash_agent(self, name: str) -> bool:
        """Kill a VM's agent, which its system starts again; False if there is none."""
        vm = self._vms[name]
        if vm.agent.pid is None:
            return False
        self.agents[name].end(is_power_lost=False)
        self._put(machine.note_agent_gone(vm, now=self._now()))
        return True

    def billed(self, name: str) -> list[Billed]:
        """List the times in which a VM was billed, adjoining ones as one."""
        joined: list[Billed] = []
        for interval in self._advanced(name).intervals:
            if not interval.is_billed:
                continue
            ended_at = self._now() if interval.ended_at is None else interval.ended_at
            since, until = interval.started_at - BEGINNING, ended_at - BEGINNING
            if joined and joined[-1].ended_at == since:
                joined[-1] = Billed(joined[-1].began_at, until)
            else:
                joined.append(Billed(since, until))
        return joined

    def _plan_start(self, name: str) -> StartPlan:
        if self._faults.hits(FaultName.STOCK_OUT, name):
            code = self._chance.choice(CAPACITY_CODES)
            if self._chance.random() < 0.5:
                raise Refusal(409, code, NO_ROOM)
            after_s = self._chance.uniform(5, 40)
            return StartPlan(boot_s=after_s, failure=ArmDetail(code, NO_ROOM))
        extra_s = 0.0
        if self._faults.hits(FaultName.SLOW_START, name):
            extra_s = self._chance.uniform(*SLOW_S)
        starts = not self._faults.hits(FaultName.NEVER_READY, name)
        return StartPlan(extra_boot_s=extra_s, agent_starts=starts)

    def _pace(self) -> Pace:
        return Pace(
            boot_s=self._chance.uniform(*BOOT_S),
            deallocate_s=self._chance.uniform(*DEALLOCATE_S),
        )

    def _advanced(self, name: str) -> Vm:
        return machine.advance(self._vms[name], now=self._now())

    def _put(self, vm: Vm) -> None:
        """Keep a VM, do what its agent needs, and come back when it is next due."""
        name = vm.name
        if vm.power is not self._vms[name].power:
            self._timeline.note(name, f"power {vm.power}")
        self._vms[name] = vm
        match machine.plan_agent(vm, AGENT_PACE, now=self._now()):
            case AgentStep.SPAWN:
                self._numbers += 1
                agent = self.agents[name]
                agent.start()
                end = agent.booted_at + agent.max_uptime_s
                self._loop.call_at(end, self._reach_cap, name, agent.booted_at)
                self._put(machine.note_agent(vm, Agent(pid=self._numbers)))
                return
            case AgentStep.END:
                self.agents[name].end(is_power_lost=True)
                self._put(machine.note_agent_gone(vm, now=self._now()))
                return
        due = [moment for moment in (vm.due_at, self._restarts_at(vm)) if moment is not None]
        if due:
            self._loop.call_later(max(0.0, min(due) - self._now()) + 1e-6, self._pass, name)

    def _restarts_at(self, vm: Vm) -> float | None:
        if vm.power is not PowerState.RUNNING or vm.agent.stays_dead:
            return None
        if vm.agent.died_at is None:
            return None
        return vm.agent.died_at + AGENT_RESTART_S

    def _pass(self, name: str) -> None:
        vm = self._advanced(name)
        restarts_at = self._restarts_at(vm)
        if vm != self._vms[name] or (restarts_at is not None and restarts_at <= self._now()):
            self._put(vm)

    def _reach_cap(self, name: str, booted_at: float) -> None:
        """Deallocate a VM as its switch does, if it is still in that boot."""
        agent = self.agents[name]
        if agent.core is not None and agent.booted_at == booted_at:
            self._on_cap(name)
            self.deallocate_by_hand(name)

    def _now(self) -> float:
        return self._loop.wall()

    def _draw(self) -> str:
        self._numbers += 1
        return f"op-{self._numbers}"
