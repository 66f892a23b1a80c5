"""Effects on VMs: fenced by epoch, phase and drain, and safe to run twice."""

import pytest

from orchestrator.domain.errors import AgentError, AgentUnreachableError, ArmError
from orchestrator.domain.pool import Enqueue, StartFailed, VmLost
from orchestrator.services.vms import FRESH_S
from tests.unit.orchestrator.parts import JOB, OTHER_JOB, Parts

ELSEWHEN = 12345


@pytest.fixture
def starting(parts: Parts) -> Parts:
    """A control plane whose VM is about to be started."""
    parts.apply(Enqueue(job_id=JOB, fence=1))
    return parts


class TestStartVm:
    def test_starts_and_tells_when(self, starting: Parts, do):
        starting.now += 3

        answer = do(starting.vms.start_vm(starting.order(), starting.durable))

        assert answer == {"outcome": "accepted"}
        assert starting.power.calls == [("start", "gpu-1")]
        assert starting.vm().interval.began_at == starting.now

    def test_twice_is_once(self, starting: Parts, do):
        began_at = starting.now
        for _ in range(2):
            do(starting.vms.start_vm(starting.order(), starting.durable))
            starting.now += 100

        assert starting.vm().interval.began_at == began_at
        assert starting.power.powers["gpu-1"] in ("starting", "running")

    def test_parts_the_bill_of_a_vm_that_somebody_stopped_since_the_first_call(
        self, starting: Parts, do
    ):
        do(starting.vms.start_vm(starting.order(), starting.durable))
        starting.power.powers["gpu-1"] = "deallocated"
        starting.now += 100

        do(starting.vms.start_vm(starting.order(), starting.durable))

        assert starting.vm().interval.began_at == starting.now

    def test_does_nothing_under_another_epoch(self, starting: Parts, do):
        order = starting.order(epoch=ELSEWHEN)

        assert do(starting.vms.start_vm(order, starting.durable)) == {"outcome": "stale"}
        assert starting.power.calls == []

    def test_does_nothing_once_the_vm_is_ready(self, ready: Parts, do):
        before = list(ready.power.calls)
        ready.power.errors = [ArmError("InternalServerError", "for whoever asks")]

        assert do(ready.vms.start_vm(ready.order(), ready.durable)) == {"outcome": "stale"}
        assert ready.power.calls == before
        # Not even a question: the pool's belief is enough.
        assert len(ready.power.errors) == 1

    def test_does_nothing_once_the_vm_is_being_deallocated(self, ready: Parts, do):
        ready.apply(VmLost(vm="gpu-1", epoch=ready.vm().epoch, reason="gone"))
        before = list(ready.power.calls)

        assert do(ready.vms.start_vm(ready.order(), ready.durable)) == {"outcome": "stale"}
        assert ready.power.calls == before

    def test_does_nothing_to_a_vm_that_is_not_configured(self, starting: Parts, do):
        answer = do(starting.vms.start_vm({"vm": "x", "epoch": 1}, starting.durable))

        assert answer == {"outcome": "stale"}

    @pytest.mark.parametrize("code", ["Conflict", "TooManyRequests", "Unreachable"])
    def test_comes_back_later_after_a_passing_refusal(self, starting: Parts, do, code: str):
        starting.power.refuse_next(ArmError(code, "busy", retry_after_s=7.0))

        answer = do(starting.vms.start_vm(starting.order(), starting.durable))

        assert answer == {"outcome": "later", "code": code, "retry_after_s": 7.0}
        assert starting.vm().phase == "starting"

    def test_a_call_without_an_answer_may_have_begun_the_bill(self, starting: Parts, do):
        asked_at = starting.now
        starting.power.refuse_next(ArmError("Unreachable", "no answer"))

        do(starting.vms.start_vm(starting.order(), starting.durable))
        starting.now += 20
        do(starting.vms.start_vm(starting.order(), starting.durable))

        assert starting.vm().interval.began_at == asked_at
        assert starting.vm().interval.is_estimated

    @pytest.mark.parametrize("power", ["deallocated", "running"])
    def test_a_vm_that_somebody_has_started_is_billed_since_before(
        self, starting: Parts, do, power: str
    ):
        starting.power.powers["gpu-1"] = power

        do(starting.vms.start_vm(starting.order(), starting.durable))

        assert starting.vm().interval.began_at == starting.now
        assert starting.vm().interval.is_estimated == (power == "running")

    @pytest.mark.parametrize("power", ["stopped", "running"])
    def test_a_refusal_does_not_hide_a_vm_that_is_on(self, starting: Parts, do, power: str):
        starting.power.powers["gpu-1"] = power
        starting.power.refuse_next(ArmError("SkuNotAvailable", "no room"))

        answer = do(starting.vms.start_vm(starting.order(), starting.durable))

        assert answer["outcome"] == "failed"
        assert starting.vm().phase == "deallocating"

    def test_a_refusal_has_begun_nothing(self, starting: Parts, do):
        starting.power.refuse_next(ArmError("TooManyRequests", "busy", retry_after_s=7.0))

        do(starting.vms.start_vm(starting.order(), starting.durable))
        starting.now += 20
        do(starting.vms.start_vm(starting.order(), starting.durable))

        assert starting.vm().interval.began_at == starting.now
        assert not starting.vm().interval.is_estimated

    def test_a_stock_out_cools_the_candidate_down(self, starting: Parts, do):
        starting.power.refuse_next(ArmError("ZonalAllocationFailed", "no room"))

        answer = do(starting.vms.start_vm(starting.order(), starting.durable))

        assert answer["outcome"] == "failed"
        assert starting.vm().phase == "no_capacity"
        assert starting.vm().failures == 0

    def test_what_only_a_person_can_mend_opens_the_circuit_at_once(self, starting: Parts, do):
        starting.power.refuse_next(ArmError("AuthorizationFailed", "not you"))

        do(starting.vms.start_vm(starting.order(), starting.durable))

        assert starting.vm().phase == "broken"
        assert "AuthorizationFailed" in starting.vm().reason

    def test_any_other_refusal_counts_as_a_failure(self, starting: Parts, do):
        starting.power.refuse_next(ArmError("Mystery", "it did not work"))

        do(starting.vms.start_vm(starting.order(), starting.durable))

        assert starting.vm().failures == 1


class TestCheckWake:
    def test_goes_from_starting_to_ready_and_gives_a_lease(self, starting: Parts, do):
        order = starting.order()
        do(starting.vms.start_vm(order, starting.durable))
        starting.agent().phase = "warming_up"

        outcomes = [do(starting.vms.check_wake(order, starting.durable))["outcome"]]
        outcomes.append(do(starting.vms.check_wake(order, starting.durable))["outcome"])
        starting.agent().phase = "ready"
        outcomes.append(do(starting.vms.check_wake(order, starting.durable))["outcome"])
        outcomes.append(do(starting.vms.check_wake(order, starting.durable))["outcome"])

        assert outcomes == ["starting", "warming", "ready", "stale"]
        assert starting.agent().leases == [(order["epoch"], starting.policy.lease_s)]
        assert starting.vm().phase == "ready"

    def test_an_agent_that_does_not_listen_yet_is_no_failure(self, starting: Parts, do):
        do(starting.vms.start_vm(starting.order(), starting.durable))
        starting.power.powers["gpu-1"] = "running"
        starting.agents.silent.add("gpu-1")

        answer = do(starting.vms.check_wake(starting.order(), starting.durable))

        assert answer == {"outcome": "warming"}

    def test_an_agent_that_says_why_it_can_not_ends_the_wake(self, starting: Parts, do):
        do(starting.vms.start_vm(starting.order(), starting.durable))
        starting.power.powers["gpu-1"] = "running"
        starting.agent().phase = "failed"

        answer = do(starting.vms.check_wake(starting.order(), starting.durable))

        assert answer == {"outcome": "failed"}
        assert starting.vm().phase == "deallocating"

    def test_tells_the_pool_when_the_vm_is_switched_off(self, starting: Parts, do):
        do(starting.vms.start_vm(starting.order(), starting.durable))
        starting.power.powers["gpu-1"] = "running"
        starting.agent().cap = {"cap_left_s": 43000.0, "max_uptime_s": 43200.0}

        do(starting.vms.check_wake(starting.order(), starting.durable))

        vm = starting.vm()
        assert (vm.phase, vm.off_by, vm.max_uptime_s) == ("ready", starting.now + 43000, 43200)

    def test_an_agent_that_refuses_the_lease_is_not_ready(self, starting: Parts, do):
        do(starting.vms.start_vm(starting.order(), starting.durable))
        starting.power.powers["gpu-1"] = "running"
        starting.agents.errors["lease"] = [AgentError("closed", "until the next boot", status=409)]

        answer = do(starting.vms.check_wake(starting.order(), starting.durable))

        assert answer == {"outcome": "warming"}
        assert starting.vm().phase == "warming"

    def test_a_start_that_fails_later_for_want_of_capacity_is_told(self, starting: Parts, do):
        starting.power.failures["gpu-1"] = ("AllocationFailed", "no room")
        do(starting.vms.start_vm(starting.order(), starting.durable))

        outcomes = [
            do(starting.vms.check_wake(starting.order(), starting.durable))["outcome"]
            for _ in range(3)
        ]

        assert outcomes == ["starting", "failed", "stale"]
        assert starting.vm().phase == "no_capacity"
        assert starting.vm().interval.began_at is None

    def test_a_power_that_cannot_be_read_is_waited_for(self, starting: Parts, do):
        starting.power.errors = [ArmError("Unreachable", "no answer")]

        answer = do(starting.vms.check_wake(starting.order(), starting.durable))

        assert answer == {"outcome": "starting"}

    def test_says_nothing_about_another_epoch(self, starting: Parts, do):
        order = starting.order(epoch=ELSEWHEN)

        assert do(starting.vms.check_wake(order, starting.durable)) == {"outcome": "stale"}


class TestDrainVm:
    def test_closes_the_door_and_goes_on_to_deallocate(self, idle: Parts, do):
        answer = do(idle.vms.drain_vm(idle.order(), idle.durable))

        assert answer == {"outcome": "deallocate"}
        assert idle.agent().state.is_drained
        assert idle.vm().phase == "deallocating"
        assert idle.vm().receipt == f"receipt-{idle.vm().epoch}-1"

    def test_twice_gives_the_same_answer(self, idle: Parts, do):
        answers = [do(idle.vms.drain_vm(idle.order(), idle.durable)) for _ in range(2)]

        assert answers == [{"outcome": "deallocate"}] * 2

    def test_reopens_when_a_job_waits(self, idle: Parts, do):
        order = idle.order()
        idle.apply(Enqueue(job_id=OTHER_JOB, fence=1))

        first = do(idle.vms.drain_vm(order, idle.durable))
        again = do(idle.vms.drain_vm(order, idle.durable))

        assert (first, again) == ({"outcome": "reopened"}, {"outcome": "stale"})
        assert idle.vm().phase == "ready"
        assert OTHER_JOB in idle.vm().slots

    def test_is_refused_by_an_agent_that_holds_a_job(self, idle: Parts, do):
        candidate = idle.candidate()
        submission = {"epoch": idle.vm().epoch} | dict.fromkeys(
            ("input_path", "output_prefix", "manifest_path"), "jobs/x/y"
        )
        do(idle.agents.submit(candidate, "held", 1, submission))

        answer = do(idle.vms.drain_vm(idle.order(), idle.durable))

        assert answer == {"outcome": "refused"}
        assert idle.vm().phase == "ready"

    def test_tells_of_silence_and_changes_nothing(self, idle: Parts, do):
        idle.agents.silent.add("gpu-1")

        assert do(idle.vms.drain_vm(idle.order(), idle.durable)) == {"outcome": "unreachable"}
        assert idle.vm().phase == "draining"

    def test_an_agent_that_refuses_outright_is_lost(self, idle: Parts, do):
        idle.agent().hear(idle.vm().epoch + 1)

        assert do(idle.vms.drain_vm(idle.order(), idle.durable)) == {"outcome": "refused"}
        assert idle.vm().phase == "deallocating"

    @pytest.mark.parametrize("stale", [{"epoch": ELSEWHEN}, {"drain": 9}])
    def test_does_nothing_under_another_number(self, idle: Parts, do, stale: dict):
        answer = do(idle.vms.drain_vm(idle.order(**stale), idle.durable))

        assert answer == {"outcome": "stale"}
        assert not idle.agent().state.is_drained


class TestDeallocateVm:
    def test_deallocates_and_closes_the_billed_interval(self, idle: Parts, do):
        do(idle.vms.drain_vm(idle.order(), idle.durable))
        idle.now += 5

        answer = do(idle.vms.deallocate_vm(idle.order(), idle.durable))

        assert answer == {"outcome": "accepted"}
        assert idle.state.accounts["gpu-1"].billed_s == idle.policy.idle_window_s + 5

    def test_twice_is_once(self, idle: Parts, do):
        do(idle.vms.drain_vm(idle.order(), idle.durable))
        for _ in range(2):
            do(idle.vms.deallocate_vm(idle.order(), idle.durable))
            idle.now += 100

        assert idle.state.accounts["gpu-1"].billed_s == idle.policy.idle_window_s

    def test_bills_nothing_for_a_start_that_has_failed_since(self, starting: Parts, do):
        starting.power.failures["gpu-1"] = ("AllocationFailed", "no room")
        do(starting.vms.start_vm(starting.order(), starting.durable))
        starting.now += 20
        starting.power.refuse_next(ArmError("AllocationFailed", "no room"))
        do(starting.vms.start_vm(starting.order(), starting.durable))
        between = starting.vm().phase

        answer = do(starting.vms.deallocate_vm(starting.order(), starting.durable))

        assert (between, answer) == ("deallocating", {"outcome": "accepted"})
        assert starting.state.accounts["gpu-1"].billed_s == 0

    def test_leaves_a_reopened_vm_alone(self, idle: Parts, do):
        order = idle.order()
        idle.apply(Enqueue(job_id=OTHER_JOB, fence=1))
        do(idle.vms.drain_vm(order, idle.durable))

        answer = do(idle.vms.deallocate_vm(order, idle.durable))

        assert answer == {"outcome": "stale"}
        assert ("deallocate", "gpu-1") not in idle.power.calls

    def test_leaves_a_busy_vm_alone(self, ready: Parts, do):
        ready.power.errors = [ArmError("InternalServerError", "for whoever asks")]

        answer = do(ready.vms.deallocate_vm(ready.order(), ready.durable))

        assert answer == {"outcome": "stale"}
        assert ("deallocate", "gpu-1") not in ready.power.calls
        assert len(ready.power.errors) == 1

    def test_an_earlier_retirement_leaves_the_later_one_alone(self, ready: Parts, do):
        ready.apply(VmLost(vm="gpu-1", epoch=ready.vm().epoch, reason="gone"))
        order = ready.order()
        ready.now += ready.policy.deallocating_s
        ready.apply(Enqueue(job_id=OTHER_JOB, fence=1))

        assert do(ready.vms.deallocate_vm(order, ready.durable)) == {"outcome": "stale"}

    def test_comes_back_later_after_a_refusal(self, idle: Parts, do):
        do(idle.vms.drain_vm(idle.order(), idle.durable))
        idle.power.errors = [ArmError("Conflict", "busy")]

        answer = do(idle.vms.deallocate_vm(idle.order(), idle.durable))

        assert answer == {"outcome": "later", "code": "Conflict", "retry_after_s": None}
        assert idle.vm().interval.began_at is not None

    @pytest.mark.parametrize("power", ["deallocated", "deallocating", "running"])
    def test_a_lost_vm_may_have_been_off_before(self, ready: Parts, do, power: str):
        ready.power.powers["gpu-1"] = power
        ready.apply(VmLost(vm="gpu-1", epoch=ready.vm().epoch, reason="gone"))
        ready.now += 5

        answer = do(ready.vms.deallocate_vm(ready.order(), ready.durable))

        assert answer == {"outcome": "accepted"}
        (interval,) = ready.ledger.list_intervals("gpu-1")
        assert interval["is_estimated"] == (power != "running")

    @pytest.mark.parametrize("power", ["deallocated", "running"])
    def test_a_vm_that_was_drained_a_while_ago_may_have_been_off_before(
        self, idle: Parts, do, power: str
    ):
        do(idle.vms.drain_vm(idle.order(), idle.durable))
        idle.power.powers["gpu-1"] = power
        idle.now += FRESH_S

        do(idle.vms.deallocate_vm(idle.order(), idle.durable))

        (interval,) = idle.ledger.list_intervals("gpu-1")
        assert interval["is_estimated"] == (power != "running")


class TestCheckDeallocated:
    def test_waits_and_confirms(self, idle: Parts, do):
        do(idle.vms.drain_vm(idle.order(), idle.durable))
        do(idle.vms.deallocate_vm(idle.order(), idle.durable))

        outcomes = [
            do(idle.vms.check_deallocated(idle.order(), idle.durable))["outcome"] for _ in range(3)
        ]

        assert outcomes == ["deallocating", "deallocated", "stale"]
        assert idle.vm().phase == "deallocated"

    def test_tells_of_an_operation_that_failed(self, idle: Parts, do):
        do(idle.vms.drain_vm(idle.order(), idle.durable))
        idle.power.powers["gpu-1"] = "running"
        idle.power._failed["gpu-1"] = ("InternalExecutionError", "it did not work")

        answer = do(idle.vms.check_deallocated(idle.order(), idle.durable))

        assert answer == {"outcome": "failed"}

    def test_a_power_that_cannot_be_read_is_waited_for(self, idle: Parts, do):
        do(idle.vms.drain_vm(idle.order(), idle.durable))
        idle.power.errors = [ArmError("Unreachable", "no answer")]

        answer = do(idle.vms.check_deallocated(idle.order(), idle.durable))

        assert answer == {"outcome": "deallocating"}


class TestCleaningUp:
    def test_a_wake_that_is_given_up_leaves_no_vm_running(self, starting: Parts, do):
        do(starting.vms.start_vm(starting.order(), starting.durable))
        starting.agents.errors["ready"] = [AgentUnreachableError("never")] * 9
        starting.now += starting.policy.starting_s
        starting.apply(StartFailed(vm="gpu-1", epoch=0, code="wakes nobody"))

        order = starting.order()
        (retire,) = starting.durable.started("retire_vm")
        do(starting.vms.deallocate_vm(order, starting.durable))

        assert retire == f"retire-gpu-1-{order['epoch']}-1"
        assert starting.power.powers["gpu-1"] == "deallocating"
