"""The pool's invariants over random histories: duplicated, late, reordered and made-up commands.

What remains at the end of a history is handed to a world that works, or to one in which nobody
answers any more; either way the pool must come to rest.
"""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from orchestrator.domain.fence import MAX_TRIES, ends_all, fence_ending_all_before, fence_of
from orchestrator.domain.pool import (
    Acquire,
    Cancel,
    Command,
    Confirm,
    Deallocated,
    DeallocationAccepted,
    Drained,
    DrainRefused,
    Effect,
    Enqueue,
    JobSeen,
    Look,
    PowerAsked,
    PowerRefused,
    Prewarm,
    Release,
    ResetVm,
    RetireVm,
    StartAccepted,
    StartFailed,
    Tick,
    VmLost,
    VmPhase,
    VmReady,
    VmRunning,
    VmSeen,
    decide,
)
from orchestrator.domain.pool.effects import effect_to_json
from orchestrator.domain.pool.view import view_place, view_pool
from tests.unit.orchestrator.domain.pool.bench import BEGIN, POWERS, Bench, frozen
from tests.unit.orchestrator.domain.pool.checks import OFF, check_staleness, check_step
from tests.unit.orchestrator.domain.pool.world import World

THOROUGHNESS = int(os.environ.get("POOL_TEST_THOROUGHNESS", "1"))
"""Multiplies the number of random histories."""

VMS = ("gpu-1", "gpu-2", "gpu-3")
JOBS = tuple("abcdefg")
STEPS_S = (0.0, 0.5, 5.0, 10.0, 31.0, 61.0, 91.0, 301.0, 601.0, 905.0, 1201.0, 2401.0)
ASKED = (PowerAsked, PowerRefused, StartAccepted, DeallocationAccepted)
VM_COMMANDS = (VmRunning, VmReady, Deallocated, VmLost, *ASKED)

vms = st.sampled_from(VMS)
jobs = st.sampled_from(JOBS)
booleans = st.booleans()
caps = st.one_of(
    st.just({}),
    st.tuples(st.sampled_from([43200.0, 7200.0, 3000.0, 900.0]), st.floats(0.0, 1.0)),
)
"""What an agent says of its cap: nothing, or the whole and the share that is left."""


class PoolMachine(RuleBasedStateMachine):
    """The pool among senders that are late, double and sometimes wrong."""

    @initialize(names=st.sampled_from([VMS[:1], VMS[:2], VMS]))
    def begin(self, names: tuple[str, ...]) -> None:
        self.bench = Bench(*names)
        self.names = names
        self.fences: dict[str, int] = {}
        self.told: list[Command] = []
        self.sightings: list[VmSeen] = []
        self.bench.tell(Tick(generation=1))

    def tell(self, command: Command) -> dict:
        before, now, policy = self.bench.state, self.bench.now, self.bench.policy
        untouched = frozen(before)
        reply = self.bench.tell(command)
        assert before == untouched, "the state handed in was changed"
        assert decide(before, command, now, policy) == self.bench.last, "unequal decisions"
        check_step(before, command, self.bench.last, now, policy)
        check_staleness(before, command, self.bench.last, now, policy)
        self.told.append(command)
        return reply

    def cap(self, drawn) -> dict[str, float]:
        if not drawn:
            return {}
        whole_s, share = drawn
        return {"off_by": self.bench.now + share * whole_s, "max_uptime_s": whole_s}

    def name(self, index: int) -> str:
        return self.names[index % len(self.names)]

    @rule(seconds=st.sampled_from(STEPS_S))
    def pass_time(self, seconds: float) -> None:
        self.bench.now += seconds

    @rule(job=jobs, priority=st.sampled_from([0, 0, 0, 1, -1]))
    def a_job_comes(self, job: str, priority: int) -> None:
        if job not in self.fences:
            self.fences[job] = fence_of(int(self.bench.now * 1000), 1)
        self.tell(Enqueue(job_id=job, fence=self.fences[job], round=1, priority=priority))

    @rule(job=jobs, round_number=st.integers(1, 4))
    def a_job_asks(self, job: str, round_number: int) -> None:
        if job in self.fences:
            before = self.bench.state
            fence = self.fences[job]
            reply = self.tell(Acquire(job_id=job, fence=fence, round=round_number))
            over = before.over.get(job, 0)
            is_over = fence <= over or ends_all(over)
            if is_over:
                assert reply["answer"] in ("over", "cancelled")
            elif reply["answer"] == "slot":
                vm = self.bench.vm(reply["vm"])
                assert vm.epoch == reply["epoch"]
                assert vm.slots[job].claimed
                assert vm.slots[job].fence == fence
            else:
                assert reply["answer"] in ("wait", "over")

    @rule(job=jobs, ran=booleans, unreachable=booleans, goes_on=booleans)
    def a_job_releases(self, job: str, *, ran: bool, unreachable: bool, goes_on: bool) -> None:
        if job not in self.fences:
            return
        fence = self.fences[job]
        self.tell(Release(job_id=job, fence=fence, ran=ran, vm_unreachable=unreachable))
        if goes_on and fence % 100 < MAX_TRIES - 1:
            self.fences[job] = fence + 1
        else:
            del self.fences[job]

    @rule(job=jobs)
    def a_job_is_run_again_under_its_id(self, job: str) -> None:
        self.bench.now += 1
        self.fences[job] = fence_of(int(self.bench.now * 1000), 1)

    @rule(job=jobs)
    def a_job_is_cancelled(self, job: str) -> None:
        fence = fence_ending_all_before(self.bench.now)
        self.tell(Cancel(job_id=job, fence=fence))
        self.fences.pop(job, None)

    @rule(index=st.integers(0, 2), kind=st.sampled_from(VM_COMMANDS), old=st.integers(0, 5))
    def a_vm_is_heard_of(self, index: int, kind: type, old: int) -> None:
        vm = self.bench.vm(self.name(index))
        more = {VmLost: {"reason": "lost"}}.get(kind, {})
        if kind in ASKED:
            more = {"at": self.bench.now}
        if kind is PowerAsked:
            more["drain"] = vm.drain
        epoch = vm.epoch - (old == 0)
        self.tell(kind(vm=vm.name, epoch=epoch, **more))

    @rule(index=st.integers(0, 2), cap=caps)
    def a_wake_goes_well(self, index: int, cap) -> None:
        vm = self.bench.vm(self.name(index))
        if vm.phase is VmPhase.STARTING:
            epoch = vm.epoch
            self.tell(StartAccepted(vm=vm.name, epoch=epoch, at=self.bench.now))
            self.tell(VmRunning(vm=vm.name, epoch=epoch))
            self.tell(VmReady(vm=vm.name, epoch=epoch, **self.cap(cap)))

    @rule(index=st.integers(0, 2), is_capacity=booleans, may_be_on=booleans)
    def a_wake_fails(self, index: int, *, is_capacity: bool, may_be_on: bool) -> None:
        vm = self.bench.vm(self.name(index))
        failed = StartFailed(
            vm=vm.name,
            epoch=vm.epoch,
            code="Failed",
            is_capacity=is_capacity,
            may_be_on=may_be_on,
        )
        self.tell(failed)

    @precondition(lambda self: any(isinstance(e, RetireVm) for e in self.bench.effects))
    @rule(data=st.data(), drained=booleans)
    def a_drain_is_answered(self, data, *, drained: bool) -> None:
        retires = [e for e in self.bench.effects if isinstance(e, RetireVm)][-4:]
        asked = data.draw(st.sampled_from(retires))
        answer = {"vm": asked.vm, "epoch": asked.epoch, "drain": asked.drain}
        self.tell(Drained(**answer, receipt="r") if drained else DrainRefused(**answer))

    @precondition(lambda self: self.bench.effects)
    @rule(data=st.data())
    def an_effect_is_confirmed(self, data) -> None:
        effects: list[Effect] = [e for e in self.bench.effects if not isinstance(e, Look)][-6:]
        if effects:
            effect = data.draw(st.sampled_from(effects))
            self.tell(Confirm(effects=[effect_to_json(effect)]))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def a_command_comes_again(self, data) -> None:
        self.tell(data.draw(st.sampled_from(self.told[-30:])))

    @rule(
        index=st.integers(0, 2),
        power=st.sampled_from(POWERS),
        agent=st.sampled_from([None, "up", "closed", "unreachable"]),
        holds=st.sets(jobs, max_size=3),
        cap=caps,
    )
    def a_vm_is_seen(self, index: int, power, agent, holds: set[str], cap) -> None:
        vm = self.bench.vm(self.name(index))
        live = [[job, self.fences.get(job, 7)] for job in sorted(holds)]
        told = {"jobs": live, **self.cap(cap)} if agent == "up" else {}
        seen = self.bench.see(vm.name, power=power, agent=agent, **told)
        self.sightings.append(seen)

    @rule(
        late=st.integers(0, 3),
        generation=st.sampled_from([None, 0, 1]),
        gone=st.sets(jobs),
        is_missing=booleans,
    )
    def the_reconciler_ticks(
        self, late: int, generation: int | None, gone: set[str], *, is_missing: bool
    ) -> None:
        seen = self.sightings[-1 - late :][: len(self.names)]
        number = None if generation is None else self.bench.state.generation - 1 + generation
        jobs = [
            JobSeen(job_id=job, fence=self.fences[job])
            for job in sorted(gone)
            if job in self.fences
        ]
        self.tell(
            Tick(generation=number, seen=seen, **{"missing" if is_missing else "ended": jobs})
        )

    @rule(count=st.integers(0, 3), for_s=st.sampled_from([0.0, 600.0, 7200.0]))
    def an_operator_prewarms(self, count: int, for_s: float) -> None:
        self.tell(Prewarm(vms=count, until=self.bench.now + for_s))

    @rule(index=st.integers(0, 2))
    def an_operator_resets_a_vm(self, index: int) -> None:
        self.tell(ResetVm(vm=self.name(index)))

    @rule()
    def somebody_looks(self) -> None:
        view = view_pool(self.bench.state, self.bench.now, self.bench.policy)
        assert [vm["name"] for vm in view["vms"]] == list(self.names)
        for job in JOBS:
            view_place(self.bench.state, job, self.bench.now, self.bench.policy)

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        for agents in ("up", "mute", "stubborn"):
            self.come_to_rest(agents)

    def come_to_rest(self, agents: str) -> None:
        bench = Bench(*self.names)
        bench.state, bench.now = frozen(self.bench.state), self.bench.now
        world = World(bench, agents=agents, cap_s=7200.0)
        if agents == "up":
            for job, fence in self.fences.items():
                world.bring_job(job, fence)

        world.run(8 * 3600.0)

        state = bench.state
        left = [vm.phase for vm in state.vms.values() if vm.phase not in OFF]
        assert left == [], f"awake for ever: {left}"
        works = any(vm.phase is not VmPhase.BROKEN for vm in state.vms.values())
        if agents == "up" and works:
            cancelled = {
                job
                for job, fence in self.fences.items()
                if fence <= state.over[job] or ends_all(state.over[job])
            }
            assert set(world.finished) | cancelled == set(self.fences), "a job was never run"
        if works or agents != "up":
            assert state.queue == []
            assert state.outbox == {}
            assert state.look_at > bench.now - bench.policy.look_asleep_s


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=60 * THOROUGHNESS, stateful_step_count=40, deadline=None)

arrivals = st.lists(st.integers(0, 4000), min_size=1, max_size=12)
starts = st.lists(st.sampled_from(["ok", "ok", "no_capacity", "fails"]), max_size=6)


class TestLedger:
    @settings(max_examples=40 * THOROUGHNESS, deadline=None)
    @given(arrivals=arrivals, plans=starts)
    def test_billed_seconds_equal_those_of_the_meter(self, arrivals, plans):
        """6: to the second for what the pool itself began and ended."""
        bench = Bench(*VMS[:2])
        bench.tick()
        left = list(plans)
        world = World(bench, plan_start=lambda: left.pop() if left else "ok")
        for number, at in enumerate(arrivals):
            world.later(at, lambda job=f"job-{number}": world.bring_job(job, 1))

        world.run(30_000.0)

        assert len(world.finished) == len(arrivals)
        for name, machine in world.machines.items():
            account = bench.state.accounts.get(name)
            billed_s = account.billed_s if account else 0.0
            assert billed_s == pytest.approx(machine.billed_s, abs=1e-3)
            assert account is None or account.estimated_s == 0
            assert account is None or account.cost_usd == pytest.approx(billed_s / 1000)

    @settings(max_examples=40 * THOROUGHNESS, deadline=None)
    @given(
        arrivals=arrivals,
        meddling=st.lists(st.tuples(st.integers(0, 9000), st.booleans()), min_size=1, max_size=4),
    )
    def test_what_others_start_and_stop_is_metered_within_a_tick(self, arrivals, meddling):
        """6: within one tick for what the pool could only discover."""
        bench = Bench(*VMS[:1])
        bench.tick()
        world = World(bench)
        machine = world.machines["gpu-1"]
        for number, at in enumerate(arrivals):
            world.later(at, lambda job=f"job-{number}": world.bring_job(job, 1))
        for at, starts in meddling:
            switch = machine.switch_on if starts else machine.switch_off
            world.later(at, lambda switch=switch: switch(bench.now))

        world.run(40_000.0)

        account = bench.state.accounts.get("gpu-1")
        billed_s = account.billed_s if account else 0.0
        error_s = abs(billed_s - machine.billed_s)
        assert error_s <= len(meddling) * (bench.policy.look_asleep_s + 1)
        assert machine.power == "deallocated"

    def test_a_clock_that_goes_back_costs_nothing(self):
        bench = Bench()
        bench.run("a")
        epoch = bench.vm().epoch
        bench.tell(Release(job_id="a", fence=1, vm_unreachable=True))

        bench.tell(DeallocationAccepted(vm="gpu-1", epoch=epoch, at=BEGIN - 50))

        assert bench.state.accounts["gpu-1"].billed_s == 0
