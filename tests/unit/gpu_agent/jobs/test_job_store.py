import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_agent.errors import JobStoreError
from gpu_agent.jobs import agent_state
from gpu_agent.jobs.agent_state import AgentState
from gpu_agent.jobs.job import JobKey, advance_job, begin_job, cancel_job, succeed_job
from gpu_agent.jobs.job_store import JobStore
from gpu_agent.wire import DrainRequest, Stage, Submission


def full_state() -> AgentState:
    asked = Submission(
        epoch=4,
        input_path="jobs/a/input.png",
        output_prefix="jobs/a/1/",
        manifest_path="jobs/a/manifest.json",
        options={"detail": "high"},
    )
    state = AgentState(epoch=4)
    state, done = agent_state.submit(state, JobKey("done", 3), asked, slots=4, now=0.0)
    done = advance_job(begin_job(done), Stage.SHAPE, 40.0, now=1.0)
    state = agent_state.with_jobs(state, [succeed_job(done, {"faces": 9}, now=2.0)])
    state, _ = agent_state.submit(state, JobKey("live", 1), asked, slots=4, now=0.0)
    state, _ = agent_state.cancel(state, JobKey("tomb", 2), now=0.0)
    state, _ = agent_state.drain(state, DrainRequest(epoch=4, drain=1), lambda *_: "signed")
    return state


def views(state: AgentState):
    return [job.view() for job in state.jobs.values()]


class TestJobStore:
    def test_gives_back_what_was_saved(self, tmp_path: Path):
        state = full_state()
        store = JobStore(tmp_path / "ledger", machine_boot="one")
        store.load()
        store.save(state, is_durable=True)
        store.close()

        found = JobStore(tmp_path / "ledger", machine_boot="one").load()

        assert views(found) == views(state)
        assert found.answers == state.answers
        assert (found.epoch, found.is_drained) == (4, False)
        assert found.jobs[JobKey("live", 1)].submission.options == {"detail": "high"}

    def test_writes_what_an_earlier_save_could_not(self, tmp_path: Path):
        state = full_state()
        store = JobStore(tmp_path / "ledger", machine_boot="one")
        unfit = agent_state.with_jobs(
            state, [replace(state.jobs[JobKey("live", 1)], stage_seconds={"x": object()})]
        )
        with pytest.raises(JobStoreError):
            store.save(unfit, is_durable=False)

        store.save(state, is_durable=False)
        store.close()

        assert views(JobStore(tmp_path / "ledger", machine_boot="one").load()) == views(state)

    def test_forgets_what_the_book_forgot(self, tmp_path: Path):
        state = full_state()
        store = JobStore(tmp_path / "ledger", machine_boot="one")
        store.save(state, is_durable=True)
        kept = {JobKey("live", 1): cancel_job(state.jobs[JobKey("live", 1)], now=1.0)}
        store.save(replace(state, jobs=kept, answers={}), is_durable=True)
        store.close()

        found = JobStore(tmp_path / "ledger", machine_boot="one").load()

        assert list(found.jobs) == [JobKey("live", 1)]
        assert found.answers == {}

    @pytest.mark.parametrize(("boot", "is_closed"), [("one", True), ("two", False)])
    def test_stays_closed_until_the_machine_boots(
        self, tmp_path: Path, boot: str, is_closed: bool
    ):
        store = JobStore(tmp_path / "ledger", machine_boot="one")
        store.save(AgentState(epoch=1, is_drained=True, is_closed=True), is_durable=True)
        store.close()

        found = JobStore(tmp_path / "ledger", machine_boot=boot).load()

        assert found.is_closed is is_closed
        assert found.is_drained

    def test_refuses_a_second_owner(self, tmp_path: Path):
        first = JobStore(tmp_path / "ledger", machine_boot="one")

        with pytest.raises(JobStoreError, match="locked"):
            JobStore(tmp_path / "ledger", machine_boot="one", wait_s=0.01)

        first.close()

    @pytest.mark.parametrize("damage", ["garbage", "cut", "schema"])
    def test_sets_a_damaged_file_aside(self, tmp_path: Path, damage: str):
        path = tmp_path / "ledger"
        store = JobStore(path, machine_boot="one")
        store.save(full_state(), is_durable=True)
        store.close()
        if damage == "garbage":
            path.write_bytes(b"no database at all, " * 500)
        elif damage == "cut":
            path.write_bytes(path.read_bytes()[:5000])
        else:
            db = sqlite3.connect(path)
            db.execute("PRAGMA user_version = 99")
            db.close()

        found = JobStore(path, machine_boot="one").load()

        assert found == AgentState()
        assert len(list(tmp_path.glob("ledger.damaged-*"))) == 1
