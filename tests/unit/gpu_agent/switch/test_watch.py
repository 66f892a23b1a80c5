import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.switch.decision import Policy
from gpu_agent.switch.errors import ArmError, ImdsError
from gpu_agent.switch.watch import AGAIN_AFTER_S, MAX_PAUSE_S, Watch
from tests.fakes.own_machine import FakeVm

POLL_S = 10.0
POLICY = Policy(max_uptime_s=2000.0, warning_s=100.0, boot_grace_s=100.0)


def watch_over(vm: FakeVm) -> Watch:
    return Watch(
        agent=vm,
        unit=vm,
        machine=vm,
        policy=POLICY,
        booted_at=0.0,
        poll_s=POLL_S,
        retry_s=5.0,
        clock=vm.clock,
    )


def pass_time(vm: FakeVm, watch: Watch, until: float) -> None:
    """Let the switch do its steps until a moment, or until Azure takes the machine."""
    while vm.now < until and vm.gone_at is None:
        vm.now += watch.step()


@pytest.fixture(name="vm")
def _vm():
    return FakeVm()


@pytest.fixture(name="watch")
def _watch(vm):
    return watch_over(vm)


class TestWatch:
    def test_closes_the_door_and_deallocates_when_the_lease_is_over(self, vm, watch):
        vm.lease_until = 300.0

        pass_time(vm, watch, 1000.0)

        assert vm.acts == ["closed", "deallocated"]
        assert 300.0 <= vm.gone_at <= 300.0 + POLL_S

    def test_is_stopped_by_a_lease_that_came_after_its_last_look(self, vm, watch):
        vm.lease_until = 0.0
        close_door = vm.close_door
        vm.close_door = lambda **more: (vm.renew(500.0), close_door(**more))[1]

        pass_time(vm, watch, 400.0)

        assert vm.acts == ["kept open"]

    def test_numbers_its_drains_anew(self, vm, watch):
        vm.lease_until = 0.0
        close_door = vm.close_door

        def close_while_busy(**more):
            vm.jobs = ["a"]
            answer = close_door(**more)
            vm.jobs = []
            return answer

        vm.close_door = close_while_busy
        pass_time(vm, watch, 500.0)

        assert len(vm.drains) > 10
        assert vm.drains == sorted(set(vm.drains))

    def test_stops_a_hung_agent_before_the_machine_goes(self, vm, watch):
        vm.lease_until = 300.0
        pass_time(vm, watch, 200.0)
        vm.mood = "silent"

        pass_time(vm, watch, 1000.0)

        assert vm.acts == ["stopped", "deallocated"]
        assert 300.0 <= vm.gone_at <= 300.0 + POLL_S

    def test_deallocates_although_the_hung_agent_can_not_be_stopped(self, vm, watch):
        vm.mood, vm.stop_fails = "silent", True

        pass_time(vm, watch, 1000.0)

        assert vm.acts == ["not stopped", "deallocated"]

    def test_forgives_an_agent_that_is_only_started_again(self, vm, watch):
        vm.lease_until = 50.0
        vm.jobs = ["a"]
        for _ in range(20):
            vm.mood = "silent"
            pass_time(vm, watch, vm.now + 2 * POLL_S)
            vm.mood = "well"
            pass_time(vm, watch, vm.now + POLL_S)

        assert vm.acts == []

    def test_warns_of_the_hard_cap_and_then_takes_the_machine_with_its_jobs(
        self, vm, watch, caplog
    ):
        vm.jobs = ["a"]
        vm.lease_until = 1e9
        caplog.set_level(logging.WARNING)

        pass_time(vm, watch, 1e6)

        assert vm.acts == ["stopped", "deallocated"]
        assert POLICY.max_uptime_s <= vm.gone_at <= POLICY.max_uptime_s + POLL_S
        warning, verdict = caplog.records[:2]
        assert "hard cap on uptime is near" in warning.getMessage()
        assert warning.jobs == ["a"]
        assert warning.uptime_s < POLICY.max_uptime_s
        assert "hard cap on uptime is reached" in verdict.getMessage()

    def test_takes_a_machine_at_the_hard_cap_whose_agent_will_not_stop(self, vm, watch):
        vm.jobs, vm.stop_fails = ["a"], True

        pass_time(vm, watch, 1e6)

        assert vm.acts == ["not stopped", "deallocated"]

    def test_leaves_an_agent_that_refuses_its_token_to_the_hard_cap(self, vm, watch):
        vm.mood = "refusing"

        pass_time(vm, watch, 1e6)

        assert vm.acts == ["stopped", "deallocated"]
        assert vm.gone_at >= POLICY.max_uptime_s

    def test_asks_azure_until_it_agrees_with_growing_pauses(self, vm, watch):
        vm.is_closed = True
        vm.refusals = [ArmError("no") for _ in range(10)]
        pauses = [watch.step() for _ in range(10)]

        pass_time(vm, watch, 1.0)

        assert pauses == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, *[MAX_PAUSE_S] * 4]
        assert vm.acts == ["refused"] * 10 + ["deallocated"]

    def test_waits_as_long_as_azure_asks_within_reason(self, vm, watch):
        vm.is_closed = True
        vm.refusals = [
            ArmError("later", retry_after_s=42.0),
            ArmError("much later", retry_after_s=86400.0),
            ImdsError("no token"),
        ]

        assert [watch.step() for _ in range(3)] == [42.0, MAX_PAUSE_S, 20.0]

    def test_asks_again_when_the_machine_is_still_there(self, vm, watch):
        vm.is_closed = True

        assert watch.step() == AGAIN_AFTER_S
        assert watch.step() == AGAIN_AFTER_S
        assert vm.acts == ["deallocated", "deallocated"]

    @given(st.data())
    def test_loses_no_job_and_leaves_no_machine_on_whatever_happens(self, data):
        vm = FakeVm()
        watch = watch_over(vm)
        happenings = st.sampled_from(
            ["lease", "job", "job over", "silent", "well", "restart", "nothing"]
        )
        step = watch.step

        while vm.now < POLICY.max_uptime_s + 200.0 and vm.gone_at is None:
            match data.draw(happenings):
                case "lease":
                    vm.renew(data.draw(st.sampled_from([20.0, 300.0])))
                case "job" if not vm.is_closed and not vm.is_stopped and vm.mood == "well":
                    vm.jobs.append("a")
                case "job over":
                    vm.jobs.clear()
                case "silent":
                    vm.mood = "silent"
                case "well":
                    vm.mood = "well"
                case "restart":
                    vm.lease_until = None
                    vm.jobs.clear()
            held, was_well = list(vm.jobs), vm.mood == "well" and not vm.is_stopped
            vm.now += step() + data.draw(st.sampled_from([0.0, 30.0]))
            if held and was_well and vm.gone_at is not None:
                assert vm.gone_at >= POLICY.max_uptime_s

        assert vm.gone_at is not None
        assert "closed" in vm.acts or "stopped" in vm.acts
        assert vm.acts.index("deallocated") == len(vm.acts) - 1

    @given(st.lists(st.sampled_from(["well", "silent"]), max_size=30), st.integers(0, 300))
    def test_ends_within_a_few_looks_of_the_lease_once_nobody_renews_it(self, moods, ttl_s):
        vm = FakeVm()
        watch = watch_over(vm)
        vm.lease_until = float(ttl_s)
        for mood in moods:
            vm.mood = mood
            pass_time(vm, watch, vm.now + POLL_S)
        settled_at = max(vm.now, vm.lease_until, POLICY.boot_grace_s)

        pass_time(vm, watch, 1e6)

        assert vm.gone_at is not None
        assert vm.gone_at <= settled_at + 3 * POLL_S
