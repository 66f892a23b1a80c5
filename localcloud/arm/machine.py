"""What a VM does: its power, its operations, its agent's process and what it costs.

Pure: every function takes the time and returns a new `Vm`. Times are epoch seconds.

============  ==========================  =======  ==========================================
power         agent                       billed   leaves it
============  ==========================  =======  ==========================================
deallocated   none                        no       `start`
starting      none                        yes      at `due_at`: running, or deallocated if the
                                                   start is to fail
running       runs, may die and be        yes      `deallocate`, `power_off`
              started again
deallocating  is being ended              no       at `due_at`, when the agent has gone:
                                                   deallocated, or stopped if it is to fail
stopping      is being ended              yes      at `due_at`, when the agent has gone
stopped       none                        yes      `start`, `deallocate`
============  ==========================  =======  ==========================================

A start that fails for want of capacity was never allocated, and is not billed.
"""

from collections.abc import Mapping
from dataclasses import replace

from localcloud.arm.errors import ArmDetail, ArmError, conflict
from localcloud.arm.vm import (
    Agent,
    AgentStep,
    Interval,
    Operation,
    OperationStatus,
    Overlap,
    Pace,
    PowerState,
    StartPlan,
    Vm,
)

INTERVALS_KEPT = 500
OPERATIONS_KEPT = 100

_BILLED = frozenset(
    {PowerState.STARTING, PowerState.RUNNING, PowerState.STOPPING, PowerState.STOPPED}
)


def new_vm(name: str, *, now: float) -> Vm:
    """Return a deallocated VM."""
    return _enter(Vm(name=name), PowerState.DEALLOCATED, now)


def start(
    vm: Vm, pace: Pace, *, now: float, operation_id: str, plan: StartPlan | None = None
) -> tuple[Vm, Operation]:
    """Accept a start; one that is under way already is joined.

    Raises:
        ArmError: The VM is being stopped or deallocated.
    """
    if vm.power is PowerState.STARTING and vm.current:
        return vm, vm.current
    if vm.power is PowerState.RUNNING:
        return _succeed_at_once(vm, "start", now, operation_id)
    if vm.power in (PowerState.DEALLOCATING, PowerState.STOPPING):
        if pace.overlap is not Overlap.PREEMPT:
            raise _refuse_overlap(vm, pace.overlap)
        vm = _preempt(vm, now)
    plan = plan or StartPlan()
    vm = replace(
        vm,
        plan=plan,
        agent=replace(vm.agent, died_at=None, stays_dead=False),
        switch=replace(vm.switch, died_at=None, stays_dead=False),
    )
    boot_s = pace.boot_s if plan.boot_s is None else plan.boot_s
    due_at = now + boot_s + plan.extra_boot_s
    return _begin(vm, "start", PowerState.STARTING, now, due_at, operation_id)


def deallocate(
    vm: Vm, pace: Pace, *, now: float, operation_id: str, failure: ArmDetail | None = None
) -> tuple[Vm, Operation]:
    """Accept a deallocation; one under way is joined, a start or power-off is preempted.

    Args:
        vm: Which VM.
        pace: Its pace.
        now: Epoch seconds.
        operation_id: Of the operation, if it is a new one.
        failure: Why it will fail and leave the VM stopped; None: it will succeed.
    """
    if vm.power is PowerState.DEALLOCATING and vm.current:
        return vm, vm.current
    if vm.power is PowerState.DEALLOCATED:
        return _succeed_at_once(vm, "deallocate", now, operation_id)
    vm = replace(_preempt(vm, now), release_failure=failure)
    due_at = now + pace.deallocate_s
    return _begin(vm, "deallocate", PowerState.DEALLOCATING, now, due_at, operation_id)


def power_off(vm: Vm, pace: Pace, *, now: float, operation_id: str) -> tuple[Vm, Operation]:
    """Accept a power-off: the VM ends as stopped, which is still billed.

    Raises:
        ArmError: The VM is being deallocated.
    """
    if vm.power is PowerState.STOPPING and vm.current:
        return vm, vm.current
    if vm.power in (PowerState.STOPPED, PowerState.DEALLOCATED):
        return _succeed_at_once(vm, "powerOff", now, operation_id)
    if vm.power is PowerState.DEALLOCATING:
        raise _refuse_overlap(vm, Overlap.CONFLICT)
    vm = _preempt(vm, now)
    due_at = now + pace.deallocate_s
    return _begin(vm, "powerOff", PowerState.STOPPING, now, due_at, operation_id)


def lose_power(vm: Vm, *, now: float) -> Vm:
    """Return the VM as a failure of its host leaves it: deallocated, unasked."""
    if vm.power is PowerState.DEALLOCATED:
        return vm
    return _enter(replace(_preempt(vm, now), due_at=None), PowerState.DEALLOCATED, now)


def shut_guest_down(vm: Vm, pace: Pace, *, now: float) -> Vm:
    """Return a running VM as a shutdown from inside leaves it: on its way to stopped."""
    if vm.power is not PowerState.RUNNING:
        return vm
    return replace(_enter(vm, PowerState.STOPPING, now), due_at=now + pace.deallocate_s)


def advance(vm: Vm, *, now: float) -> Vm:
    """Let the time pass; transitions that are due happen at the moment they were due."""
    if vm.due_at is None or now < vm.due_at or vm.agent.pid or vm.switch.pid:
        return vm
    if vm.power is PowerState.STARTING:
        return _end_start(vm, vm.due_at)
    if vm.power is PowerState.DEALLOCATING:
        return _end_release(vm, now)
    after = PowerState.STOPPED if vm.power is PowerState.STOPPING else vm.power
    return _end_operation(_enter(vm, after, now), now, None)


def forget_operations(vm: Vm, pace: Pace, *, now: float) -> Vm:
    """Forget the operations that ended too long ago to be asked about."""
    oldest = now - pace.operation_kept_s
    past = tuple(operation for operation in vm.past if (operation.ended_at or now) >= oldest)
    return vm if len(past) == len(vm.past) else replace(vm, past=past)


def plan_agent(vm: Vm, pace: Pace, *, now: float) -> AgentStep:
    """Tell what has to be done about the VM's agent."""
    return _plan_process(vm, vm.agent, pace, now)


def plan_switch(vm: Vm, pace: Pace, *, now: float) -> AgentStep:
    """Tell what has to be done about the VM's switch; of a VM that has one."""
    return _plan_process(vm, vm.switch, pace, now)


def note_agent(vm: Vm, agent: Agent) -> Vm:
    """Remember the agent's process."""
    return replace(vm, agent=agent)


def note_agent_gone(vm: Vm, *, now: float, stays_dead: bool = False) -> Vm:
    """Remember that the agent's process ended; the VM itself does not care."""
    return replace(vm, agent=_bury(vm, vm.agent, now, stays_dead=stays_dead))


def note_switch(vm: Vm, switch: Agent) -> Vm:
    """Remember the switch's process."""
    return replace(vm, switch=switch)


def note_switch_gone(vm: Vm, *, now: float, stays_dead: bool = False) -> Vm:
    """Remember that the switch's process ended; the VM itself does not care."""
    return replace(vm, switch=_bury(vm, vm.switch, now, stays_dead=stays_dead))


def keep_agent_dead(vm: Vm) -> Vm:
    """Have the agent, once it is dead, stay so until the next boot."""
    return replace(vm, agent=replace(vm.agent, stays_dead=True))


def measure_billed_s(vm: Vm, *, now: float) -> float:
    """Return the seconds billed so far."""
    return vm.billed_before_s + sum(_billed_s(interval, now) for interval in vm.intervals)


def find_running_since(vm: Vm) -> float | None:
    """Give the moment at which the VM's present boot came to run, or None if it does not."""
    if vm.power is not PowerState.RUNNING or not vm.intervals:
        return None
    return vm.intervals[-1].started_at


def find_operation(vms: Mapping[str, Vm], operation_id: str) -> Operation | None:
    """Find an operation of any VM, under way or remembered."""
    for vm in vms.values():
        for operation in (*vm.past, *([vm.current] if vm.current else [])):
            if operation.id == operation_id:
                return operation
    return None


def _plan_process(vm: Vm, process: Agent, pace: Pace, now: float) -> AgentStep:
    if vm.power is not PowerState.RUNNING:
        return AgentStep.NOTHING if process.pid is None else AgentStep.END
    if process.pid is not None or process.stays_dead:
        return AgentStep.NOTHING
    if process.died_at is None:
        return AgentStep.SPAWN
    pause_s = pace.restart_agent_after_s
    if pause_s is not None and now >= process.died_at + pause_s:
        return AgentStep.SPAWN
    return AgentStep.NOTHING


def _bury(vm: Vm, process: Agent, now: float, *, stays_dead: bool) -> Agent:
    died_at = now if vm.power is PowerState.RUNNING else None
    return Agent(died_at=died_at, stays_dead=stays_dead or process.stays_dead)


def _begin(
    vm: Vm, kind: str, power: PowerState, now: float, due_at: float, operation_id: str
) -> tuple[Vm, Operation]:
    operation = Operation(id=operation_id, kind=kind, started_at=now)
    vm = replace(vm, current=operation, due_at=due_at, failure=None)
    return _enter(vm, power, now), operation


def _succeed_at_once(vm: Vm, kind: str, now: float, operation_id: str) -> tuple[Vm, Operation]:
    operation = Operation(id=operation_id, kind=kind, started_at=now)
    vm = _end_operation(replace(vm, current=operation), now, None)
    return vm, vm.past[-1]


def _preempt(vm: Vm, now: float) -> Vm:
    if vm.current is None:
        return vm
    detail = ArmDetail(
        "OperationPreempted",
        f"Operation {vm.current.id} was preempted by a more recent operation.",
    )
    return replace(_end_operation(vm, now, detail), failure=None)


def _end_start(vm: Vm, now: float) -> Vm:
    failure = vm.plan.failure
    if failure:
        intervals = (*vm.intervals[:-1], replace(vm.intervals[-1], is_billed=False))
        vm = _enter(replace(vm, intervals=intervals), PowerState.DEALLOCATED, now)
        return _end_operation(vm, now, failure)
    agent = replace(vm.agent, stays_dead=not vm.plan.agent_starts)
    vm = replace(vm, starts=vm.starts + 1, agent=agent)
    return _end_operation(_enter(vm, PowerState.RUNNING, now), now, None)


def _end_release(vm: Vm, now: float) -> Vm:
    failure = vm.release_failure
    vm = replace(vm, release_failure=None)
    power = PowerState.STOPPED if failure else PowerState.DEALLOCATED
    return _end_operation(_enter(vm, power, now), now, failure)


def _end_operation(vm: Vm, now: float, failure: ArmDetail | None) -> Vm:
    vm = replace(vm, due_at=None, failure=failure)
    if vm.current is None:
        return vm
    status = OperationStatus.FAILED if failure else OperationStatus.SUCCEEDED
    ended = replace(vm.current, status=status, ended_at=now, failure=failure)
    return replace(vm, current=None, past=(*vm.past, ended)[-OPERATIONS_KEPT:])


def _enter(vm: Vm, power: PowerState, now: float) -> Vm:
    intervals = vm.intervals
    if intervals:
        if intervals[-1].state is power:
            return replace(vm, power=power)
        intervals = (*intervals[:-1], replace(intervals[-1], ended_at=now))
    dropped = intervals[: max(0, len(intervals) + 1 - INTERVALS_KEPT)]
    opened = Interval(state=power, started_at=now, is_billed=power in _BILLED)
    return replace(
        vm,
        power=power,
        intervals=(*intervals[len(dropped) :], opened),
        billed_before_s=vm.billed_before_s + sum(_billed_s(past, now) for past in dropped),
    )


def _billed_s(interval: Interval, now: float) -> float:
    if not interval.is_billed:
        return 0.0
    ended_at = now if interval.ended_at is None else interval.ended_at
    return max(0.0, ended_at - interval.started_at)


def _refuse_overlap(vm: Vm, overlap: Overlap) -> ArmError:
    if overlap is Overlap.NOT_ALLOWED:
        error = conflict(
            f"Operation 'start' is not allowed on VM '{vm.name}' while it is {vm.power}."
        )
        error.detail = ArmDetail("OperationNotAllowed", error.detail.message)
        return error
    return conflict(
        f"The request failed due to conflict with a concurrent request: VM '{vm.name}' is "
        f"{vm.power}."
    )
