"""The two reapers: what is observed, what follows from it, and when the second one acts."""

import pytest

from gpu_agent.jobs.agent_state import AgentState
from orchestrator.domain.errors import AgentError, ArmError
from orchestrator.domain.job import JobRow, JobState
from orchestrator.domain.pool import Cancel, Enqueue, Release
from tests.unit.orchestrator.parts import JOB, OTHER_JOB, Parts


@pytest.fixture
def tick(do):
    """Return a function that ticks once."""

    def tick(parts: Parts, generation: int | None = None) -> dict:
        number = parts.state.generation if generation is None else generation
        return do(parts.reconcile.tick_pool({"generation": number}, parts.durable))

    return tick


@pytest.fixture
def running(ready: Parts, do) -> Parts:
    """A control plane whose job runs on its agent, under a living workflow."""
    order = {
        "job_id": JOB,
        "fence": 1,
        "vm": "gpu-1",
        "epoch": ready.vm().epoch,
        "options": {},
        "timeout_s": 60.0,
    }
    do(ready.job_activities.submit_job(order))
    do(ready.durable.start_new("run_job", JOB, {}))
    return ready


class TestTick:
    def test_remembers_which_boot_the_agent_names(self, ready: Parts, tick):
        ready.agent().machine_boot = "b-7"

        tick(ready)

        assert ready.vm().interval.machine_boot == "b-7"

    def test_remembers_when_the_vm_is_switched_off(self, ready: Parts, tick):
        ready.agent().cap = {"cap_left_s": 9000.0, "max_uptime_s": 43200.0}

        tick(ready)

        assert (ready.vm().off_by, ready.vm().max_uptime_s) == (ready.now + 9000, 43200)

    def test_renews_the_lease_of_a_ready_vm(self, ready: Parts, tick):
        before = len(ready.agent().leases)

        reply = tick(ready)

        assert reply["answer"] == "sleep"
        assert ready.agent().leases[before:] == [(ready.vm().epoch, ready.policy.lease_s)]

    def test_asks_no_agent_of_a_vm_that_is_off(self, parts: Parts, tick):
        tick(parts, 1)

        assert parts.agents.calls == []

    def test_gives_no_lease_to_a_vm_whose_only_jobs_are_overdue(self, ready: Parts, tick):
        before = len(ready.agent().leases)
        ready.now += ready.policy.job_timeout_s + ready.policy.slot_grace_s

        tick(ready)

        assert len(ready.agent().leases) == before

    def test_an_older_generation_observes_nothing(self, ready: Parts, tick):
        before = list(ready.agents.calls)

        assert tick(ready, 0) == {"answer": "superseded"}
        assert ready.agents.calls == before

    def test_loses_an_agent_that_is_silent_for_a_minute(self, running: Parts, tick):
        running.agents.silent.add("gpu-1")

        tick(running)
        running.now += 60
        tick(running)

        assert running.vm().phase == "deallocating"
        assert len(running.durable.started("retire_vm")) == 1

    def test_loses_a_closed_agent_at_once(self, running: Parts, tick):
        running.agents.errors["lease"] = [AgentError("closed", "until the boot", status=409)]

        tick(running)

        assert running.vm().phase == "deallocating"

    def test_notices_a_vm_that_someone_else_stopped(self, running: Parts, tick):
        running.power.powers["gpu-1"] = "deallocated"
        before = len(running.agents.calls)

        tick(running)

        assert running.vm().phase == "deallocated"
        assert len(running.agents.calls) == before

    def test_believes_nothing_when_azure_does_not_answer(self, running: Parts, tick):
        running.power.errors = [ArmError("Unreachable", "no answer")]

        tick(running)

        assert running.vm().phase == "ready"

    def test_gives_up_a_vm_that_was_deleted(self, running: Parts, tick):
        running.power.errors = [ArmError("ResourceNotFound", "The Resource was not found.")]
        running.agents.silent.add("gpu-1")

        tick(running)

        assert running.vm().phase == "broken"
        assert running.vm().interval.began_at is None

    def test_takes_on_a_vm_that_was_replaced_under_its_name(self, running: Parts, tick, do):
        """Its agent knows nothing of the job, whose own workflow then ends the attempt."""
        running.agent().state = AgentState()
        order = {"job_id": JOB, "fence": 1, "vm": "gpu-1", "after": 0, "stage": None}

        tick(running)
        followed = do(running.job_activities.follow_job({**order, "quiet_s": 0.0}))

        assert running.vm().phase == "ready"
        assert followed["outcome"] == "unknown"

    def test_stops_a_job_on_the_agent_that_no_slot_names(self, running: Parts, tick):
        running.apply(Release(job_id=JOB, fence=1))

        tick(running)

        assert running.agent().live() == []
        assert not any(key.startswith("stop:") for key in running.state.outbox)


class TestTerminatedJobs:
    def test_a_terminated_jobs_slot_is_freed_after_the_agent_confirmed(
        self, running: Parts, tick, do
    ):
        do(running.durable.terminate(JOB, "by hand"))
        running.agents.silent.add("gpu-1")
        running.now += 31
        tick(running)
        before = running.vm().slots[JOB].releasing
        running.agents.silent.clear()
        running.now += 10

        tick(running)

        assert before
        assert running.vm().slots == {}
        assert running.agent().live() == []

    def test_a_living_jobs_slot_is_left_alone(self, running: Parts, tick):
        running.now += 31

        tick(running)

        assert not running.vm().slots[JOB].releasing

    def test_a_suspended_job_lives(self, running: Parts, tick, do):
        do(running.durable.suspend(JOB, "by hand"))
        running.now += 31

        tick(running)

        assert not running.vm().slots[JOB].releasing

    def test_a_slot_just_claimed_is_not_judged(self, running: Parts, tick, do):
        do(running.durable.terminate(JOB, "by hand"))
        running.now += 29

        tick(running)

        assert not running.vm().slots[JOB].releasing

    def test_a_missing_workflows_slot_is_freed_at_the_second_look(self, running: Parts, tick):
        del running.durable.instances[JOB]
        running.now += 31
        tick(running)
        kept = list(running.vm().slots)
        running.now += running.policy.adrift_s

        tick(running)

        assert kept == [JOB]
        assert running.vm().slots == {}
        assert running.agent().live() == []

    def test_a_suspended_jobs_slot_is_freed_once_its_agent_is_done(self, running: Parts, tick, do):
        """It would keep the VM up, idle and billed, until the longest job's time is over."""
        do(running.durable.suspend(JOB, "by hand"))
        running.now += 31
        tick(running)
        running.agent().state = AgentState()
        tick(running)
        kept = list(running.vm().slots)
        running.now += running.policy.adrift_s

        tick(running)

        assert kept == [JOB]
        assert running.vm().slots == {}

    def test_a_store_that_cannot_be_read_ends_no_slot_and_no_round(self, running: Parts, tick):
        for _ in range(3):
            running.durable.errors["get_status"] = [OSError("no storage")] * 3
            running.now += running.policy.adrift_s
            reply = tick(running)

        assert reply["answer"] == "sleep"
        assert list(running.vm().slots) == [JOB]

    def test_an_offer_to_a_job_that_is_over_is_dropped_at_the_next_look(
        self, running: Parts, tick
    ):
        """Its workflow may live: it was cancelled before its first step."""
        running.jobs.insert(
            JobRow(job_id=OTHER_JOB, created_at=running.now, state=JobState.CANCELLED)
        )
        running.apply(Enqueue(job_id=OTHER_JOB, fence=1))
        offered = list(running.vm().slots)
        running.now += 31

        tick(running)

        assert offered == [JOB, OTHER_JOB]
        assert list(running.vm().slots) == [JOB]


class TestSweep:
    @pytest.fixture
    def stale(self, running: Parts, tick) -> Parts:
        """A control plane whose reconciler has not ticked for longer than it may."""
        tick(running)
        running.now = running.state.look_at + running.policy.reconciler_overdue_s
        return running

    def test_does_nothing_while_ticks_are_fresh(self, running: Parts, tick, do):
        tick(running)
        writes = running.store.writes
        running.power.powers["gpu-1"] = "deallocated"
        running.now += 200

        do(running.reconcile.sweep(running.durable))

        assert running.store.writes == writes

    def test_starts_the_next_generation(self, stale: Parts, do):
        stale.now += 1

        do(stale.reconcile.sweep(stale.durable))

        assert stale.durable.started("reconcile_pool") == [
            "pool-reconciler-1",
            "pool-reconciler-2",
        ]

    def test_starts_the_first_reconciler_of_all(self, parts: Parts, do):
        do(parts.reconcile.sweep(parts.durable))

        assert parts.durable.started("reconcile_pool") == ["pool-reconciler-1"]

    def test_brings_a_drain_to_its_end_with_the_agents_receipt(self, stale: Parts, do):
        stale.apply(Cancel(job_id=JOB, fence=1))
        stale.now += stale.policy.idle_window_s
        stale.apply(Cancel(job_id=JOB, fence=1))
        stale.durable.instances.clear()
        stale.now += stale.policy.draining_s - 1
        stale.now = max(stale.now, stale.state.look_at + 301)

        do(stale.reconcile.sweep(stale.durable))

        assert stale.vm().phase == "deallocating"

    def test_deallocates_by_itself_only_with_a_receipt(self, stale: Parts, do):
        stale.apply(Release(job_id=JOB, fence=1, vm_unreachable=True))
        stale.now = stale.state.look_at + 301

        do(stale.reconcile.sweep(stale.durable))

        assert stale.vm().receipt is None
        assert ("deallocate", "gpu-1") not in stale.power.calls

    def test_deallocates_what_was_drained(self, idle: Parts, do):
        do(idle.vms.drain_vm(idle.order(), idle.durable))
        idle.now = idle.state.look_at + 301

        do(idle.reconcile.sweep(idle.durable))

        assert ("deallocate", "gpu-1") in idle.power.calls


class TestForgottenJobs:
    def insert(self, parts: Parts, job_id: str, **more) -> None:
        parts.jobs.insert(
            JobRow(job_id=job_id, created_at=parts.now, order={"id": job_id}, **more)
        )

    def test_a_job_accepted_but_never_started_is_started(self, parts: Parts, do):
        self.insert(parts, JOB)
        parts.now += 61

        do(parts.reconcile.sweep(parts.durable))

        assert parts.submission.started == [JOB]

    def test_one_that_may_only_just_be_starting_is_left_alone(self, parts: Parts, do):
        self.insert(parts, JOB)
        parts.now += 60

        do(parts.reconcile.sweep(parts.durable))

        assert parts.submission.started == []

    def test_one_that_waits_or_is_over_is_left_alone(self, parts: Parts, do):
        self.insert(parts, JOB)
        self.insert(parts, OTHER_JOB, state=JobState.CANCELLED)
        do(parts.durable.start_new("run_job", JOB, {}))
        parts.apply(Enqueue(job_id=JOB, fence=1))
        parts.now += 61

        do(parts.reconcile.sweep(parts.durable))

        assert parts.submission.started == []

    def test_a_batch_that_was_cut_off_is_started_once_and_not_its_jobs(self, parts: Parts, do):
        self.insert(parts, f"{JOB}-1", batch_id=JOB)
        self.insert(parts, f"{JOB}-2", batch_id=JOB)
        parts.now += 61

        do(parts.reconcile.sweep(parts.durable))

        assert (parts.submission.started, parts.batches.started) == ([], [JOB])
