"""The hard cap on a VM's uptime: the pool drains before it, and no job is cut off."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.pool import (
    Deallocated,
    DeallocationAccepted,
    Drained,
    DrainRefused,
    Prewarm,
    Release,
    RetireVm,
    VmPhase,
    VmReady,
)
from orchestrator.domain.pool.cap import Cap, read_cap
from orchestrator.domain.pool.view import view_place, view_pool
from tests.unit.orchestrator.domain.pool.bench import BEGIN, Bench
from tests.unit.orchestrator.domain.pool.world import World

CAP_S = 43200.0
WAKE_S = 200.0
LONGEST_S = 90.0 + 1800.0 + 600.0
"""An offer that is claimed late, the longest job, and the grace until it is stopped."""
OFF_BY = BEGIN + CAP_S
LAST_OFFER = OFF_BY - LONGEST_S
OVER_SOON = "its 12 h of uptime are over soon"


def told(off_by: float = OFF_BY, max_uptime_s: float = CAP_S) -> dict[str, float]:
    return {"off_by": off_by, "max_uptime_s": max_uptime_s}


def begin(*names: str, **numbers) -> Bench:
    """Give a pool whose first VM has just booted and runs a job."""
    pool = Bench(*names, **numbers)
    pool.enqueue("first")
    pool.now += WAKE_S
    pool.bring_up(**told())
    pool.acquire("first")
    return pool


def near_cap(*names: str, **numbers) -> Bench:
    """Give a pool whose first VM holds its last job: it has been up for too long for another."""
    pool = begin(*names, **numbers)
    pool.now += 30
    pool.tell(Release(job_id="first", fence=1, ran=True))
    pool.now = LAST_OFFER - 1
    pool.enqueue("last")
    pool.acquire("last")
    pool.now = LAST_OFFER
    return pool


class TestReadCap:
    def test_gives_the_moment_by_which_the_vm_is_off(self):
        status = {"cap_left_s": 600.0, "max_uptime_s": 43200.0}

        assert read_cap(status, BEGIN) == Cap(BEGIN + 600, 43200)

    def test_is_unknown_of_an_older_agent(self):
        assert read_cap({"vm": "gpu-1"}, BEGIN) == Cap(None, 0)


class TestOffer:
    def test_is_made_while_the_longest_job_ends_before_the_cap(self):
        pool = begin()
        pool.now = LAST_OFFER - 1

        assert pool.enqueue("b")["answer"] == "slot"

    def test_is_not_made_when_the_longest_job_would_be_cut_off(self):
        pool = near_cap()

        assert pool.enqueue("b")["answer"] == "wait"

    def test_follows_the_cap_that_was_last_observed(self):
        pool = begin()
        pool.now += 60
        pool.tick(pool.see(power="running", agent="up", jobs=[], **told(pool.now + 600)))

        assert pool.enqueue("b")["answer"] == "wait"

    def test_is_made_by_an_agent_that_names_no_cap(self):
        pool = Bench()
        pool.run("a")
        pool.now += CAP_S
        pool.tick(pool.see(power="running", agent="up", jobs=[["a", 1]]))

        assert pool.vm().off_by is None
        assert pool.enqueue("b")["answer"] == "slot"

    def test_is_made_after_a_wake_however_short_the_cap(self):
        """Otherwise a VM would be woken, refuse every job, and be woken again for ever."""
        pool = Bench()
        pool.enqueue("a")
        booted_at = pool.now
        pool.now += pool.policy.starting_s - 1
        pool.bring_up(**told(booted_at + 1800, 1800))

        assert pool.acquire("a")["answer"] == "slot"

    def test_ends_with_the_time_of_a_wake_if_the_cap_is_short(self):
        pool = Bench()
        pool.enqueue("a")
        pool.bring_up(**told(BEGIN + 3000, 3000))
        pool.acquire("a")
        pool.now = BEGIN + pool.policy.starting_s

        assert pool.enqueue("b")["answer"] == "wait"


class TestDrain:
    def test_waits_for_the_last_job(self):
        pool = near_cap()
        pool.enqueue("b")

        assert pool.phase() == "ready"

    def test_begins_with_the_end_of_the_last_job_although_others_wait(self):
        pool = near_cap()
        pool.enqueue("b")
        pool.tell(Release(job_id="last", fence=1, ran=True))

        assert [retire.vm for retire in pool.issued(RetireVm)] == ["gpu-1"]
        assert (pool.phase(), pool.vm().reason) == ("draining", OVER_SOON)

    def test_is_not_taken_back_for_jobs_that_wait(self):
        pool = near_cap()
        pool.enqueue("b")
        pool.tell(Release(job_id="last", fence=1, ran=True))
        vm = pool.vm()

        reply = pool.tell(Drained(vm=vm.name, epoch=vm.epoch, drain=vm.drain, receipt="r"))

        assert reply == {"answer": "deallocate"}

    def test_is_not_taken_back_for_warmth(self):
        pool = near_cap()
        pool.tell(Prewarm(vms=1, until=OFF_BY + 7200))
        pool.tell(Release(job_id="last", fence=1, ran=True))
        vm = pool.vm()

        reply = pool.tell(Drained(vm=vm.name, epoch=vm.epoch, drain=vm.drain, receipt="r"))

        assert reply == {"answer": "deallocate"}

    def test_lets_the_reconciler_look_before_it_is_repeated(self):
        """The look stops the job for which the agent refused; drains in a row would outrun it."""
        pool = near_cap()
        pool.tell(Release(job_id="last", fence=1, ran=True))
        vm = pool.vm()
        pool.tell(DrainRefused(vm=vm.name, epoch=vm.epoch, drain=vm.drain))
        assert pool.phase() == "ready"

        pool.now += pool.policy.look_awake_s
        pool.tick()

        assert pool.phase() == "draining"


class TestScaling:
    def test_wakes_another_vm_for_the_queue(self):
        pool = near_cap("gpu-1", "gpu-2")

        pool.enqueue("b")

        assert pool.phase("gpu-2") == "starting"

    def test_wakes_another_vm_while_the_first_is_drained(self):
        pool = near_cap("gpu-1", "gpu-2")
        pool.tell(Release(job_id="last", fence=1, ran=True))
        assert pool.phase() == "draining"

        pool.enqueue("b")

        assert pool.phase("gpu-2") == "starting"

    def test_wakes_another_vm_for_warmth(self):
        pool = near_cap("gpu-1", "gpu-2")

        pool.tell(Prewarm(vms=1, until=OFF_BY + 7200))

        assert pool.phase("gpu-2") == "starting"

    def test_looks_when_the_vm_takes_its_last_job(self):
        pool = begin(look_awake_s=1e6)
        pool.now = LAST_OFFER - 500
        pool.tell(Release(job_id="first", fence=1, ran=True))
        pool.enqueue("b")
        pool.tick()

        assert pool.state.look_at == LAST_OFFER


class TestWake:
    def test_begins_with_no_cap_known(self):
        pool = near_cap()
        pool.enqueue("b")
        pool.tell(Release(job_id="last", fence=1, ran=True))
        vm = pool.vm()
        pool.tell(Drained(vm=vm.name, epoch=vm.epoch, drain=vm.drain, receipt="r"))
        pool.tell(DeallocationAccepted(vm=vm.name, epoch=vm.epoch, at=pool.now))
        pool.tell(Deallocated(vm=vm.name, epoch=vm.epoch))

        assert pool.phase() == "starting"
        assert (pool.vm().off_by, pool.vm().max_uptime_s) == (None, 0)

    def test_ends_with_the_cap_that_the_agent_names(self):
        pool = Bench()
        pool.enqueue("a")
        pool.bring_up(**told())

        assert (pool.vm().off_by, pool.vm().max_uptime_s) == (OFF_BY, CAP_S)

    def test_keeps_the_cap_when_a_drained_vm_is_reopened(self):
        pool = begin()
        pool.tell(Release(job_id="first", fence=1, ran=True))
        retire = pool.idle_out()
        pool.enqueue("b")

        reply = pool.tell(
            Drained(vm=retire.vm, epoch=retire.epoch, drain=retire.drain, receipt="r")
        )

        assert reply == {"answer": "reopened"}
        assert pool.vm().off_by == OFF_BY

    def test_fails_for_a_vm_that_had_been_on_for_too_long(self):
        """So that its circuit opens, should every wake find it like that."""
        pool = Bench()
        pool.enqueue("a")
        vm = pool.vm()
        pool.bring_up(**told(pool.now + 600))

        assert vm.failures < pool.vm().failures
        assert pool.phase() == "deallocating"
        assert pool.vm().reason == f"uptime_over: {OVER_SOON}"
        pool.tell(Deallocated(vm="gpu-1", epoch=vm.epoch))
        assert pool.phase() == "no_capacity"


class TestView:
    def test_says_why_a_busy_vm_takes_no_more_jobs(self):
        pool = near_cap()

        (vm,) = view_pool(pool.state, pool.now, pool.policy)["vms"]

        assert (vm["why"], vm["stops_at"]) == (OVER_SOON, None)

    def test_says_when_an_idle_vm_stops_for_its_cap(self):
        pool = begin()
        pool.tell(Prewarm(vms=1, until=OFF_BY + 7200))
        pool.tell(Release(job_id="first", fence=1, ran=True))

        (vm,) = view_pool(pool.state, pool.now, pool.policy)["vms"]

        assert (vm["why"], vm["stops_at"]) == (OVER_SOON, LAST_OFFER)

    def test_says_that_a_job_waits_for_a_vm(self):
        pool = near_cap()
        reply = pool.enqueue("b")

        place = view_place(pool.state, "b", pool.now, pool.policy)

        assert (reply["waiting_for"], reply["vm"]["why"]) == ("vm", OVER_SOON)
        assert (place["waiting_for"], place["vm"]["why"]) == ("vm", OVER_SOON)

    def test_counts_the_cold_start_into_a_waiting_job_s_estimate(self):
        pool = near_cap()
        reply = pool.enqueue("b")

        (job_s,) = pool.state.learned["job_s"]
        assert reply["estimated_seconds_left"] == WAKE_S + job_s

    def test_names_the_vm_that_comes_up_and_not_the_one_that_goes(self):
        pool = near_cap("gpu-1", "gpu-2")

        assert pool.enqueue("b")["vm"]["name"] == "gpu-2"


class TestSustainedLoad:
    @pytest.mark.parametrize("vms", [("gpu-1",), ("gpu-1", "gpu-2")])
    def test_of_thirteen_hours_has_no_job_cut_off(self, vms):
        pool = Bench(*vms)
        pool.tick()
        world = World(pool, cap_s=CAP_S, plan_job=lambda: 900.0)
        jobs = [f"job-{number}" for number in range(13 * 3600 // 600)]
        for number, job in enumerate(jobs):
            world.later(number * 600.0, lambda job=job: world.bring_job(job, 1))

        world.run(20 * 3600.0)

        assert world.cut_off == []
        assert sorted(world.finished) == sorted(jobs)
        assert len(pool.woken()) > 1
        assert pool.phase() in (VmPhase.DEALLOCATED, VmPhase.NO_CAPACITY)

    @settings(max_examples=15, deadline=None)
    @given(
        cap_s=st.floats(LONGEST_S + 1200.0, 2 * CAP_S),
        durations=st.lists(st.floats(10.0, 2399.0), min_size=1, max_size=5),
    )
    def test_has_no_job_cut_off_by_any_cap_that_can_be_kept(self, cap_s, durations):
        pool = Bench()
        pool.tick()
        lasts = itertools.cycle(durations)
        world = World(pool, cap_s=cap_s, plan_job=lambda: next(lasts))
        for number in range(40):
            world.later(number * 300.0, lambda job=f"job-{number}": world.bring_job(job, 1))

        world.run(100_000.0)

        assert world.cut_off == []
        assert len(world.finished) == 40

    def test_goes_on_under_a_cap_that_is_too_short(self):
        pool = Bench()
        pool.tick()
        world = World(pool, cap_s=900.0)
        for number in range(100):
            world.later(number * 60.0, lambda job=f"job-{number}": world.bring_job(job, 1))

        world.run(20_000.0)

        assert len(world.finished) == 100


def test_a_wake_that_finds_an_old_boot_again_and_again_opens_the_circuit():
    pool = Bench()
    pool.enqueue("a")
    for _ in range(pool.policy.max_failures):
        epoch = pool.bring_up(**told(pool.now + 600))
        pool.tell(VmReady(vm="gpu-1", epoch=epoch, **told(pool.now + 600)))
        pool.tell(DeallocationAccepted(vm="gpu-1", epoch=epoch, at=pool.now))
        pool.tell(Deallocated(vm="gpu-1", epoch=epoch))
        pool.now += 1000
        pool.acquire("a")

    assert pool.phase() == "broken"
