"""Writes the folders of agents in known states, step by step with a clock of its own.

The files in ``tests/fixtures/stored_forms/agent`` were written by this program over the code of
before the agent got its rooms (1d64392). Today's code must write the same.
"""

import json
import shutil
import sqlite3
import threading
from pathlib import Path
from unittest import mock

from gpu_agent.artifacts.store import FolderArtifactStore
from gpu_agent.boot.user_data import render_environment
from gpu_agent.engines.hunyuan3d.weights import write_manifest
from gpu_agent.errors import EngineError
from gpu_agent.jobs.core import AgentCore
from gpu_agent.jobs.job import JobKey
from gpu_agent.jobs.job_store import JobStore
from gpu_agent.jobs.run import SetUp
from gpu_agent.jobs.vm_service import AgentIdentity
from gpu_agent.wire import DrainRequest, LeaseRequest, Stage, Submission
from gpu_agent.work import pipeline as recipe
from gpu_agent.work.fifo_lock import FifoLock
from gpu_agent.work.runner import RunWatch
from tests.fakes.engine import FakeEngine

MACHINE_BOOT = "boot-1"
MANIFEST = {"job_id": "done", "mesh": {"faces": 9}, "notice": "Größe"}


class ImpatientCondition(threading.Condition):
    """Waits for nobody."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


class AgentFolder:
    """A folder and the process that has it."""

    def __init__(self, folder: Path, slots: int = 3) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.now = 100.0
        self.core = AgentCore(
            store=JobStore(folder / "ledger.sqlite3", machine_boot=MACHINE_BOOT),
            identity=AgentIdentity(
                vm_name="gpu-1",
                token="token",
                engine={"name": "fake", "version": "1", "description": "Makes nothing."},
                boot_id="process-1",
            ),
            slots=slots,
            clock=lambda: self.now,
            condition=ImpatientCondition,
        )
        self.core.lifecycle.report_set_up(SetUp(phase="ready", percent=100, detail="Takes jobs."))

    def submit(self, job_id: str, fence: int = 1, epoch: int = 4, **options) -> None:
        self.core.jobs.submit(JobKey(job_id, fence), submission(job_id, fence, epoch, options))

    def work(self, until: Stage) -> JobKey:
        """Take the next job through its stages, two seconds each, and stop in one of them."""
        key = self.core.runs.take().key
        for stage in Stage:
            self.core.jobs.advance(key, stage, 0.0)
            self.now += 2.0
            self.core.jobs.advance(key, stage, 40.0)
            if stage is until:
                return key
        return key


def submission(job_id: str, fence: int, epoch: int, options: dict | None = None) -> Submission:
    return Submission(
        epoch=epoch,
        input_path=f"jobs/{job_id}/input.png",
        output_prefix=f"jobs/{job_id}/{fence}/",
        manifest_path=f"jobs/{job_id}/manifest.json",
        options=options or {},
        timeout_s=600.0,
    )


def write_busy(folder: Path) -> AgentCore:
    """Jobs in every state, answers of both kinds, learned times. Still open."""
    agent = AgentFolder(folder)
    agent.core.vm.renew_lease(LeaseRequest(epoch=3, ttl_s=60.0))
    agent.submit("old", epoch=3)
    agent.submit("new-epoch", epoch=4, seed=5)
    agent.core.jobs.succeed(agent.work(Stage.UPLOAD), MANIFEST)
    agent.submit("done", detail="high", seed=11)
    agent.core.jobs.succeed(agent.work(Stage.UPLOAD), MANIFEST)
    agent.submit("done-again", detail="high", seed=12)
    agent.core.jobs.succeed(agent.work(Stage.TEXTURE), {})
    agent.submit("failed", fence=7)
    agent.core.jobs.fail(
        agent.work(Stage.SHAPE), EngineError("no_subject", "There is no subject.")
    )
    agent.submit("overdue")
    agent.now += 601.0
    agent.core.runs.expire_overdue()
    agent.submit("cancelled")
    agent.core.jobs.cancel(JobKey("cancelled", 1))
    agent.core.jobs.cancel(JobKey("tomb", 2))
    agent.core.vm.drain(DrainRequest(epoch=4, drain=1))
    agent.submit("fenced", fence=1, epoch=5)
    agent.submit("fenced", fence=2, epoch=5)
    agent.core.vm.drain(DrainRequest(epoch=5, drain=1))
    agent.submit("running", detail="high", epoch=5)
    agent.core.jobs.end_stage(agent.work(Stage.BACKGROUND))
    agent.work(Stage.SHAPE)
    agent.submit("queued", preset="draft", texture=True, epoch=5)
    return agent.core


def write_closed(folder: Path) -> AgentCore:
    """A job that is done, and a door that is closed until the next boot."""
    agent = AgentFolder(folder)
    agent.submit("done", preset="draft")
    agent.core.jobs.succeed(agent.work(Stage.UPLOAD), MANIFEST)
    agent.core.vm.drain(DrainRequest(epoch=4, drain=1, final=True))
    return agent.core


def write_artifacts(folder: Path) -> None:
    """Artifacts and manifest of a job, in a folder that stands for the store."""
    agent = AgentFolder(folder)
    agent.submit("a", detail="high")
    run = agent.core.runs.take()
    store = FolderArtifactStore(folder / "store")
    store.write(run.submission.input_path, b"png", "image/png")
    with mock.patch.object(recipe.time, "time", return_value=1_700_000_000.123456):
        recipe.make_model(
            run,
            engine=FakeEngine(),
            store=store,
            watch=RunWatch(agent.core, run, stage_min_s=0.0, clock=lambda: agent.now),
            engine_lock=FifoLock(agent.core.changed),
            look=lambda: agent.core.jobs.look(run.key),
        )
    agent.core.lifecycle.close()
    (folder / "ledger.sqlite3").unlink()


def write_weights(folder: Path) -> None:
    """Weights and their manifest."""
    file = folder / "tencent" / "Hunyuan3D-2mini" / "config.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"a: 1\n")
    (folder / "tencent" / ".cache").write_bytes(b"left by a downloader")
    write_manifest(folder, {"tencent/Hunyuan3D-2mini": "0123abc"})


def write_boot(folder: Path) -> None:
    """What the boot program writes for the units."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"GPU_AGENT_VM_NAME": "gpu-1", "GPU_AGENT_NOTE": 'a "quoted" \\ word $HOME'}
    (folder / "settings.env").write_text(render_environment(settings), "utf-8")


def rows(path: Path) -> str:
    """Give everything in a job store as text."""
    db = sqlite3.connect(path)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        return "\n".join([f"-- user_version {version}", *db.iterdump()]) + "\n"
    finally:
        db.close()


def write_all(folder: Path) -> None:
    """Write every folder."""
    killed = folder / "killed"
    live = write_busy(folder / "live")
    # As a kill leaves it. Reading it once puts what lies in SQLite's log into the file.
    killed.mkdir()
    for file in (folder / "live").iterdir():
        shutil.copy(file, killed / file.name)
    rows(killed / "ledger.sqlite3")
    live.lifecycle.end()
    live.lifecycle.close()
    (folder / "live").rename(folder / "ended")
    write_closed(folder / "closed").lifecycle.close()
    write_artifacts(folder / "artifacts")
    write_weights(folder / "weights")
    write_boot(folder / "boot")


def views(jobs) -> str:
    """Give jobs as the wire shows them."""
    return json.dumps([job.view().to_json() for job in jobs], indent=1) + "\n"
