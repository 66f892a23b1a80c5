"""The judge's checks of slots, workflows and cancelled jobs, each seen to fail."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from localcloud.rehearsal.faults import PACES, FaultName
from localcloud.rehearsal.job_checks import ROUND_S, SWEEP_S
from localcloud.rehearsal.run import Plan, Rehearsal
from orchestrator.domain.job import JobRow, JobState
from orchestrator.domain.pool import PoolState, Slot, Ticket, Vm, VmPhase
from orchestrator.domain.settlement import LOST_S
from orchestrator.services.reconciliation import HEAD_OF_QUEUE

JOB, BATCH = "job", "batch"
SLOT = Slot(JOB, 1, 0.0, claimed=True, releasing=False, since=0.0, round=1, priority=0, misses=0)
ROW = JobRow(job_id=JOB, created_at=0.0)
ENOUGH_S = 2 * (60.0 + ROUND_S) + 60.0
"""Two looks, a minute apart."""


class World:
    """A rehearsal in which nothing happens but what a test says.

    Attributes:
        statuses: Of workflow instances; None while the host is not there.
    """

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal
        self.judge = rehearsal.judge
        self.statuses: dict[str, str] | None = {}

    def status_of(self, instance_id: str) -> str | None:
        return None if self.statuses is None else self.statuses.get(instance_id, "")

    def write(self, slot: Slot | None = None, *, queue: list[str] | None = None) -> None:
        """Write a state of the pool; a second round of the reconciler is not missed."""
        slots = {} if slot is None else {slot.job_id: slot}
        phase = VmPhase.READY if slots or queue else VmPhase.DEALLOCATED
        vms = {"gpu-1": Vm("gpu-1", phase, slots=slots)}
        tickets = [Ticket(job, 1, 0.0, 0.0, 1, 0, 0) for job in queue or []]
        now = self.rehearsal.loop.time()
        self.judge.see_pool(PoolState(vms=vms, queue=tickets, tick_at=now))

    def wait(self, seconds: float) -> set[str]:
        """Let time pass with a look every 5 s, and tell which rules were broken by its end."""
        for _ in range(round(seconds / 5.0)):
            self.rehearsal.loop.run_until_complete(asyncio.sleep(5.0))
            # Rounds come as they should.
            pool = self.judge.pool
            self.judge.see_pool(replace(pool, tick_at=self.rehearsal.loop.time()))
            self.judge.look(self.status_of)
        return {breach.rule for breach in self.judge.breaches}


@pytest.fixture(name="world")
def _world(tmp_path) -> Iterator[World]:
    rehearsal = Rehearsal(Plan(seed=1, faults=frozenset()), tmp_path)
    yield World(rehearsal)
    rehearsal.loop.close()


class TestSlots:
    def test_no_slot_is_kept_for_longer_than_two_looks_for_a_job_that_its_agent_has_not(
        self, world: World
    ):
        world.write(SLOT)

        early = world.wait(ENOUGH_S)

        assert early == set()
        assert world.wait(5) == {"empty slot"}

    @pytest.mark.parametrize("slot", [SLOT._replace(releasing=True), SLOT._replace(claimed=False)])
    def test_what_is_offered_or_being_released_need_not_be_held(self, world: World, slot: Slot):
        world.write(slot)

        assert world.wait(ENOUGH_S + 60) == set()

    def test_a_job_that_its_agent_holds_again_begins_anew(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ):
        world.write(SLOT)
        world.wait(ENOUGH_S)
        agent = type(world.rehearsal.region.agents["gpu-1"])
        with monkeypatch.context() as patch:
            patch.setattr(agent, "live", property(lambda _: [(JOB, 1)]))
            world.wait(5)

        assert world.wait(ENOUGH_S) == set()

    def test_an_agent_that_does_not_answer_excuses_its_minute(self, world: World):
        world.write(SLOT)
        world.rehearsal.faults.strike(FaultName.NETWORK_CUT, "gpu-1")

        early = world.wait(ENOUGH_S + PACES[FaultName.NETWORK_CUT].costs_s)

        assert early == set()
        assert world.wait(5) == {"empty slot"}


class TestWorkflows:
    def test_a_running_job_without_one_is_settled_by_the_second_sweep(self, world: World):
        world.judge.see_row(None, replace(ROW, state=JobState.RUNNING))

        early = world.wait(LOST_S + 2 * SWEEP_S + 2 * ROUND_S)

        assert early == set()
        assert world.wait(10) == {"no workflow"}

    def test_a_queued_job_without_one_is_started_by_the_sweep_after_the_pool_has_dropped_it(
        self, world: World
    ):
        world.judge.see_row(None, ROW)

        early = world.wait(180 + 60 + SWEEP_S + 2 * ROUND_S)

        assert early == set()
        assert world.wait(10) == {"no workflow"}

    def test_one_far_back_in_the_queue_may_wait_until_its_ticket_is_dropped(self, world: World):
        world.judge.see_row(None, ROW)
        world.write(queue=[*map(str, range(HEAD_OF_QUEUE)), JOB])

        early = world.wait(1800 + 180 + 60 + SWEEP_S + 2 * ROUND_S)

        assert early == set()
        assert world.wait(10) == {"no workflow"}

    @pytest.mark.parametrize("status", ["Terminated", "Failed", "Completed"])
    def test_an_end_that_nobody_wrote_counts_as_none(self, world: World, status: str):
        world.judge.see_row(None, replace(ROW, state=JobState.RUNNING))
        world.statuses = {JOB: status}

        assert world.wait(1000) == {"no workflow"}

    @pytest.mark.parametrize("status", ["Pending", "Running", "Suspended"])
    def test_a_live_one_may_take_its_time(self, world: World, status: str):
        world.judge.see_row(None, replace(ROW, state=JobState.RUNNING))
        world.statuses = {JOB: status}

        assert world.wait(3000) == set()

    def test_a_queued_job_may_wait_for_its_batch_to_start_it(self, world: World):
        world.judge.see_row(None, replace(ROW, batch_id=BATCH))
        world.statuses = {BATCH: "Running"}

        assert world.wait(3000) == set()

    def test_nothing_is_said_while_the_host_is_not_there(self, world: World):
        world.judge.see_row(None, ROW)
        world.statuses = None

        assert world.wait(3000) == set()

    def test_a_fault_that_spoils_a_sweep_excuses_one(self, world: World):
        world.judge.see_row(None, ROW)
        world.rehearsal.faults.strike(FaultName.HOST_CRASH, None)
        costs_s = PACES[FaultName.HOST_CRASH].costs_s

        early = world.wait(180 + 60 + SWEEP_S + 2 * ROUND_S + costs_s + SWEEP_S)

        assert early == set()
        assert world.wait(10) == {"no workflow"}


class TestCancelled:
    @pytest.mark.parametrize("slot", [SLOT, SLOT._replace(claimed=False)])
    def test_a_cancelled_job_gets_no_slot_and_no_offer(self, world: World, slot: Slot):
        world.judge.see_row(None, replace(ROW, state=JobState.CANCELLED))

        world.write(slot)

        assert {breach.rule for breach in world.judge.breaches} == {"cancelled"}

    def test_nor_does_it_wait_for_one(self, world: World):
        world.judge.see_row(None, replace(ROW, state=JobState.CANCELLED))

        world.write(queue=[JOB])

        assert {breach.rule for breach in world.judge.breaches} == {"cancelled"}

    def test_nor_does_it_keep_what_it_had(self, world: World):
        world.write(SLOT)

        world.judge.see_row(ROW, replace(ROW, state=JobState.CANCELLED))

        assert {breach.rule for breach in world.judge.breaches} == {"cancelled"}

    def test_a_slot_may_wait_for_its_agent_to_confirm(self, world: World):
        world.judge.see_row(None, replace(ROW, state=JobState.CANCELLED))

        world.write(SLOT._replace(releasing=True))

        assert world.judge.breaches == []


class TestLostJobs:
    @pytest.mark.parametrize(("is_lost", "rules"), [(True, set()), (False, {"no job lost"})])
    def test_only_a_lost_store_may_end_a_job_as_lost(
        self, world: World, is_lost: bool, rules: set[str]
    ):
        running = replace(ROW, state=JobState.RUNNING)
        world.judge.see_row(None, running)
        if is_lost:
            world.judge.note_store_lost()
        error = {"code": "workflow_lost", "message": "", "retryable": True}
        world.judge.see_row(running, replace(running, state=JobState.FAILED, error=error))

        world.judge.see_end({JOB})

        assert {breach.rule for breach in world.judge.breaches} == rules
