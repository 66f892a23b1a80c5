"""The rules of a VM: power, operations, agent and bill."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.arm import machine
from localcloud.arm.errors import ArmDetail, ArmError
from localcloud.arm.vm import (
    Agent,
    AgentStep,
    OperationStatus,
    Overlap,
    Pace,
    PowerState,
    StartPlan,
    Vm,
)

PACE = Pace(boot_s=10.0, deallocate_s=4.0, operation_kept_s=100.0)
NO_ROOM = ArmDetail("AllocationFailed", "no room")


def asleep() -> Vm:
    return machine.new_vm("gpu-0", now=0.0)


def starting(*, now: float = 100.0, plan: StartPlan | None = None) -> Vm:
    return machine.start(asleep(), PACE, now=now, operation_id="start", plan=plan)[0]


def running() -> Vm:
    """A VM that began to start at 100 and runs since 110."""
    return machine.advance(starting(), now=110.0)


def with_agent(vm: Vm) -> Vm:
    return machine.note_agent(vm, Agent(pid=7, created_at=1.0))


class TestStart:
    def test_takes_the_time_of_a_boot(self):
        vm = starting()

        assert machine.advance(vm, now=109.9).power is PowerState.STARTING
        assert machine.advance(vm, now=110.0).power is PowerState.RUNNING

    def test_ends_at_the_moment_it_was_due_however_late_one_looks(self):
        vm = machine.advance(starting(), now=500.0)

        assert vm.intervals[-1].started_at == 110.0
        assert vm.past[-1].ended_at == 110.0

    def test_is_joined_by_a_second_one(self):
        vm = starting()

        again, operation = machine.start(vm, PACE, now=101.0, operation_id="other")

        assert again == vm
        assert operation.id == "start"

    def test_of_a_running_vm_succeeds_at_once_and_changes_nothing(self):
        vm, operation = machine.start(running(), PACE, now=120.0, operation_id="again")

        assert operation.status is OperationStatus.SUCCEEDED
        assert vm.power is PowerState.RUNNING
        assert vm.starts == 1

    def test_takes_longer_by_what_a_fault_adds(self):
        vm = starting(plan=StartPlan(extra_boot_s=30.0))

        assert machine.advance(vm, now=139.0).power is PowerState.STARTING
        assert machine.advance(vm, now=140.0).power is PowerState.RUNNING

    def test_without_capacity_fails_and_is_not_billed(self):
        vm = machine.advance(starting(plan=StartPlan(boot_s=2.0, failure=NO_ROOM)), now=103.0)

        assert vm.power is PowerState.DEALLOCATED
        assert vm.failure == NO_ROOM
        assert vm.past[-1].status is OperationStatus.FAILED
        assert vm.past[-1].failure == NO_ROOM
        assert machine.measure_billed_s(vm, now=200.0) == 0.0

    def test_clears_the_failure_of_the_one_before(self):
        failed = machine.advance(starting(plan=StartPlan(failure=NO_ROOM)), now=110.0)

        vm, _ = machine.start(failed, PACE, now=120.0, operation_id="again")

        assert vm.failure is None
        assert machine.advance(vm, now=130.0).power is PowerState.RUNNING

    @pytest.mark.parametrize(
        ("overlap", "code"),
        [(Overlap.CONFLICT, "Conflict"), (Overlap.NOT_ALLOWED, "OperationNotAllowed")],
    )
    def test_is_refused_during_a_deallocation(self, overlap, code):
        vm, _ = machine.deallocate(running(), PACE, now=120.0, operation_id="off")

        with pytest.raises(ArmError) as refused:
            machine.start(vm, replace(PACE, overlap=overlap), now=121.0, operation_id="on")

        assert refused.value.status == 409
        assert refused.value.detail.code == code

    def test_can_be_told_to_preempt_a_deallocation(self):
        vm, _ = machine.deallocate(running(), PACE, now=120.0, operation_id="off")

        pace = replace(PACE, overlap=Overlap.PREEMPT)
        vm, _ = machine.start(vm, pace, now=121.0, operation_id="on")

        assert vm.power is PowerState.STARTING
        assert vm.past[-1].id == "off"
        assert vm.past[-1].failure.code == "OperationPreempted"


class TestDeallocate:
    def test_waits_for_its_time_and_for_the_agent(self):
        vm, _ = machine.deallocate(with_agent(running()), PACE, now=120.0, operation_id="off")

        assert machine.advance(vm, now=125.0).power is PowerState.DEALLOCATING
        gone = machine.note_agent_gone(vm, now=125.0)
        assert machine.advance(gone, now=123.9).power is PowerState.DEALLOCATING
        assert machine.advance(gone, now=125.0).power is PowerState.DEALLOCATED

    def test_of_a_deallocated_vm_succeeds_at_once(self):
        vm, operation = machine.deallocate(asleep(), PACE, now=5.0, operation_id="off")

        assert operation.status is OperationStatus.SUCCEEDED
        assert vm.power is PowerState.DEALLOCATED

    def test_preempts_a_start_which_never_comes_to_run(self):
        vm, _ = machine.deallocate(starting(), PACE, now=105.0, operation_id="off")

        vm = machine.advance(vm, now=111.0)

        assert vm.power is PowerState.DEALLOCATED
        assert vm.starts == 0
        assert [operation.id for operation in vm.past] == ["start", "off"]
        assert machine.measure_billed_s(vm, now=200.0) == 5.0


class TestPowerOff:
    def test_leaves_the_vm_billed(self):
        vm, _ = machine.power_off(running(), PACE, now=120.0, operation_id="off")

        vm = machine.advance(vm, now=130.0)

        assert vm.power is PowerState.STOPPED
        assert machine.measure_billed_s(vm, now=200.0) == 100.0

    def test_is_refused_during_a_deallocation(self):
        vm, _ = machine.deallocate(running(), PACE, now=120.0, operation_id="off")

        with pytest.raises(ArmError):
            machine.power_off(vm, PACE, now=121.0, operation_id="stop")


class TestMeasureBilledS:
    def test_counts_from_the_start_to_the_deallocation(self):
        vm, _ = machine.deallocate(running(), PACE, now=150.0, operation_id="off")

        assert machine.measure_billed_s(vm, now=152.0) == 50.0
        assert machine.measure_billed_s(machine.advance(vm, now=160.0), now=9999.0) == 50.0

    def test_keeps_the_seconds_of_intervals_that_it_forgets(self):
        vm = asleep()
        cycles = machine.INTERVALS_KEPT
        for cycle in range(cycles):
            at = 100.0 * cycle
            vm, _ = machine.start(vm, PACE, now=at, operation_id=f"on-{cycle}")
            vm = machine.advance(vm, now=at + 10)
            vm, _ = machine.deallocate(vm, PACE, now=at + 30, operation_id=f"off-{cycle}")
            vm = machine.advance(vm, now=at + 40)

        assert machine.measure_billed_s(vm, now=1e9) == pytest.approx(30.0 * cycles)
        assert len(vm.intervals) == machine.INTERVALS_KEPT
        assert len(vm.past) == machine.OPERATIONS_KEPT

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["start", "deallocate", "power_off", "agent", "gone", "lose", "shutdown"]
                ),
                st.floats(min_value=0.0, max_value=20.0),
            ),
            max_size=40,
        )
    )
    def test_is_the_sum_of_intervals_without_gaps_whatever_happens(self, acts):
        vm, now = asleep(), 0.0
        for number, (act, pause_s) in enumerate(acts):
            now += pause_s
            vm = machine.advance(vm, now=now)
            vm = perform(vm, act, now=now, number=number)

        assert vm.intervals[0].started_at == 0.0
        for earlier, later in zip(vm.intervals, vm.intervals[1:], strict=False):
            assert earlier.ended_at == later.started_at
            assert earlier.state is not later.state
        assert vm.intervals[-1].ended_at is None
        assert vm.intervals[-1].state is vm.power
        assert 0.0 <= machine.measure_billed_s(vm, now=now) <= now
        assert (vm.current is None) or vm.due_at is not None


def perform(vm: Vm, act: str, *, now: float, number: int) -> Vm:
    try:
        match act:
            case "start" | "deallocate" | "power_off":
                ask = getattr(machine, act)
                return ask(vm, PACE, now=now, operation_id=str(number))[0]
            case "agent" if vm.power is PowerState.RUNNING:
                return with_agent(vm)
            case "gone":
                return machine.note_agent_gone(vm, now=now)
            case "lose":
                return machine.lose_power(vm, now=now)
            case "shutdown":
                return machine.shut_guest_down(vm, PACE, now=now)
    except ArmError:
        pass
    return vm


class TestPlanAgent:
    def test_spawns_it_once_the_vm_runs(self):
        assert machine.plan_agent(starting(), PACE, now=105.0) is AgentStep.NOTHING
        assert machine.plan_agent(running(), PACE, now=110.0) is AgentStep.SPAWN
        assert machine.plan_agent(with_agent(running()), PACE, now=111.0) is AgentStep.NOTHING

    def test_ends_it_when_the_vm_goes(self):
        vm, _ = machine.deallocate(with_agent(running()), PACE, now=120.0, operation_id="off")

        assert machine.plan_agent(vm, PACE, now=120.0) is AgentStep.END

    def test_leaves_a_dead_one_dead_unless_something_restarts_it(self):
        vm = machine.note_agent_gone(with_agent(running()), now=120.0)
        patient = replace(PACE, restart_agent_after_s=2.0)

        assert vm.power is PowerState.RUNNING
        assert machine.plan_agent(vm, PACE, now=999.0) is AgentStep.NOTHING
        assert machine.plan_agent(vm, patient, now=121.9) is AgentStep.NOTHING
        assert machine.plan_agent(vm, patient, now=122.0) is AgentStep.SPAWN

    def test_starts_one_that_stays_dead_at_the_next_boot_only(self):
        pace = replace(PACE, restart_agent_after_s=0.0)
        vm = machine.keep_agent_dead(with_agent(running()))
        vm = machine.note_agent_gone(vm, now=120.0)
        assert machine.plan_agent(vm, pace, now=130.0) is AgentStep.NOTHING

        vm, _ = machine.deallocate(vm, pace, now=130.0, operation_id="off")
        vm, _ = machine.start(machine.advance(vm, now=140.0), pace, now=140.0, operation_id="on")
        assert machine.plan_agent(machine.advance(vm, now=150.0), pace, now=150.0) is (
            AgentStep.SPAWN
        )

    def test_never_starts_it_when_the_start_was_to_be_useless(self):
        vm = machine.advance(starting(plan=StartPlan(agent_starts=False)), now=110.0)

        assert vm.power is PowerState.RUNNING
        assert machine.plan_agent(vm, PACE, now=999.0) is AgentStep.NOTHING


class TestPlanSwitch:
    def test_spawns_it_beside_an_agent_that_is_not_to_start(self):
        vm = machine.advance(starting(plan=StartPlan(agent_starts=False)), now=110.0)

        assert machine.plan_switch(vm, PACE, now=110.0) is AgentStep.SPAWN
        assert machine.plan_agent(vm, PACE, now=110.0) is AgentStep.NOTHING

    def test_starts_one_again_that_was_killed(self):
        pace = replace(PACE, restart_agent_after_s=2.0)
        vm = machine.note_switch(running(), Agent(pid=8))
        vm = machine.note_switch_gone(vm, now=120.0)

        assert machine.plan_switch(vm, pace, now=121.9) is AgentStep.NOTHING
        assert machine.plan_switch(vm, pace, now=122.0) is AgentStep.SPAWN

    def test_holds_a_deallocation_up_until_it_has_ended(self):
        vm = machine.note_switch(running(), Agent(pid=8))
        vm, _ = machine.deallocate(vm, PACE, now=120.0, operation_id="off")

        assert machine.plan_switch(vm, PACE, now=120.0) is AgentStep.END
        assert machine.advance(vm, now=125.0).power is PowerState.DEALLOCATING
        gone = machine.note_switch_gone(vm, now=125.0)
        assert machine.advance(gone, now=125.0).power is PowerState.DEALLOCATED


class TestFindRunningSince:
    def test_tells_when_the_boot_was_over(self):
        assert machine.find_running_since(starting()) is None
        assert machine.find_running_since(running()) == 110.0


class TestLosePower:
    def test_deallocates_and_ends_the_bill(self):
        vm = machine.lose_power(running(), now=120.0)

        assert vm.power is PowerState.DEALLOCATED
        assert machine.measure_billed_s(vm, now=999.0) == 20.0

    def test_fails_the_operation_under_way(self):
        vm = machine.lose_power(starting(), now=105.0)

        assert vm.past[-1].status is OperationStatus.FAILED
        assert machine.advance(vm, now=200.0).power is PowerState.DEALLOCATED


class TestShutGuestDown:
    def test_ends_stopped_and_billed(self):
        vm = machine.advance(machine.shut_guest_down(running(), PACE, now=120.0), now=200.0)

        assert vm.power is PowerState.STOPPED
        assert machine.measure_billed_s(vm, now=300.0) == 200.0


class TestFindOperation:
    def test_finds_those_under_way_and_those_that_are_over(self):
        vm, _ = machine.deallocate(running(), PACE, now=120.0, operation_id="off")

        assert machine.find_operation({"gpu-0": vm}, "off") == vm.current
        assert machine.find_operation({"gpu-0": vm}, "start") == vm.past[0]
        assert machine.find_operation({"gpu-0": vm}, "other") is None


class TestFailedRelease:
    def test_leaves_the_vm_stopped_and_billed(self):
        failure = ArmDetail("InternalExecutionError", "try later")
        vm, _ = machine.deallocate(
            running(), PACE, now=200.0, operation_id="release", failure=failure
        )

        vm = machine.advance(vm, now=204.0)

        assert vm.power is PowerState.STOPPED
        assert vm.failure == failure
        assert (vm.past[-1].status, vm.past[-1].failure) == (OperationStatus.FAILED, failure)
        assert machine.measure_billed_s(vm, now=304.0) == 100.0 + 100.0

    def test_is_made_good_by_the_next_one(self):
        failure = ArmDetail("InternalExecutionError", "try later")
        vm, _ = machine.deallocate(
            running(), PACE, now=200.0, operation_id="first", failure=failure
        )
        vm, _ = machine.deallocate(
            machine.advance(vm, now=204.0), PACE, now=210.0, operation_id="second"
        )

        vm = machine.advance(vm, now=214.0)

        assert (vm.power, vm.failure) == (PowerState.DEALLOCATED, None)


class TestForgetOperations:
    def test_keeps_them_for_the_time_of_the_pace(self):
        vm = running()

        assert machine.forget_operations(vm, PACE, now=210.0) == vm
        assert machine.forget_operations(vm, PACE, now=210.1).past == ()

    def test_keeps_the_one_under_way(self):
        vm = starting()

        forgotten = machine.forget_operations(vm, PACE, now=10_000.0)

        assert machine.find_operation({"gpu-0": forgotten}, "start") == vm.current
