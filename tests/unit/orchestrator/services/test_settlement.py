"""Ends that are written from outside a job's workflow, over fakes."""

import json

import pytest

from orchestrator.adapters.durable_client import DurableClient
from orchestrator.domain.errors import AgentUnreachableError
from orchestrator.domain.job import JobRow, JobState, manifest_path
from orchestrator.domain.pool import Confirm, Enqueue
from orchestrator.domain.settlement import LOOKS_APART_S, LOST_S
from tests.unit.orchestrator.parts import JOB, MANIFEST, OTHER_JOB, Parts


@pytest.fixture
def running(ready: Parts, do) -> Parts:
    """A control plane whose job runs on its agent, under a workflow that is gone."""
    ready.jobs.insert(JobRow(job_id=JOB, created_at=ready.now, order={"id": JOB}))
    order = {"job_id": JOB, "fence": 1, "vm": "gpu-1", "epoch": ready.vm().epoch}
    do(ready.job_activities.submit_job({**order, "options": {}, "timeout_s": 60.0}))
    ready.durable.instances.clear()
    return ready


@pytest.fixture
def sweep(do):
    """Return a function that sweeps at the next two moments at which a sweep may decide."""

    def sweep(parts: Parts) -> None:
        parts.now += LOST_S
        do(parts.reconcile.sweep(parts.durable))
        parts.now += LOOKS_APART_S
        do(parts.reconcile.sweep(parts.durable))

    return sweep


class TestLostWorkflows:
    def test_a_running_job_fails_so_that_it_can_be_sent_again(self, running: Parts, sweep):
        sweep(running)

        row = running.jobs.read(JOB)
        assert row.state is JobState.FAILED
        assert (row.error["code"], row.error["retryable"]) == ("workflow_lost", True)
        assert row.ended_at == running.now
        assert running.vm().slots == {}
        assert running.agent().live() == []

    def test_one_look_is_not_enough(self, running: Parts, do):
        running.now += LOST_S

        do(running.reconcile.sweep(running.durable))

        assert running.jobs.read(JOB).state is JobState.RUNNING

    def test_a_workflow_that_is_there_again_is_not_lost_at_the_next_look(
        self, running: Parts, sweep, do
    ):
        running.now += LOST_S
        do(running.reconcile.sweep(running.durable))
        do(running.durable.start_new("run_job", JOB, {}))
        do(running.reconcile.sweep(running.durable))
        running.durable.instances.clear()
        running.now += LOOKS_APART_S
        do(running.reconcile.sweep(running.durable))

        assert running.jobs.read(JOB).state is JobState.RUNNING

    def test_a_store_that_cannot_be_read_is_no_missing_workflow(self, running: Parts, do):
        for _ in range(3):
            running.durable.errors["get_status"] = [OSError("no storage")] * 9
            running.now += LOST_S
            do(running.reconcile.sweep(running.durable))

        assert running.jobs.read(JOB).state is JobState.RUNNING
        assert running.jobs.read(JOB).missing_at is None

    def test_a_model_that_was_finished_counts(self, running: Parts, sweep):
        running.files.write(manifest_path(JOB), json.dumps(MANIFEST).encode(), "application/json")

        sweep(running)

        row = running.jobs.read(JOB)
        assert (row.state, row.result) == (JobState.SUCCEEDED, MANIFEST)

    def test_nothing_is_written_before_the_agent_has_confirmed(self, running: Parts, sweep, do):
        """It may be about to finish: a job must not have failed and have a model."""
        running.agents.errors["stop"] = [AgentUnreachableError("cut")] * 9
        sweep(running)
        before = running.jobs.read(JOB).state
        running.agents.errors.clear()
        running.now += running.policy.reissue_s
        do(running.reconcile.sweep(running.durable))

        assert before is JobState.RUNNING
        assert running.jobs.read(JOB).state is JobState.FAILED

    def test_a_queued_job_is_started_again(self, parts: Parts, sweep):
        parts.jobs.insert(JobRow(job_id=JOB, created_at=parts.now))

        sweep(parts)

        assert set(parts.submission.started) == {JOB}
        assert parts.jobs.read(JOB).state is JobState.QUEUED

    def test_one_job_that_cannot_be_seen_to_keeps_no_other_waiting(self, parts: Parts, do):
        for job_id in (JOB, OTHER_JOB):
            parts.jobs.insert(JobRow(job_id=job_id, created_at=parts.now))
        parts.now += LOST_S
        parts.durable.errors["get_status"] = [OSError("one call failed")]

        do(parts.reconcile.sweep(parts.durable))

        assert len(parts.submission.started) == 1

    def test_a_child_that_its_batch_has_not_begun_yet_is_left_to_it(self, parts: Parts, sweep, do):
        parts.jobs.insert(JobRow(job_id=f"{JOB}-1", created_at=parts.now, batch_id=JOB))
        do(parts.durable.start_new("run_batch", JOB, {}))

        sweep(parts)

        assert parts.jobs.read(f"{JOB}-1").state is JobState.QUEUED
        assert (parts.submission.started, parts.batches.started) == ([], [])


class TestEndsFromOutside:
    @pytest.mark.parametrize(
        ("status", "state"), [("Terminated", JobState.CANCELLED), ("Failed", JobState.FAILED)]
    )
    def test_are_written_although_nobody_asks_for_the_job(
        self, running: Parts, do, status: str, state: JobState
    ):
        do(running.durable.start_new("run_job", JOB, {}))
        running.durable.instances[JOB].runtime_status = status
        running.now += LOST_S

        do(running.reconcile.sweep(running.durable))

        assert running.jobs.read(JOB).state is state
        assert running.vm().slots == {}


class TestCancel:
    def test_works_without_a_workflow(self, running: Parts, do):
        row = do(running.settlement.cancel(running.jobs.read(JOB), DurableClient(running.durable)))

        assert row.state is JobState.CANCELLED
        assert running.vm().slots == {}
        assert running.agent().live() == []

    def test_keeps_a_workflow_that_begins_later_from_a_slot(self, ready: Parts, do):
        """A batch is cancelled before its child's first step, by a clock that is behind."""
        ready.jobs.insert(JobRow(job_id=OTHER_JOB, created_at=ready.now))
        do(ready.settlement.cancel(ready.jobs.read(OTHER_JOB), DurableClient(ready.durable)))

        reply = ready.apply(Enqueue(job_id=OTHER_JOB, fence=int(ready.now * 1000 + 50) * 100 + 1))

        assert reply == {"answer": "cancelled"}
        assert OTHER_JOB not in ready.vm().slots


class TestCost:
    def test_a_cancelled_job_that_ran_has_its_cost(self, running: Parts, do):
        running.now += 100

        row = do(running.settlement.cancel(running.jobs.read(JOB), DurableClient(running.durable)))

        assert row.cost["compute_seconds"] == 100
        assert row.cost["usd"] > 0

    def test_comes_after_the_end_if_the_agent_confirms_later(self, running: Parts, do):
        running.now += 100
        running.agents.errors["stop"] = [AgentUnreachableError("cut")]
        ended = do(
            running.settlement.cancel(running.jobs.read(JOB), DurableClient(running.durable))
        )
        early = do(running.settlement.add_cost(ended))
        running.now += running.policy.reissue_s
        do(running.reconcile.sweep(running.durable))
        running.apply(Confirm())
        late = do(running.settlement.add_cost(ended))

        assert (ended.state, ended.cost, early.cost) == (JobState.CANCELLED, None, None)
        assert late.cost["compute_seconds"] >= 100
        assert running.jobs.read(JOB).cost == late.cost

    def test_a_job_that_never_ran_has_none(self, parts: Parts, do):
        parts.jobs.insert(JobRow(job_id=JOB, created_at=parts.now))

        row = do(parts.settlement.cancel(parts.jobs.read(JOB), DurableClient(parts.durable)))

        assert do(parts.settlement.add_cost(row)).cost is None
