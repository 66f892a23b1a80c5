"""The VMs as a whole: applies requests and faults, lets time pass, keeps the state."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from localcloud.arm import machine
from localcloud.arm.agents import AgentProcesses
from localcloud.arm.errors import ArmError, bad_request, not_found
from localcloud.arm.faults import (
    Fault,
    FaultName,
    find,
    plan_release,
    plan_start,
    read_fault,
    take,
)
from localcloud.arm.settings import (
    BOOT_ID_PLACEHOLDER,
    BOOTED_AT_PLACEHOLDER,
    AgentSpec,
    VmSpec,
)
from localcloud.arm.state_file import RegionState, load_state, save_state
from localcloud.arm.units import AGENT, UNITS, Unit
from localcloud.arm.vm import Agent, AgentStep, Operation, PowerState, StartPlan, Vm
from localcloud.leash import new_tag

logger = logging.getLogger(__name__)

_TICK_S = 0.05
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Region:
    """Owns the state; all its methods run on one event loop."""

    def __init__(
        self,
        specs: dict[str, VmSpec],
        *,
        state_file: Path,
        imds_url: str,
        clock: Callable[[], float],
    ) -> None:
        """Take up the state where an earlier region left it.

        Args:
            specs: The VMs, by name.
            state_file: Where the state is kept.
            imds_url: The identity services, to which the VMs' agents are sent.
            clock: Gives epoch seconds.

        Raises:
            ValueError: The state file is not one of this program.
        """
        self._specs = specs
        self._file = state_file
        self._imds_url = imds_url
        self._clock = clock
        self._awake = asyncio.Event()
        saved = load_state(state_file) or RegionState(tag=new_tag())
        now = clock()
        vms = {
            name: _without_lost_units(saved.vms.get(name) or machine.new_vm(name, now=now), spec)
            for name, spec in specs.items()
        }
        self._state = replace(saved, vms=vms)
        self._agents = AgentProcesses(self._state.tag)
        self._agents.kill_strays(
            {
                unit.key(name)
                for name, vm in vms.items()
                for unit in UNITS
                if unit.process(vm).pid is not None
            }
        )
        save_state(state_file, self._state)

    @property
    def tag(self) -> str:
        """The leash of everything that the region starts."""
        return self._state.tag

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that are set."""
        return self._state.faults

    def list_vms(self) -> list[tuple[Vm, VmSpec]]:
        """List the VMs as they are now."""
        return [(self._advanced(name), spec) for name, spec in self._specs.items()]

    def find_operation(self, operation_id: str) -> tuple[Operation, str] | None:
        """Find an operation as it is now, and the name of its VM."""
        for vm, _ in self.list_vms():
            if operation := machine.find_operation({vm.name: vm}, operation_id.lower()):
                return operation, vm.name
        return None

    def start(self, name: str) -> Operation:
        """Begin to start a VM.

        Raises:
            ArmError: It can't be started now, or a fault says so.
        """
        pace = self._specs[name].pace
        plan, faults = plan_start(self._state.faults, name)
        vm = self._advanced(name)
        if vm.power not in (PowerState.DEALLOCATED, PowerState.STOPPED):
            # Such a start allocates nothing: it can't fail for want of it, nor use a fault up.
            plan, faults = StartPlan(), self._state.faults
        self._keep(replace(self._state, faults=faults))
        if isinstance(plan, ArmError):
            raise plan
        vm, operation = machine.start(
            vm, pace, now=self._clock(), operation_id=str(uuid.uuid4()), plan=plan
        )
        self._put(vm)
        return operation

    def deallocate(self, name: str) -> Operation:
        """Begin to deallocate a VM."""
        vm, failure = self._advanced(name), None
        if vm.power not in (PowerState.DEALLOCATED, PowerState.DEALLOCATING):
            failure, faults = plan_release(self._state.faults, name)
            self._keep(replace(self._state, faults=faults))
        vm, operation = machine.deallocate(
            vm,
            self._specs[name].pace,
            now=self._clock(),
            operation_id=str(uuid.uuid4()),
            failure=failure,
        )
        self._put(vm)
        return operation

    def power_off(self, name: str) -> Operation:
        """Begin to power a VM off, which leaves it billed.

        Raises:
            ArmError: It is being deallocated.
        """
        vm, operation = machine.power_off(
            self._advanced(name),
            self._specs[name].pace,
            now=self._clock(),
            operation_id=str(uuid.uuid4()),
        )
        self._put(vm)
        return operation

    def take_fault(self, names: set[FaultName], vm: str | None, *, is_write: bool) -> Fault | None:
        """Use up one turn of the first fault of some names that hits a request."""
        fault, faults = take(self._state.faults, names, vm, is_write=is_write)
        self._keep(replace(self._state, faults=faults))
        return fault

    def add_fault(self, body: object) -> Fault:
        """Set a fault, or let it happen at once.

        Raises:
            ArmError: It is not known, or its VM is not.
        """
        number = self._state.fault_count + 1
        fault = read_fault(body, fault_id=number)
        if fault.vm is not None and fault.vm not in self._specs:
            raise bad_request("InvalidFault", f"there is no VM {fault.vm!r}")
        self._keep(replace(self._state, fault_count=number))
        if fault.is_immediate:
            for name in [fault.vm] if fault.vm else list(self._specs):
                self._strike(fault, name)
        else:
            self._keep(replace(self._state, faults=(*self._state.faults, fault)))
        return fault

    def clear_faults(self, fault_id: int | None = None) -> None:
        """Clear one fault, or all of them.

        Raises:
            ArmError: There is no such fault.
        """
        kept = tuple(fault for fault in self._state.faults if fault_id not in (None, fault.id))
        if fault_id is not None and len(kept) == len(self._state.faults):
            raise not_found("FaultNotFound", f"there is no fault {fault_id}")
        self._keep(replace(self._state, faults=kept))

    async def run(self) -> None:
        """Let time pass until cancelled."""
        while True:
            for name in self._specs:
                self._step(name)
            is_calm = all(
                vm.due_at is None
                and all(unit.process(vm).pid is None for unit in UNITS)
                and all(unit.process(vm).died_at is None for unit in UNITS)
                for vm in self._state.vms.values()
            )
            self._awake.clear()
            try:
                await asyncio.wait_for(self._awake.wait(), None if is_calm else _TICK_S)
            except TimeoutError:
                continue

    def close(self) -> None:
        """End the agents; their VMs stay as they are, and get them again in the next region."""
        programs = [unit.spec(spec) for spec in self._specs.values() for unit in UNITS]
        self._agents.end_all(
            grace_s=max((program.stop_grace_s for program in programs if program), default=0.0)
        )
        for vm in self._state.vms.values():
            for unit in UNITS:
                process = unit.process(vm)
                if process.pid is not None:
                    vm = unit.note(vm, Agent(stays_dead=process.stays_dead))
            self._put(vm)

    def _step(self, name: str) -> None:
        vm = self._advanced(name)
        for unit in UNITS:
            program = unit.spec(self._specs[name])
            if program is not None:
                vm = self._step_unit(unit, vm, program)
        self._put(vm)

    def _step_unit(self, unit: Unit, vm: Vm, program: AgentSpec) -> Vm:
        key, process, now = unit.key(vm.name), unit.process(vm), self._clock()
        if process.pid is not None and not self._agents.is_alive(key, process):
            logger.info("%s: %s process %d is gone", vm.name, unit.name, process.pid)
            self._agents.bury(key)
            vm = machine.advance(unit.note_gone(vm, now=now), now=now)
        step = unit.plan(vm, self._specs[vm.name].pace, now=now)
        if step is AgentStep.SPAWN:
            return self._spawn(unit, vm, program, now)
        if step is AgentStep.END:
            self._agents.end(key, program)
        return vm

    def _spawn(self, unit: Unit, vm: Vm, program: AgentSpec, now: float) -> Vm:
        identity = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": f"{self._imds_url}/vm/{vm.name}"}
        # All VMs share this machine's kernel, whose boot says nothing about theirs.
        boot_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.tag}/{vm.name}/{vm.starts}"))
        up_s = now - (machine.find_running_since(vm) or now)
        booted_at = f"{time.clock_gettime(_BOOT_CLOCK) - up_s:.3f}"
        own = {
            name: value.replace(BOOT_ID_PLACEHOLDER, boot_id).replace(
                BOOTED_AT_PLACEHOLDER, booted_at
            )
            for name, value in program.environ.items()
        }
        if unit is AGENT:
            for fault in find(self.faults, FaultName.AGENT_SETTING, vm.name):
                own[fault.options["setting"]] = fault.options["value"]
        try:
            process = self._agents.spawn(unit.key(vm.name), program, identity | own)
        except OSError as error:
            logger.error("%s: %s can't be started: %s", vm.name, unit.name, error)  # noqa: TRY400
            return unit.note_gone(vm, now=now, stays_dead=True)
        return unit.note(vm, process)

    def _strike(self, fault: Fault, name: str) -> None:
        vm, now = self._advanced(name), self._clock()
        match fault.name:
            case FaultName.AGENT_DIES:
                if fault.options["stays_dead"]:
                    vm = machine.keep_agent_dead(vm)
                self._agents.kill(AGENT.key(name))
            case FaultName.POWER_LOST:
                for unit in UNITS:
                    self._agents.kill(unit.key(name))
                vm = machine.lose_power(vm, now=now)
            case FaultName.GUEST_SHUTDOWN:
                vm = machine.shut_guest_down(vm, self._specs[name].pace, now=now)
        self._put(vm)

    def _advanced(self, name: str) -> Vm:
        now = self._clock()
        vm = machine.advance(self._state.vms[name], now=now)
        return machine.forget_operations(vm, self._specs[name].pace, now=now)

    def _put(self, vm: Vm) -> None:
        if vm != self._state.vms[vm.name]:
            self._keep(replace(self._state, vms={**self._state.vms, vm.name: vm}))

    def _keep(self, state: RegionState) -> None:
        if state != self._state:
            self._state = state
            save_state(self._file, state)
            self._awake.set()


def _without_lost_units(vm: Vm, spec: VmSpec) -> Vm:
    """Forget the processes of units that the VM no longer has; they are strays."""
    for unit in UNITS:
        if unit.spec(spec) is None:
            vm = unit.note(vm, Agent())
    return vm
