"""The numbered rules of the pool's protocol, one small story each, and what goes with them."""

import pytest

from orchestrator.domain.fence import fence_ending_all_before, fence_of
from orchestrator.domain.pool import (
    Acquire,
    Cancel,
    Confirm,
    Deallocated,
    DeallocationAccepted,
    Drained,
    DrainRefused,
    GrantSlot,
    JobSeen,
    Look,
    PoolState,
    RecordInterval,
    Release,
    RetireVm,
    StartAccepted,
    StartFailed,
    StartReconciler,
    StopJob,
    Tick,
    VmLost,
    VmReady,
    VmRunning,
    WakeVm,
)
from orchestrator.domain.pool.effects import effect_to_json
from orchestrator.domain.pool.view import view_pool
from tests.unit.orchestrator.domain.pool.bench import BEGIN, Bench, make_policy

FULL_STOP = "AllocationFailed"


class TestRule01Attempts:
    def test_an_older_attempt_cannot_release_a_newer_one(self):
        pool = Bench()
        pool.run("a", fence=2)

        pool.tell(Release(job_id="a", fence=1))

        assert pool.vm().slots["a"].fence == 2

    @pytest.mark.parametrize("is_claimed", [False, True])
    def test_a_cancellation_ends_an_attempt_that_is_newer_by_another_clock(self, is_claimed: bool):
        """A cancellation's fence is made by the app's clock, an attempt's by Durable's."""
        pool = Bench()
        fence = fence_of(6000, 1)
        pool.run("a", fence=fence) if is_claimed else pool.enqueue("a", fence=fence)

        pool.tell(Cancel(job_id="a", fence=fence_ending_all_before(5.0)))
        left = [(slot.job_id, slot.releasing) for slot in pool.vm().slots.values()]

        assert pool.queued() == []
        assert left == ([("a", True)] if is_claimed else [])

    def test_a_cancelled_job_stays_cancelled_whatever_fence_comes_later(self):
        pool = Bench()
        fence = fence_ending_all_before(BEGIN)
        pool.tell(Cancel(job_id="a", fence=fence))
        asked = pool.enqueue("a", fence=fence + 2)
        pool.tell(Release(job_id="a", fence=fence + 2))

        assert asked == {"answer": "cancelled"}
        assert pool.enqueue("a", fence=fence + 1002) == {"answer": "cancelled"}
        assert pool.queued() == []
        assert pool.woken() == []

    def test_an_attempt_that_ended_is_told_that_it_is_over(self):
        pool = Bench()
        pool.run("a", fence=2)
        pool.tell(Release(job_id="a", fence=2))

        assert pool.acquire("a", fence=1) == {"answer": "over"}
        assert pool.acquire("a", fence=2) == {"answer": "over"}
        assert pool.acquire("a", fence=3)["answer"] == "slot"

    def test_a_cancelled_job_is_told_so(self):
        pool = Bench()
        fence = fence_of(int(BEGIN * 1000), 1)
        pool.enqueue("a", fence=fence)
        pool.tell(Cancel(job_id="a", fence=fence_ending_all_before(pool.now)))

        assert pool.acquire("a", fence=fence) == {"answer": "cancelled"}

    def test_a_newer_run_waits_until_the_older_one_is_stopped_on_its_agent(self):
        pool = Bench()
        pool.run("a", fence=1)

        waits = pool.enqueue("a", fence=100)
        stops = pool.issued(StopJob)
        pool.tell(Release(job_id="a", fence=1))

        assert waits["answer"] == "wait"
        assert stops == [StopJob("gpu-1", "a", 1)]
        assert pool.acquire("a", fence=100)["answer"] == "slot"

    def test_the_end_of_a_newer_attempt_does_not_free_a_slot_that_its_agent_still_serves(self):
        pool = Bench()
        pool.run("a", fence=1)
        pool.enqueue("a", fence=100)

        pool.tell(Release(job_id="a", fence=100))
        still_held = dict(pool.vm().slots)
        pool.tell(Release(job_id="a", fence=1))

        assert still_held["a"].releasing
        assert pool.vm().slots == {}

    def test_what_is_remembered_of_ended_attempts_is_bounded(self, monkeypatch):
        monkeypatch.setattr("orchestrator.domain.pool.context.OVER_LIMIT", 3)
        pool = Bench()

        for number in range(9):
            pool.tell(Cancel(job_id=f"job-{number}", fence=1))

        assert list(pool.state.over) == ["job-6", "job-7", "job-8"]


class TestRule02OfferAndClaim:
    def test_an_offer_is_told_by_the_event_of_the_wait_that_it_ends(self):
        pool = Bench()
        pool.enqueue("a", fence=7)
        epoch = pool.bring_up()

        assert pool.issued(GrantSlot) == [GrantSlot("a", "slot-7-1", "gpu-1", epoch)]

    def test_an_unclaimed_offer_goes_back_to_the_queue(self):
        pool = Bench(slots_per_vm=1)
        pool.enqueue("gone")
        pool.now += 1
        pool.enqueue("next")
        pool.bring_up()

        pool.now += 90
        pool.tick()

        # Back in its old place, and hence offered again first.
        assert pool.vm().slots["gone"].misses == 1
        assert pool.queued() == ["next"]

    def test_a_job_that_never_claims_makes_way_in_the_end(self):
        pool = Bench(slots_per_vm=1)
        pool.enqueue("gone")
        pool.now += 1
        pool.enqueue("next")
        pool.bring_up()

        for _ in range(3):
            pool.now += 90
            pool.tick()

        assert list(pool.vm().slots) == ["next"]
        assert pool.queued() == []

    def test_an_offer_that_came_to_nothing_costs_its_job_nothing(self):
        pool = Bench(slots_per_vm=1)
        pool.enqueue("gone")
        epoch = pool.vm().epoch
        pool.tell(StartAccepted(vm="gpu-1", epoch=epoch, at=pool.now))
        pool.now += 40
        pool.tell(VmReady(vm="gpu-1", epoch=epoch))

        pool.tell(Cancel(job_id="gone", fence=1))
        pool.run("here")
        bears = pool.tell(Release(job_id="here", fence=1))["cost"]

        assert bears["cold_start_seconds"] == 40
        assert pool.vm().interval.shares == {}
        assert "gone" not in pool.state.settled

    def test_a_job_that_made_way_may_come_back(self):
        pool = Bench(slots_per_vm=1)
        pool.enqueue("slow")
        pool.bring_up()
        for _ in range(3):
            pool.now += 90
            pool.tick()

        assert pool.acquire("slow")["answer"] == "slot"

    def test_a_claim_gives_the_same_answer_twice(self):
        pool = Bench()
        first = pool.run("a")

        again = pool.acquire("a")

        assert first == again == {"answer": "slot", "vm": "gpu-1", "epoch": pool.vm().epoch}
        assert list(pool.vm().slots) == ["a"]

    def test_a_claim_needs_no_event(self):
        pool = Bench()
        pool.run("a")

        assert pool.enqueue("b")["answer"] == "slot"
        assert pool.issued(GrantSlot) == []

    def test_an_ask_that_comes_late_does_not_turn_the_wait_back(self):
        pool = Bench()
        pool.enqueue("a", fence=7)
        pool.acquire("a", fence=7)
        pool.enqueue("a", fence=7)

        pool.bring_up()

        assert [grant.event for grant in pool.issued(GrantSlot)] == ["slot-7-2"]

    def test_asking_again_keeps_the_place_in_the_queue(self):
        pool = Bench()
        pool.enqueue("a")
        pool.now += 1
        pool.enqueue("b")
        pool.now += 30

        answer = pool.acquire("a")

        assert answer["position"] == 1
        assert pool.queued() == ["a", "b"]

    def test_a_ticket_that_nobody_asks_for_is_dropped(self):
        pool = Bench(starting_s=10_000.0)
        pool.enqueue("gone")
        pool.now += 1000
        pool.enqueue("here")

        pool.now += 801
        pool.tick()

        assert pool.queued() == ["here"]


class TestRule03FencedActs:
    """What start and deallocation ask the state right before the call: epoch, phase, drain."""

    def test_a_second_deallocation_has_a_number_of_its_own(self):
        pool = Bench()
        pool.run("a")
        pool.tell(VmLost(vm="gpu-1", epoch=pool.vm().epoch, reason="gone"))
        (first,) = pool.issued(RetireVm)

        pool.now += pool.policy.deallocating_s
        pool.tick()
        (second,) = pool.issued(RetireVm)

        assert (first.drain, second.drain) == (1, 2)
        assert pool.vm().drain == second.drain


class TestRule04DrainsHaveNumbers:
    def test_the_answer_to_an_earlier_drain_says_nothing_about_a_later_one(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        first = pool.idle_out()
        pool.tell(DrainRefused(vm="gpu-1", epoch=first.epoch, drain=1))
        second = pool.idle_out()

        late = pool.tell(Drained(vm="gpu-1", epoch=first.epoch, drain=1, receipt="old"))
        refused_late = pool.tell(DrainRefused(vm="gpu-1", epoch=first.epoch, drain=1))

        assert (first.drain, second.drain) == (1, 2)
        assert late == refused_late == {"answer": "stale"}
        assert pool.phase() == "draining"


class TestRule05DatedObservations:
    def test_an_observation_of_an_older_phase_changes_nothing(self):
        pool = Bench()
        pool.enqueue("a")
        while_off = pool.see(power="deallocated", agent="unreachable")
        pool.now += 5
        pool.bring_up()

        pool.tick(while_off)

        assert pool.phase() == "ready"
        assert pool.vm().unseen_since is None

    def test_an_observation_of_an_older_epoch_changes_nothing(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        earlier = pool.see(power="running", agent="closed")
        retire = pool.idle_out()
        pool.enqueue("b")
        drained = Drained(vm="gpu-1", epoch=retire.epoch, drain=1, receipt="r")
        pool.tell(drained)

        pool.tick(earlier)

        assert pool.phase() == "ready"


class TestRule06AgentKeys:
    def test_a_job_that_no_slot_names_is_stopped_on_its_agent(self):
        pool = Bench()
        pool.run("a")

        pool.tick(pool.see(power="running", agent="up", jobs=[["a", 1], ["ghost", 5]]))

        assert pool.issued(StopJob) == [StopJob("gpu-1", "ghost", 5)]

    def test_a_stopped_ghost_is_asked_for_no_more(self):
        pool = Bench()
        pool.run("a")
        pool.tick(pool.see(power="running", agent="up", jobs=[["a", 1], ["ghost", 5]]))

        pool.tell(Release(job_id="ghost", fence=5))

        assert not any(key.startswith("stop:") for key in pool.state.outbox)

    def test_nobody_is_stopped_on_a_vm_that_is_off(self):
        pool = Bench()
        pool.run("a")
        pool.tick(pool.see(power="running", agent="up", jobs=[["a", 1], ["ghost", 5]]))

        pool.tick(pool.see(power="deallocated"))

        assert not any(key.startswith("stop:") for key in pool.state.outbox)

    def test_a_terminated_jobs_slot_is_freed_only_when_its_agent_confirms(self):
        pool = Bench(slots_per_vm=1)
        pool.run("a")
        pool.enqueue("b")

        pool.tick(ended=[JobSeen(job_id="a", fence=1)])
        stops = pool.issued(StopJob)
        waits = pool.acquire("b")
        pool.tell(Release(job_id="a", fence=1))

        assert stops == [StopJob("gpu-1", "a", 1)]
        assert waits["answer"] == "wait"
        assert pool.acquire("b")["answer"] == "slot"

    def test_an_agent_that_no_longer_holds_an_ended_job_has_confirmed(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Cancel(job_id="a", fence=1))

        pool.tick(pool.see(power="running", agent="up", jobs=[]))

        assert pool.vm().slots == {}
        assert not any(key.startswith("stop:") for key in pool.state.outbox)


class TestRule08AfterALoss:
    def test_a_lost_attempt_is_over_and_the_next_one_finds_another_vm(self):
        pool = Bench("gpu-1", "gpu-2")
        pool.run("a", fence=1)
        pool.tell(Release(job_id="a", fence=1, vm_unreachable=True))

        answer = pool.enqueue("a", fence=2)

        assert pool.phase("gpu-1") == "deallocating"
        assert pool.phase("gpu-2") == "starting"
        assert answer["position"] == 1

    def test_the_attempts_on_a_lost_vm_are_over_and_hold_no_slot(self):
        pool = Bench("gpu-1", "gpu-2")
        pool.run("a", fence=1)

        pool.tell(VmLost(vm="gpu-1", epoch=pool.vm().epoch, reason="gone"))

        assert pool.vm().slots == {}
        assert pool.acquire("a", fence=1) == {"answer": "over"}
        assert pool.acquire("a", fence=2)["answer"] == "wait"

    def test_a_mere_offer_on_a_lost_vm_goes_back_to_the_queue(self):
        pool = Bench("gpu-1", "gpu-2")
        pool.enqueue("a")
        pool.bring_up()

        pool.tell(VmLost(vm="gpu-1", epoch=pool.vm().epoch, reason="gone"))

        assert pool.queued() == ["a"]
        assert pool.phase("gpu-2") == "starting"


class TestRule09Reopen:
    def test_a_drained_vm_is_reopened_for_a_job_that_came_meanwhile(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        retire = pool.idle_out()
        pool.enqueue("b")

        answer = pool.tell(Drained(vm="gpu-1", epoch=retire.epoch, drain=1, receipt="r"))

        assert answer == {"answer": "reopened"}
        assert pool.vm().epoch > retire.epoch
        assert list(pool.vm().slots) == ["b"]
        assert "deallocating" not in pool.phase()

    def test_a_job_that_comes_during_a_drain_waits_for_the_next_epoch(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        pool.idle_out()

        waits = pool.enqueue("b")
        asks_again = pool.acquire("b")

        assert (waits["answer"], asks_again["answer"]) == ("wait", "wait")
        assert pool.phase() == "draining"
        assert pool.vm().slots == {}

    def test_no_other_vm_is_woken_while_the_drain_may_answer(self):
        pool = Bench("gpu-1", "gpu-2")
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        pool.idle_out()

        pool.enqueue("b")
        pool.now += 59
        pool.acquire("b")
        before = pool.woken()
        pool.now += 1
        pool.acquire("b")

        assert before == ["gpu-1"]
        assert pool.woken() == ["gpu-1", "gpu-2"]


class TestRule10Outbox:
    def test_an_effect_is_issued_again_until_it_is_confirmed(self):
        pool = Bench()
        pool.enqueue("a")
        (wake,) = pool.issued(WakeVm)

        pool.now += 9
        pool.acquire("a")
        too_early = pool.issued(WakeVm)
        pool.now += 1
        pool.acquire("a")
        again = pool.issued(WakeVm)
        pool.tell(Confirm(effects=[effect_to_json(wake)]))
        pool.now += 60
        pool.acquire("a")

        assert too_early == []
        assert again == [wake]
        assert pool.issued(WakeVm) == []

    def test_a_confirmation_of_an_older_effect_leaves_the_newer_one(self):
        pool = Bench()
        pool.enqueue("a")
        (wake,) = pool.issued(WakeVm)
        failed = StartFailed(vm="gpu-1", epoch=wake.epoch, code=FULL_STOP, is_capacity=True)
        pool.tell(failed)
        pool.now += 120
        pool.tick()

        pool.tell(Confirm(effects=[effect_to_json(wake)]))

        assert "wake:gpu-1" in pool.state.outbox

    def test_an_idle_pool_has_nothing_left_to_do(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        retire = pool.idle_out()
        pool.tell(Drained(vm="gpu-1", epoch=retire.epoch, drain=1, receipt="r"))
        pool.tell(DeallocationAccepted(vm="gpu-1", epoch=retire.epoch, at=pool.now))
        pool.tell(Deallocated(vm="gpu-1", epoch=retire.epoch))
        (interval,) = (p.effect for p in pool.state.outbox.values())
        assert isinstance(interval, RecordInterval)
        pool.tell(Confirm(effects=[effect_to_json(interval)]))
        pool.tick()

        assert pool.state.outbox == {}
        assert pool.last.reply == {"answer": "sleep", "until": pool.now + 900, "for_s": 900}


class TestRule11Deadlines:
    def test_a_slot_ends_with_the_longest_job_and_its_grace(self):
        pool = Bench()
        pool.run("a")

        pool.now += 1800 + 600
        pool.tick()

        assert pool.vm().slots["a"].releasing
        assert pool.issued(StopJob) == [StopJob("gpu-1", "a", 1)]

    def test_a_vm_that_nobody_can_stop_a_job_on_is_given_up(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Cancel(job_id="a", fence=1))

        pool.now += pool.policy.releasing_s
        pool.tick(pool.see(power="running", agent="up", jobs=[["a", 1]]))

        assert pool.phase() == "deallocating"
        assert pool.vm().slots == {}

    def test_a_job_at_work_is_not_lost_for_another_that_cannot_be_stopped(self):
        pool = Bench()
        pool.run("stuck")
        pool.run("healthy")
        pool.tell(Cancel(job_id="stuck", fence=1))

        pool.now += pool.policy.releasing_s
        pool.tick()

        assert pool.phase() == "ready"
        assert set(pool.vm().slots) == {"stuck", "healthy"}

    def test_a_start_that_does_not_end_is_cleaned_up(self):
        pool = Bench()
        pool.enqueue("a")

        pool.now += 1200
        pool.tick()

        assert pool.phase() == "deallocating"
        assert pool.vm().failures == 1

    def test_a_vm_that_runs_but_never_gets_ready_is_cleaned_up(self):
        pool = Bench("gpu-1", "gpu-2")
        pool.enqueue("a")
        epoch = pool.vm().epoch
        pool.tell(StartAccepted(vm="gpu-1", epoch=epoch, at=pool.now))
        pool.tell(VmRunning(vm="gpu-1", epoch=epoch))

        pool.now += 1200
        pool.acquire("a")

        assert (pool.phase(), pool.vm().failures) == ("deallocating", 1)
        assert pool.phase("gpu-2") == "starting"

    def test_a_drain_that_is_not_answered_is_a_loss(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        pool.idle_out()

        pool.now += 300
        pool.tick()

        (retire,) = pool.issued(RetireVm)
        assert pool.phase() == "deallocating"
        assert retire.lost

    def test_a_deallocation_that_does_not_end_is_asked_for_again(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        retire = pool.idle_out()
        pool.tell(Drained(vm="gpu-1", epoch=retire.epoch, drain=1, receipt="proof"))

        pool.now += 900
        pool.tick()

        assert len(pool.issued(RetireVm)) == 1
        assert pool.vm().receipt == "proof"

    def test_an_agent_unseen_for_a_minute_is_lost(self):
        pool = Bench()
        pool.run("a")
        pool.tick(pool.see(power="running", agent="unreachable"))
        pool.now += 59
        pool.tick(pool.see(power="running", agent="unreachable"))
        before = pool.phase()

        pool.now += 1
        pool.tick(pool.see(power="running", agent="unreachable"))

        assert before == "ready"
        assert pool.phase() == "deallocating"

    def test_a_round_always_ends_with_a_sleep(self):
        pool = Bench()
        pool.run("a")
        pool.tick(pool.see(power="running", agent="unreachable"))
        pool.now += 500

        # The VM could not be asked this time, so the minute is over and nothing was decided.
        reply = pool.tick()

        assert reply["until"] > pool.now

    def test_a_cool_down_ends_at_the_time_that_was_stated(self):
        pool = Bench()
        pool.enqueue("a")
        failed = StartFailed(vm="gpu-1", epoch=pool.vm().epoch, code=FULL_STOP, is_capacity=True)
        pool.tell(failed)
        retry_at = pool.vm().retry_at
        answer = pool.acquire("a")

        pool.now = retry_at
        pool.acquire("a")

        assert BEGIN + 60 <= retry_at <= BEGIN + 72
        assert (answer["waiting_for"], answer["retry_at"]) == ("capacity", retry_at)
        assert pool.phase() == "starting"


class TestSlotsAdrift:
    """Invariant 8: a claimed slot whose job nobody works on is freed at the second look."""

    @pytest.fixture
    def pool(self) -> Bench:
        pool = Bench()
        pool.run("a")
        return pool

    def look(self, pool: Bench, *jobs: list, missing: bool = False, agent: str = "up") -> None:
        gone = [JobSeen(job_id="a", fence=1)] if missing else []
        held = [list(job) for job in jobs] if agent == "up" else None
        pool.tick(pool.see(power="running", agent=agent, jobs=held), missing=gone)

    def test_a_job_that_its_agent_does_not_hold_loses_its_slot_at_the_second_look(
        self, pool: Bench
    ):
        self.look(pool)
        kept = not pool.vm().slots["a"].releasing
        pool.now += pool.policy.adrift_s
        self.look(pool)

        assert kept
        assert pool.vm().slots["a"].releasing
        assert pool.issued(StopJob) == [StopJob("gpu-1", "a", 1)]

    def test_two_looks_in_the_same_minute_are_one(self, pool: Bench):
        self.look(pool)
        pool.now += pool.policy.adrift_s - 1
        self.look(pool)

        assert not pool.vm().slots["a"].releasing

    def test_a_job_that_is_held_in_between_keeps_its_slot(self, pool: Bench):
        self.look(pool)
        pool.now += pool.policy.adrift_s
        self.look(pool, ["a", 1])
        pool.now += pool.policy.adrift_s
        self.look(pool)

        assert not pool.vm().slots["a"].releasing

    def test_an_older_attempt_on_the_agent_is_not_this_one(self, pool: Bench):
        self.look(pool, ["a", 0])
        pool.now += pool.policy.adrift_s
        self.look(pool, ["a", 0])

        assert pool.vm().slots["a"].releasing

    def test_a_silent_agent_is_no_second_look(self, pool: Bench):
        self.look(pool)
        pool.now += pool.policy.adrift_s - 1
        self.look(pool, agent="unreachable")
        pool.now += 1
        self.look(pool, agent="unreachable")

        assert not pool.vm().slots["a"].releasing

    def test_what_was_seen_of_an_earlier_attempt_is_not_held_against_the_next(self, pool: Bench):
        self.look(pool)
        pool.tell(Release(job_id="a", fence=1))
        pool.now += pool.policy.adrift_s
        pool.enqueue("a", fence=2)
        pool.acquire("a", fence=2)
        self.look(pool)

        assert not pool.vm().slots["a"].releasing

    def test_a_job_whose_workflow_is_gone_loses_its_slot_although_the_agent_works(
        self, pool: Bench
    ):
        self.look(pool, ["a", 1], missing=True)
        kept = not pool.vm().slots["a"].releasing
        pool.now += pool.policy.adrift_s
        self.look(pool, ["a", 1], missing=True)

        assert kept
        assert pool.vm().slots["a"].releasing

    def test_a_ticket_or_an_offer_without_a_workflow_is_dropped_at_once(self):
        pool = Bench(slots_per_vm=1)
        pool.enqueue("a")
        pool.enqueue("b")
        pool.bring_up()
        offered = dict(pool.vm().slots)

        pool.tick(missing=[JobSeen(job_id="a", fence=1), JobSeen(job_id="b", fence=1)])

        assert list(offered) == ["a"]
        assert pool.queued() == []
        assert pool.vm().slots == {}

    def test_the_state_says_nothing_of_it_to_an_older_app(self, pool: Bench):
        self.look(pool)
        written = pool.state.to_json()

        assert written["vms"]["gpu-1"].pop("adrift") == {"a": pool.now}
        assert PoolState.from_json(written).vms["gpu-1"].adrift == {}


class TestRule12Generations:
    def test_the_first_command_starts_the_reconciler(self):
        pool = Bench()
        pool.enqueue("a")

        assert pool.issued(StartReconciler) == [StartReconciler(1)]

    def test_no_tick_for_five_minutes_starts_the_next_generation(self):
        pool = Bench()
        pool.enqueue("a")
        pool.tick()
        planned = pool.state.look_at

        pool.now = planned + 300
        pool.acquire("a")
        in_time = pool.issued(StartReconciler)
        pool.now += 1
        pool.acquire("a")

        assert in_time == []
        assert pool.issued(StartReconciler) == [StartReconciler(2)]

    def test_an_older_generation_ends_and_changes_nothing(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Tick(generation=2))
        ended = JobSeen(job_id="a", fence=1)

        reply = pool.tell(Tick(generation=1, ended=[ended]))

        assert reply == {"answer": "superseded"}
        assert not pool.vm().slots["a"].releasing

    def test_an_earlier_deadline_wakes_the_reconciler(self):
        pool = Bench()
        pool.tick()
        pool.now += 1

        pool.enqueue("a")

        assert pool.issued(Look) == [Look(pool.state.generation)]

    def test_a_second_copy_of_a_tick_that_finds_work_wakes_the_reconciler(self):
        pool = Bench()
        pool.tick()
        asleep = pool.issued(Look)
        pool.now += 60

        pool.tick(pool.see(power="running"))

        assert asleep == []
        assert pool.issued(Look) == [Look(pool.state.generation)]

    def test_a_tick_that_a_look_has_woken_asks_for_no_other(self):
        pool = Bench()
        pool.tick()
        pool.now += 60
        pool.enqueue("a")

        pool.tick()

        assert pool.issued(Look) == []

    def test_a_look_that_was_lost_is_sent_again_until_the_tick(self):
        pool = Bench()
        pool.tick()
        pool.now += 1
        pool.enqueue("a")
        pool.now += pool.policy.reissue_s

        pool.enqueue("b")
        again = pool.issued(Look)
        pool.tick()
        pool.now += pool.policy.reissue_s
        pool.enqueue("c")

        assert again == [Look(pool.state.generation)]
        assert pool.issued(Look) == []

    def test_sweep_ticks_without_taking_the_reconcilers_place(self):
        pool = Bench()
        pool.enqueue("a")
        pool.tick()
        planned = pool.state.look_at
        pool.now = planned + 301

        reply = pool.tell(Tick(generation=None))

        assert reply["answer"] == "sleep"
        assert pool.issued(StartReconciler) == [StartReconciler(2)]


class TestRule13ClosedAgent:
    def test_a_closed_agent_is_a_vm_to_be_lost(self):
        pool = Bench()
        pool.run("a")

        pool.tick(pool.see(power="running", agent="closed"))

        assert pool.phase() == "deallocating"
        assert pool.acquire("a") == {"answer": "over"}


class TestRule14GivenUpWakes:
    def test_a_vm_that_may_be_on_is_deallocated_before_it_cools_down(self):
        pool = Bench()
        pool.enqueue("a")
        epoch = pool.vm().epoch
        pool.tell(StartAccepted(vm="gpu-1", epoch=epoch, at=pool.now))

        pool.tell(StartFailed(vm="gpu-1", epoch=epoch, code="agent_failed", may_be_on=True))
        (retire,) = pool.issued(RetireVm)
        between = pool.phase()
        pool.tell(Deallocated(vm="gpu-1", epoch=epoch))

        assert retire.lost
        assert between == "deallocating"
        assert pool.phase() == "no_capacity"

    def test_a_stock_out_tries_the_next_candidate_and_opens_no_circuit(self):
        pool = Bench("gpu-1", "gpu-2")
        pool.enqueue("a")

        failed = StartFailed(vm="gpu-1", epoch=pool.vm().epoch, code=FULL_STOP, is_capacity=True)
        pool.tell(failed)

        assert pool.phase("gpu-1") == "no_capacity"
        assert pool.vm("gpu-1").failures == 0
        assert pool.woken() == ["gpu-1", "gpu-2"]

    def test_a_stock_out_costs_nothing(self):
        pool = Bench()
        pool.enqueue("a")
        epoch = pool.vm().epoch
        pool.tell(StartAccepted(vm="gpu-1", epoch=epoch, at=pool.now))

        pool.now += 45
        pool.tell(StartFailed(vm="gpu-1", epoch=epoch, code=FULL_STOP, is_capacity=True))

        assert pool.state.accounts["gpu-1"].billed_s == 0

    def test_three_failed_wakes_in_a_row_open_the_circuit(self):
        pool = Bench()
        pool.enqueue("a")

        for _ in range(3):
            pool.tell(StartFailed(vm="gpu-1", epoch=pool.vm().epoch, code="SkuProblem"))
            last = pool.phase()
            pool.now += 700
            pool.acquire("a")

        assert last == "broken"
        assert pool.phase() == "broken"
        assert "SkuProblem" in pool.vm().reason

    def test_a_ready_agent_closes_the_count_of_failures(self):
        pool = Bench()
        pool.enqueue("a")
        pool.tell(StartFailed(vm="gpu-1", epoch=pool.vm().epoch, code="SkuProblem"))
        pool.now += 700
        pool.acquire("a")
        pool.bring_up()

        assert pool.vm().failures == 0


class TestRule15Epochs:
    def test_a_new_epoch_is_at_least_the_time(self):
        pool = Bench()
        pool.enqueue("a")

        assert pool.vm().epoch == int(BEGIN)

    def test_a_new_epoch_is_above_the_last_even_when_the_clock_went_back(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        retire = pool.idle_out()
        pool.now = BEGIN - 1000

        pool.enqueue("b")
        pool.tell(Drained(vm="gpu-1", epoch=retire.epoch, drain=1, receipt="r"))

        assert pool.vm().epoch == retire.epoch + 1

    @pytest.mark.parametrize("clock_went_s", [-1000, 0, 1000])
    def test_a_wake_is_above_the_last_epoch_and_not_below_the_time(self, clock_went_s: int):
        pool = Bench()
        pool.run("a")
        last = pool.vm().epoch
        pool.tell(Release(job_id="a", fence=1))
        pool.tell(VmLost(vm="gpu-1", epoch=last, reason="gone"))
        pool.tell(Deallocated(vm="gpu-1", epoch=last))
        assert pool.phase() == "deallocated"
        pool.now += clock_went_s

        pool.enqueue("b")

        assert pool.issued(WakeVm) == [WakeVm("gpu-1", pool.vm().epoch)]
        assert pool.vm().epoch == max(last + 1, int(pool.now))

    def test_slots_are_offered_on_the_least_loaded_vm(self):
        pool = Bench("gpu-1", "gpu-2", slots_per_vm=3)
        pool.run("a")
        pool.run("b")
        pool.tell(VmLost(vm="gpu-2", epoch=0, reason="nothing"))
        woken = pool.see("gpu-2", power="running")
        pool.tick(woken)
        pool.bring_up("gpu-2")

        answers = [pool.enqueue(job_id)["vm"] for job_id in ("c", "d")]

        assert answers == ["gpu-2", "gpu-2"]


class TestPowerFromOutside:
    @pytest.mark.parametrize("power", ["starting", "running"])
    def test_a_vm_started_by_someone_else_is_taken_in_and_billed_as_estimated(self, power: str):
        pool = Bench()
        pool.tick()

        pool.tick(pool.see(power=power))

        assert pool.phase() == "starting"
        assert pool.vm().interval.is_estimated

    @pytest.mark.parametrize("power", ["stopping", "stopped"])
    def test_a_vm_that_was_only_shut_down_is_still_billed_and_deallocated(self, power: str):
        pool = Bench()
        pool.tick()

        pool.tick(pool.see(power=power))

        assert pool.phase() == "deallocating"
        assert pool.vm().interval.began_at == pool.now

    def test_a_vm_stopped_by_someone_else_ends_its_attempts(self):
        pool = Bench()
        pool.run("a")

        pool.tick(pool.see(power="deallocated"))

        assert pool.acquire("a") == {"answer": "over"}
        assert pool.phase() == "deallocated"

    def test_seconds_that_ended_unseen_are_marked_as_estimated(self):
        pool = Bench()
        pool.run("a")
        pool.now += 50

        pool.tick(pool.see(power="deallocated"))

        account = pool.state.accounts["gpu-1"]
        assert (account.billed_s, account.estimated_s) == (50.0, 50.0)

    def test_the_power_of_a_vm_on_its_way_up_is_not_held_against_it(self):
        pool = Bench()
        pool.enqueue("a")

        pool.tick(pool.see(power="deallocated"))

        assert pool.phase() == "starting"


class TestDeletedFromOutside:
    @pytest.mark.parametrize("agent", [None, "unreachable"])
    def test_a_vm_that_is_gone_ends_its_attempts_and_its_bill(self, agent: str | None):
        pool = Bench("gpu-1", "gpu-2")
        pool.run("a")
        pool.now += 50

        pool.tick(pool.see(power="gone", agent=agent))
        pool.enqueue("a", fence=2)

        assert pool.acquire("a", fence=1) == {"answer": "over"}
        assert (pool.phase(), pool.vm().reason) == (
            "broken",
            "ResourceNotFound: the VM was deleted",
        )
        assert pool.state.accounts["gpu-1"].estimated_s == 50.0
        assert pool.vm().interval.began_at is None
        assert pool.woken() == ["gpu-1", "gpu-2"]

    def test_a_vm_that_is_gone_on_its_way_down_is_waited_for_no_longer(self):
        pool = Bench()
        pool.run("a")
        pool.tell(VmLost(vm="gpu-1", epoch=pool.vm().epoch, reason="gone"))

        pool.tick(pool.see(power="gone"))

        assert pool.phase() == "broken"
        assert not any(key.startswith("retire:") for key in pool.state.outbox)

    def test_an_agent_that_answers_is_the_better_witness(self):
        pool = Bench()
        pool.run("a")

        pool.tick(pool.see(power="gone", agent="up", jobs=[["a", 1]]))

        assert pool.phase() == "ready"

    def test_a_vm_that_is_off_is_found_missing_by_its_next_wake_only(self):
        pool = Bench()
        pool.tick()

        pool.tick(pool.see(power="gone"))

        assert pool.phase() == "deallocated"

    @pytest.mark.parametrize(
        ("power", "then"), [("deallocated", "deallocated"), ("running", "starting")]
    )
    def test_a_vm_that_was_made_anew_is_taken_in_again(self, power: str, then: str):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))
        pool.tick(pool.see(power="gone"))

        pool.tick(pool.see(power=power))

        assert (pool.phase(), pool.vm().failures) == (then, 0)

    def test_a_circuit_opened_for_another_reason_stays_open(self):
        pool = Bench()
        pool.enqueue("a")
        quota = StartFailed(
            vm="gpu-1", epoch=pool.vm().epoch, code="QuotaExceeded", is_configuration=True
        )
        pool.tell(quota)

        pool.tick(pool.see(power="deallocated"))

        assert pool.phase() == "broken"


class TestConfiguration:
    def test_a_vm_no_longer_configured_is_offered_to_nobody(self):
        pool = Bench("old")
        pool.enqueue("a")
        pool.bring_up("old")
        pool.acquire("a")
        pool.policy = make_policy("new")

        pool.enqueue("b")

        assert pool.queued() == ["b"]
        assert pool.phase("new") == "starting"

    def test_a_vm_no_longer_configured_is_drained_once_its_jobs_have_ended(self):
        pool = Bench("old")
        pool.enqueue("a")
        pool.bring_up("old")
        pool.acquire("a")
        pool.policy = make_policy("new")

        pool.tick()
        assert pool.phase("old") == "ready"

        pool.tell(Release(job_id="a", fence=1))

        assert pool.phase("old") == "draining"
        assert pool.state.vms["old"].home["name"] == "old"

    def test_nobody_waits_for_the_drain_of_a_vm_no_longer_configured(self):
        """Such a drain is never taken back, so another VM is woken at once."""
        pool = Bench("old", "new")
        pool.enqueue("a")
        pool.bring_up("old")
        pool.tell(Release(job_id="a", fence=1))
        pool.policy = make_policy("new")
        pool.tick()
        assert pool.phase("old") == "draining"

        pool.enqueue("b")

        assert pool.phase("new") == "starting"

    def test_a_job_waits_for_no_slot_of_a_vm_no_longer_configured(self):
        pool = Bench("old")
        pool.enqueue("a")
        pool.bring_up("old")
        pool.acquire("a")
        pool.policy = make_policy("new")

        reply = pool.enqueue("b")

        assert (reply["waiting_for"], reply["vm"]["name"]) == ("vm", "new")
        reasons = {
            vm["name"]: vm["why"] for vm in view_pool(pool.state, pool.now, pool.policy)["vms"]
        }
        assert reasons["old"] == "no longer configured"

    def test_a_vm_no_longer_configured_and_off_is_forgotten(self):
        pool = Bench("old")
        pool.tick()
        pool.policy = make_policy("new")

        pool.tick()

        assert list(pool.state.vms) == ["new"]


class TestPriority:
    def test_a_higher_priority_goes_first_and_equals_in_order_of_arrival(self):
        pool = Bench()
        for job_id, priority in (("low", -1), ("one", 0), ("two", 0), ("high", 1)):
            pool.enqueue(job_id, priority=priority)
            pool.now += 1

        assert pool.queued() == ["high", "one", "two", "low"]


class TestIdleWindow:
    def test_is_counted_from_the_end_of_the_last_job(self):
        pool = Bench()
        pool.run("a")
        pool.now += 200
        pool.tell(Release(job_id="a", fence=1, ran=True))
        ended_at = pool.now

        pool.now = ended_at + pool.policy.idle_window_s - 1
        pool.tick()
        just_before = pool.phase()
        pool.now = ended_at + pool.policy.idle_window_s
        pool.tick()

        assert (just_before, pool.phase()) == ("ready", "draining")

    def test_does_not_end_while_a_job_holds_a_slot(self):
        pool = Bench()
        pool.run("a")

        pool.now += 3 * pool.policy.idle_window_s
        pool.tick()

        assert pool.phase() == "ready"


class TestLooks:
    def test_the_reconciler_looks_every_minute_while_something_is_awake(self):
        pool = Bench()
        pool.run("a")

        assert pool.tick()["until"] <= pool.now + 60

    def test_an_ask_by_the_queue_is_no_claim_to_a_vm_that_is_not_ready(self):
        pool = Bench()

        answer = pool.tell(Acquire(job_id="a", fence=1, round=1))

        assert answer["answer"] == "wait"
        assert answer["vm"]["phase"] == "starting"

    def test_an_old_ready_changes_nothing(self):
        pool = Bench()
        pool.enqueue("a")

        assert pool.tell(VmReady(vm="gpu-1", epoch=1)) == {"answer": "stale"}
        assert pool.phase() == "starting"
