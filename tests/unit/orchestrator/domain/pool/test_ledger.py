from datetime import UTC, datetime
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.pool import (
    Candidate,
    Deallocated,
    DeallocationAccepted,
    Drained,
    Enqueue,
    PoolPolicy,
    PoolState,
    PowerAsked,
    PowerRefused,
    RecordInterval,
    Release,
    StartAccepted,
    StartFailed,
    Tick,
    VmReady,
    VmRunning,
    VmSeen,
    decide,
)
from orchestrator.domain.pool.view import view_pool

PRICE = 3.6
"""USD an hour: a tenth of a cent a second."""
POLICY = PoolPolicy(
    candidates=(
        Candidate(
            name="gpu",
            resource_group="r",
            size="s",
            region="e",
            zone=None,
            price_per_hour_usd=PRICE,
            agent_url="http://gpu",
        ),
    ),
    idle_window_s=300.0,
)


class Pool:
    """One VM's pool, told one command after the other at stated moments."""

    def __init__(self, now: float = 1.8e9) -> None:
        self.began_at = self.now = now
        self.state, self.intervals = PoolState(), []

    def at(self, second: float, command) -> dict:
        self.now = self.began_at + second
        decision = decide(self.state, command, self.now, POLICY)
        self.state = PoolState.from_json(decision.state.to_json())
        self.intervals += [e for e in decision.effects if isinstance(e, RecordInterval)]
        return decision.reply

    @property
    def epoch(self) -> int:
        return self.state.vms["gpu"].epoch

    def wake(self, *jobs: str) -> None:
        """Start at 0, running at 60, ready at 100."""
        for job in jobs:
            self.at(0, Enqueue(job_id=job, fence=101))
        self.at(0, StartAccepted(vm="gpu", epoch=self.epoch, at=self.now))
        self.at(60, VmRunning(vm="gpu", epoch=self.epoch))
        self.at(100, VmReady(vm="gpu", epoch=self.epoch))
        for job in jobs:
            self.at(100, Enqueue(job_id=job, fence=101))

    def look_on(self, second: float) -> None:
        """See the VM on, as every minute."""
        while self.now - self.began_at < second:
            at = min(second, self.now - self.began_at + POLICY.look_awake_s)
            vm = self.state.vms["gpu"]
            seen = VmSeen(
                vm="gpu",
                epoch=vm.epoch,
                phase_since=vm.phase_since,
                seen_at=self.began_at + at,
                power="running",
            )
            self.at(at, Tick(generation=1, seen=[seen]))

    def stop(self, second: float) -> None:
        self.look_on(second)
        self.at(second + 1, Drained(vm="gpu", epoch=self.epoch, drain=1, receipt="r"))
        accepted = DeallocationAccepted(vm="gpu", epoch=self.epoch, at=self.began_at + second + 2)
        self.at(second + 3, accepted)
        self.at(second + 30, Deallocated(vm="gpu", epoch=self.epoch))


class TestLedger:
    def test_gives_every_second_of_a_wake_to_one_part(self):
        pool = Pool()
        pool.wake("a")
        pool.at(150, Release(job_id="a", fence=101, ran=True))

        pool.stop(450)

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.parts == {"cold_start": 100, "job": 50, "idle": 302}
        assert interval.ended_at - interval.began_at == sum(interval.parts.values()) == 452
        assert interval.cost_usd == pytest.approx(0.452)
        account = pool.state.accounts["gpu"]
        assert (account.billed_s, account.estimated_s) == (452, 0)

    def test_tells_a_job_what_it_cost(self):
        pool = Pool()
        pool.wake("a")

        first = pool.at(150, Release(job_id="a", fence=101, ran=True))["cost"]
        pool.at(200, Enqueue(job_id="b", fence=101))
        second = pool.at(230, Release(job_id="b", fence=101, ran=True))["cost"]
        again = pool.at(240, Release(job_id="b", fence=101, ran=True))["cost"]

        assert first == {
            "usd": pytest.approx(0.150),
            "compute_seconds": 50,
            "cold_start_seconds": 100,
            "idle_seconds": 0,
        }
        assert second == {
            "usd": pytest.approx(0.080),
            "compute_seconds": 30,
            "cold_start_seconds": 0,
            "idle_seconds": 50,
        }
        assert again == second

    def test_shares_the_time_of_jobs_that_run_side_by_side(self):
        pool = Pool()
        pool.wake("a", "b")

        first = pool.at(140, Release(job_id="a", fence=101, ran=True))["cost"]
        second = pool.at(160, Release(job_id="b", fence=101, ran=True))["cost"]

        assert (first["compute_seconds"], second["compute_seconds"]) == (20, 40)
        assert (first["cold_start_seconds"], second["cold_start_seconds"]) == (50, 50)

    def test_calls_a_wake_that_came_to_nothing_a_failed_start(self):
        pool = Pool()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.at(0, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.now))
        pool.at(
            50, StartFailed(vm="gpu", epoch=pool.epoch, code="agent_not_ready", may_be_on=True)
        )
        pool.at(52, DeallocationAccepted(vm="gpu", epoch=pool.epoch, at=pool.now + 2))

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.parts["failed_start"] == 50
        assert "cold_start" not in interval.parts

    def test_leaves_a_failed_start_that_may_still_be_on_as_it_can_be_stored(self):
        pool = Pool()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.at(0, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.now))
        pool.at(
            50, StartFailed(vm="gpu", epoch=pool.epoch, code="agent_not_ready", may_be_on=True)
        )

        stored = orjson.loads(orjson.dumps(pool.state.to_json()))

        assert PoolState.from_json(stored) == pool.state

    def test_bills_until_it_was_found_off_what_was_stopped_before_its_start_was_answered(self):
        pool = Pool()
        pool.at(0, Enqueue(job_id="a", fence=101))
        vm = pool.state.vms["gpu"]
        pool.at(0, PowerAsked(vm="gpu", epoch=vm.epoch, drain=vm.drain, at=pool.now))
        for second, power in ((70, "running"), (140, "deallocated")):
            seen = VmSeen(vm="gpu", epoch=vm.epoch, phase_since=vm.phase_since, power=power)
            pool.at(second, Tick(generation=1, seen=[seen]))

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.ended_at - interval.began_at == 140
        assert interval.is_estimated

    def test_charges_nothing_for_a_start_that_found_no_host(self):
        pool = Pool()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.at(0, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.now))
        pool.at(
            9, StartFailed(vm="gpu", epoch=pool.epoch, code="AllocationFailed", is_capacity=True)
        )

        assert pool.intervals == []
        assert pool.state.accounts["gpu"].billed_s == 0

    def test_parts_a_wake_at_the_end_of_the_month(self):
        pool = Pool(datetime(2026, 11, 30, 23, 59, 0, tzinfo=UTC).timestamp())
        pool.wake("a")
        pool.at(150, Release(job_id="a", fence=101, ran=True))
        pool.stop(450)

        months = view_pool(pool.state, pool.now, POLICY)["vms"][0]["months"]

        assert months == {
            "2026-11": {"cold_start": 60},
            "2026-12": {"cold_start": 40, "job": 50, "idle": 302},
        }

    def test_shows_an_open_interval_as_it_grows(self):
        pool = Pool()
        pool.wake("a")

        view = view_pool(pool.state, pool.began_at + 130, POLICY)["vms"][0]

        assert view["billed_seconds"] == 130
        assert sum(view["months"]["2027-01"].values()) == 130

    def test_writes_nothing_for_a_command_that_changes_nothing_but_time(self):
        pool = Pool()
        pool.wake("a")

        decision = decide(pool.state, VmRunning(vm="gpu", epoch=1), pool.now + 5, POLICY)

        assert decision.state is pool.state


class Call(NamedTuple):
    """A call to ARM: whether it acts on it, whether its answer comes, and the pause after it."""

    acts: bool
    answers: bool
    pause_s: float


calls = st.lists(st.builds(Call, st.booleans(), st.booleans(), st.floats(0.1, 90)), max_size=6)
TICK_S = POLICY.look_awake_s


def pauses_s(calls: list[Call]) -> float:
    """Give the time between the first call and the last, and a bit for rounding."""
    return sum(call.pause_s for call in calls) + 1e-3


class Azure(Pool):
    """A pool whose calls to ARM may be lost on the way there or back, and the meter beside it."""

    power, metered_at = "deallocated", 0.0

    def ask(self, second: float, call: Call, *, wanted: str) -> float:
        """Make one call as the activity does; give the second after its pause."""
        vm, at = self.state.vms["gpu"], self.began_at + second
        asked = PowerAsked(vm="gpu", epoch=vm.epoch, drain=vm.drain, at=at)
        assert self.at(second, asked) == {"answer": "done"}
        if call.acts and self.power != wanted:
            self.power, self.metered_at = wanted, at
        accepted = StartAccepted if wanted == "starting" else DeallocationAccepted
        if call.acts and call.answers:
            self.at(second + 0.1, accepted(vm="gpu", epoch=vm.epoch, at=at))
        elif call.answers:
            self.at(second + 0.1, PowerRefused(vm="gpu", epoch=vm.epoch, at=at))
        return second + call.pause_s

    def look(self, second: float) -> None:
        vm = self.state.vms["gpu"]
        seen = VmSeen(
            vm="gpu",
            epoch=vm.epoch,
            phase_since=vm.phase_since,
            seen_at=self.began_at + second,
            power=self.power,
        )
        self.at(second, Tick(generation=1, seen=[seen]))


def drained() -> Azure:
    """Give a pool that is about to deallocate its VM: drained at 451 s, idle since 150 s."""
    pool = Azure()
    pool.wake("a")
    pool.power = "running"
    pool.at(150, Release(job_id="a", fence=101, ran=True))
    pool.at(450, Tick(generation=1))
    pool.at(451, Drained(vm="gpu", epoch=pool.epoch, drain=1, receipt="r"))
    return pool


class TestLostAnswers:
    """Invariant 6: to the second what the pool made, within a tick and marked what it found."""

    @given(calls=calls, has_tick=st.booleans())
    def test_a_start_begins_the_bill_when_it_was_taken_or_says_that_it_guesses(
        self, calls: list[Call], has_tick: bool
    ):
        pool = Azure()
        pool.at(0, Enqueue(job_id="a", fence=101))
        second = 0.2
        for call in calls:
            if pool.state.vms["gpu"].interval.began_at is None:
                second = pool.ask(second, call, wanted="starting")
        if has_tick:
            pool.look(second)
        if pool.state.vms["gpu"].interval.began_at is None:
            pool.ask(second, Call(acts=True, answers=True, pause_s=0), wanted="starting")

        vm = pool.state.vms["gpu"]
        lost = [call for call in calls if not call.answers]
        if vm.interval.is_estimated:
            assert lost
            assert abs(vm.interval.began_at - pool.metered_at) <= pauses_s(calls)
        else:
            assert vm.interval.began_at == pool.metered_at

    @given(calls=calls, has_tick=st.booleans())
    def test_a_deallocation_ends_the_bill_when_it_was_taken_or_says_that_it_guesses(
        self, calls: list[Call], has_tick: bool
    ):
        pool = Azure()
        pool.wake("a")
        pool.power = "running"
        pool.at(150, Release(job_id="a", fence=101, ran=True))
        pool.look_on(450)
        pool.at(451, Drained(vm="gpu", epoch=pool.epoch, drain=1, receipt="r"))
        second = 452.0
        for call in calls:
            if not pool.intervals:
                second = pool.ask(second, call, wanted="deallocating")
        if has_tick:
            pool.look(second)
        if not pool.intervals:
            pool.ask(second, Call(acts=True, answers=True, pause_s=0), wanted="deallocating")

        interval = pool.intervals[0]
        seconds = interval.ended_at - interval.began_at
        assert sum(interval.parts.values()) == pytest.approx(seconds, abs=2e-3)
        if interval.is_estimated:
            is_unseen = pauses_s(calls) + 2 > 2 * TICK_S
            assert is_unseen or any(not call.answers for call in calls)
            assert abs(interval.ended_at - pool.metered_at) <= pauses_s(calls)
        else:
            assert interval.ended_at == pool.metered_at

    def test_a_call_that_has_begun_nothing_is_no_clue_to_when_a_later_start_was(self):
        pool = Azure()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.ask(1, Call(acts=False, answers=False, pause_s=0), wanted="starting")

        pool.look(300)
        pool.ask(310, Call(acts=True, answers=True, pause_s=0), wanted="starting")

        vm = pool.state.vms["gpu"]
        assert vm.interval.is_estimated
        assert vm.interval.began_at == pool.began_at + 300

    def test_a_look_does_not_keep_a_late_refusal_from_ending_the_doubt(self):
        pool = Azure()
        pool.at(0, Enqueue(job_id="a", fence=101))
        vm, at = pool.state.vms["gpu"], pool.began_at + 1
        pool.at(1, PowerAsked(vm="gpu", epoch=vm.epoch, drain=vm.drain, at=at))

        pool.look(75)
        pool.at(76, PowerRefused(vm="gpu", epoch=vm.epoch, at=at))
        pool.ask(100, Call(acts=True, answers=True, pause_s=0), wanted="starting")

        vm = pool.state.vms["gpu"]
        assert (vm.interval.began_at, vm.interval.is_estimated) == (pool.began_at + 100, False)

    def test_a_call_that_has_ended_nothing_is_no_clue_to_when_a_later_deallocation_was(self):
        pool = drained()
        pool.ask(452, Call(acts=False, answers=False, pause_s=0), wanted="deallocating")

        pool.look(800)
        pool.ask(810, Call(acts=True, answers=True, pause_s=0), wanted="deallocating")

        interval = pool.intervals[0]
        assert interval.is_estimated
        assert interval.ended_at == pool.began_at + 800


class Starting(Azure):
    """A pool whose start was taken at 0 s, seen under way at 12 s, and refused a host at 21 s.

    A second copy of the start was refused then, which had seen the first under way just before.
    """

    def __init__(self, *, power: str = "starting") -> None:
        super().__init__()
        self.at(0, Enqueue(job_id="a", fence=101))
        self.at(0.1, StartAccepted(vm="gpu", epoch=self.epoch, at=self.began_at))
        self.power = power
        self.look(12)
        self.power = "deallocated"

    def fail(self, *, may_be_on: bool = True) -> None:
        failed = StartFailed(
            vm="gpu",
            epoch=self.epoch,
            code="AllocationFailed",
            is_capacity=True,
            may_be_on=may_be_on,
        )
        self.at(21, failed)

    def ask_after_a_look(self, second: float, *, looked: float, start_failed: bool = True) -> None:
        vm = self.state.vms["gpu"]
        asked = PowerAsked(
            vm="gpu",
            epoch=vm.epoch,
            drain=vm.drain,
            at=self.began_at + second,
            found_off_at=self.began_at + looked,
            start_failed=start_failed,
        )
        assert self.at(second, asked) == {"answer": "done"}

    def find_failed(self, second: float) -> None:
        vm = self.state.vms["gpu"]
        seen = VmSeen(
            vm="gpu",
            epoch=vm.epoch,
            phase_since=vm.phase_since,
            seen_at=self.began_at + second,
            power="deallocated",
            failure="AllocationFailed",
        )
        self.at(second, Tick(generation=1, seen=[seen]))

    def off(self, second: float) -> None:
        at = self.began_at + second
        self.at(
            second,
            DeallocationAccepted(vm="gpu", epoch=self.epoch, at=at, may_have_been_off=True),
        )


class TestFailedStarts:
    """A start that failed never had a host, whoever is the first to find out."""

    def test_a_retirement_that_finds_that_the_start_has_failed_bills_nothing(self):
        pool = Starting()
        pool.fail()

        pool.ask_after_a_look(21.3, looked=21.2)
        pool.off(21.4)

        assert pool.intervals == []
        assert pool.state.accounts["gpu"].billed_s == 0

    def test_a_look_during_the_retirement_that_finds_so_bills_nothing(self):
        pool = Starting()
        pool.fail()

        pool.find_failed(21.2)

        assert pool.intervals == []
        assert pool.state.accounts["gpu"].billed_s == 0

    def test_a_vm_that_has_run_since_is_billed_until_its_later_start_was_found_failed(self):
        pool = Starting(power="running")
        pool.fail()

        pool.ask_after_a_look(21.3, looked=21.2)
        pool.off(21.3)

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.ended_at - interval.began_at == pytest.approx(21.3)
        assert interval.is_estimated

    def test_a_wake_that_has_run_and_then_fails_is_billed_until_it_was_found_off(self):
        pool = Starting(power="running")

        pool.fail(may_be_on=False)

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.ended_at - interval.began_at == 21
        assert interval.is_estimated

    def test_a_second_start_after_a_failed_one_is_billed_from_its_own_call(self):
        pool = Starting()

        pool.ask_after_a_look(21, looked=20.9)
        pool.at(21.1, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.began_at + 21))

        vm = pool.state.vms["gpu"]
        assert (vm.interval.began_at, vm.interval.is_estimated) == (pool.began_at + 21, False)

    def test_a_second_start_of_a_vm_that_somebody_stopped_is_billed_from_its_own_call(self):
        """Rehearsal, seed 131: the two were billed as one, the time in between, too."""
        pool = Starting(power="running")

        pool.ask_after_a_look(80, looked=79.9, start_failed=False)
        pool.at(80.1, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.began_at + 80))

        vm = pool.state.vms["gpu"]
        assert (vm.interval.began_at, vm.interval.is_estimated) == (pool.began_at + 80, False)
        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.began_at == pool.began_at
        assert interval.is_estimated

    def test_a_start_that_azure_does_not_show_yet_goes_on_being_billed(self):
        pool = Starting()

        pool.ask_after_a_look(13, looked=12.9, start_failed=False)
        pool.at(13.1, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.began_at + 13))

        vm = pool.state.vms["gpu"]
        assert (vm.interval.began_at, vm.interval.is_estimated) == (pool.began_at, True)
        assert pool.intervals == []

    def test_a_failed_start_leaves_no_call_without_an_answer(self):
        pool = Azure()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.ask(1, Call(acts=True, answers=False, pause_s=0), wanted="starting")
        pool.look(12)

        Starting.ask_after_a_look(pool, 21, looked=20.9)
        pool.at(21.1, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.began_at + 21))

        vm = pool.state.vms["gpu"]
        assert (vm.interval.began_at, vm.interval.is_estimated) == (pool.began_at + 21, False)

    def test_a_failure_seen_before_the_start_was_taken_is_that_of_an_older_one(self):
        pool = Starting()

        pool.ask_after_a_look(21, looked=-1)

        assert pool.state.vms["gpu"].interval.began_at == pool.began_at

    def test_a_failure_seen_before_a_late_second_call_was_taken_does_not_end_the_wake(self):
        pool = Azure()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.ask(1, Call(acts=False, answers=False, pause_s=0), wanted="starting")
        vm = pool.state.vms["gpu"]
        older = VmSeen(
            vm="gpu",
            epoch=vm.epoch,
            phase_since=vm.phase_since,
            seen_at=pool.began_at + 155,
            power="deallocated",
            failure="SkuNotAvailable",
        )

        pool.ask(156, Call(acts=True, answers=True, pause_s=0), wanted="starting")
        pool.at(156.2, Tick(generation=1, seen=[older]))

        vm = pool.state.vms["gpu"]
        assert vm.phase == "starting"
        assert vm.interval.began_at is not None

    def test_a_start_by_hand_of_a_vm_that_had_been_on_bills_nothing_if_it_fails(self):
        pool = Starting()
        pool.at(60, VmRunning(vm="gpu", epoch=pool.epoch))
        pool.at(100, VmReady(vm="gpu", epoch=pool.epoch))
        pool.power = "starting"
        pool.look(150)

        pool.find_failed(190)

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.ended_at - interval.began_at == 150


class TestBoots:
    """What Azure does not tell of a VM that is on at every look, its agent does."""

    def looked_at(self, *boots: str, every_s: float = 60) -> Azure:
        pool = Azure()
        pool.wake("a")
        for number, boot in enumerate(boots):
            vm = pool.state.vms["gpu"]
            seen = VmSeen(
                vm="gpu",
                epoch=vm.epoch,
                phase_since=vm.phase_since,
                seen_at=pool.began_at + 150 + every_s * number,
                power="running",
                agent="up",
                jobs=[["a", 101]],
                machine_boot=boot,
            )
            pool.at(150 + every_s * number, Tick(generation=1, seen=[seen]))
        return pool

    def test_another_one_makes_the_bill_an_estimate(self):
        assert self.looked_at("one", "two").state.vms["gpu"].interval.is_estimated

    @pytest.mark.parametrize("boots", [("one", "one"), ("one", "", "one"), ("", "")])
    def test_the_same_one_does_not(self, boots: tuple[str, ...]):
        assert not self.looked_at(*boots).state.vms["gpu"].interval.is_estimated

    def test_the_same_one_vouches_for_a_time_without_looks(self):
        assert not self.looked_at("one", "one", every_s=600).state.vms["gpu"].interval.is_estimated

    def test_that_made_the_vm_ready_is_the_first(self):
        pool = Azure()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.at(0, StartAccepted(vm="gpu", epoch=pool.epoch, at=pool.now))
        pool.at(100, VmReady(vm="gpu", epoch=pool.epoch, machine_boot="one"))

        assert pool.state.vms["gpu"].interval.machine_boot == "one"

    def test_of_the_interval_before_says_nothing(self):
        pool = self.looked_at("one")
        pool.at(300, Release(job_id="a", fence=101, ran=True))
        pool.stop(600)
        pool.at(700, Enqueue(job_id="b", fence=101))
        vm = pool.state.vms["gpu"]
        pool.at(701, StartAccepted(vm="gpu", epoch=vm.epoch, at=pool.began_at + 701))

        assert pool.state.vms["gpu"].interval.machine_boot == ""


class TestUnseen:
    """A VM at which nobody looks may be off and on again in between."""

    @pytest.mark.parametrize(
        ("looks", "is_estimated"),
        [((150, 210, 270), False), ((150, 400), True), ((150, 300, 700), True)],
    )
    def test_for_longer_than_two_looks_makes_the_bill_an_estimate(
        self, looks: tuple[int, ...], is_estimated: bool
    ):
        pool = Azure()
        pool.wake("a")
        pool.power = "running"

        for second in looks:
            pool.look(second)

        assert pool.state.vms["gpu"].interval.is_estimated == is_estimated

    def test_at_its_end_too(self):
        pool = drained()
        pool.ask(900, Call(acts=True, answers=True, pause_s=0), wanted="deallocating")

        assert pool.intervals[0].is_estimated


class TestFoundOff:
    """A VM that goes off by itself while the pool waits for it."""

    def starting(self) -> Azure:
        pool = Azure()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.ask(1, Call(acts=True, answers=True, pause_s=0), wanted="starting")
        return pool

    def test_a_start_that_somebody_undoes_is_given_up_within_a_tick(self):
        pool = self.starting()
        pool.power = "deallocated"

        pool.look(1 + TICK_S)

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.is_estimated
        assert interval.ended_at - interval.began_at == TICK_S
        assert pool.state.vms["gpu"].phase in ("deallocated", "starting")
        assert pool.state.vms["gpu"].interval.began_at is None

    def test_an_observation_from_before_the_start_ends_nothing(self):
        pool = self.starting()
        pool.power = "deallocated"

        pool.look(1 + TICK_S / 2)

        assert pool.state.vms["gpu"].phase == "starting"
        assert pool.state.vms["gpu"].interval.began_at == pool.began_at + 1

    @pytest.mark.parametrize("power", ["starting", "running", "stopping", "stopped"])
    def test_a_start_without_an_answer_is_billed_from_the_call_once_the_vm_is_seen(
        self, power: str
    ):
        pool = Azure()
        pool.at(0, Enqueue(job_id="a", fence=101))
        pool.ask(1, Call(acts=True, answers=False, pause_s=0), wanted="starting")
        pool.power = power

        pool.look(90)

        vm = pool.state.vms["gpu"]
        assert (vm.interval.began_at, vm.interval.is_estimated) == (pool.began_at + 1, True)

    def test_a_start_that_azure_gives_up_is_never_billed(self):
        pool = self.starting()
        vm = pool.state.vms["gpu"]
        seen = VmSeen(
            vm="gpu",
            epoch=vm.epoch,
            phase_since=vm.phase_since,
            power="deallocated",
            failure="AllocationFailed",
        )

        pool.at(1 + TICK_S, Tick(generation=1, seen=[seen]))

        assert pool.intervals == []
        assert pool.state.vms["gpu"].phase == "no_capacity"

    def test_a_vm_that_somebody_stops_is_not_billed_while_it_goes_off(self):
        pool = Azure()
        pool.wake("a")
        pool.power = "deallocating"

        pool.look(150)

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.is_estimated
        assert interval.ended_at == pool.began_at + 150
        assert pool.state.vms["gpu"].phase == "deallocating"
        assert pool.state.vms["gpu"].slots == {}

    def test_a_vm_that_comes_back_on_while_it_goes_off_is_asked_for_again(self):
        pool = drained()
        pool.ask(452, Call(acts=True, answers=True, pause_s=0), wanted="deallocating")
        pool.power = "running"

        pool.look(460)
        believed = pool.state.vms["gpu"]
        pool.look(453 + TICK_S)

        vm = pool.state.vms["gpu"]
        assert (believed.interval.began_at, believed.drain) == (None, 1)
        assert (vm.phase, vm.drain, vm.interval.is_estimated) == ("deallocating", 2, True)
        assert vm.interval.began_at == pool.began_at + 453 + TICK_S

    def test_a_vm_that_was_on_and_starts_may_have_been_off_in_between(self):
        pool = Azure()
        pool.wake("a")
        pool.power = "starting"

        pool.look(150)
        pool.look(150 + TICK_S)

        (interval,) = {i.key: i for i in pool.intervals}.values()
        assert interval.is_estimated
        vm = pool.state.vms["gpu"]
        assert vm.interval.is_estimated
        assert vm.interval.began_at == interval.ended_at == pool.now - TICK_S
