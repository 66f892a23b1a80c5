"""The threads that work on jobs: as many as slots, in the engine one by one or all at once."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gpu_agent.artifacts.store import ArtifactStore
from gpu_agent.engines import Engine
from gpu_agent.errors import (
    EngineError,
    JobCancelledError,
    JobError,
    JobTimeoutError,
    UnexpectedError,
)
from gpu_agent.host.machine import read_boot_clock
from gpu_agent.jobs.core import AgentCore
from gpu_agent.jobs.run import Run, SetUp
from gpu_agent.wire import JobView, Stage
from gpu_agent.work.fifo_lock import FifoLock
from gpu_agent.work.pipeline import make_model

logger = logging.getLogger(__name__)


class Gauge(Protocol):
    """Told of every job that a thread has left."""

    def observe_job(self, view: JobView) -> None:
        """Take a job that is over."""


def _ignore(_detail: str) -> None:
    pass


class RunWatch:
    """What an engine reports to for one run (see `engines.Watch`).

    Args:
        core: Hears of the progress.
        run: The run.
        stage_min_s: Shortest time that a stage takes, in seconds; the wait ends early when the
            job is stopped.
        clock: Seconds on the boot clock.
    """

    def __init__(
        self, core: AgentCore, run: Run, *, stage_min_s: float, clock: Callable[[], float]
    ) -> None:
        self._core = core
        self._run = run
        self._stage_min_s = stage_min_s
        self._clock = clock
        self._stage: Stage | None = None
        self._stage_began_at = 0.0
        self.about: Mapping[str, Any] = {
            "job_id": run.key.job_id,
            "fence": run.key.fence,
            "epoch": run.epoch,
        }

    def stage(self, stage: Stage, percent: float = 0.0) -> None:
        """Say which stage is under way and how far it is."""
        self.check()
        if stage is not self._stage:
            self._sit_out_stage()
            self._stage, self._stage_began_at = stage, self._clock()
        self._core.jobs.advance(self._run.key, stage, percent)

    def end_stage(self) -> None:
        """Say that the stage is done and the next one has to wait."""
        self._sit_out_stage()
        self._stage = None
        self._core.jobs.end_stage(self._run.key)

    def check(self) -> None:
        """Raise if the job must not go on."""
        if self._clock() >= self._run.deadline_at:
            raise JobTimeoutError("The job's time is up.")
        if self._run.stopped.is_set():
            raise JobCancelledError("The job was cancelled.")

    def _sit_out_stage(self) -> None:
        if self._stage is not None and self._stage_min_s > 0:
            self._run.stopped.wait(
                max(0.0, self._stage_began_at + self._stage_min_s - self._clock())
            )
        self.check()


class Runner:
    """Owns the threads.

    Args:
        core: Hands out the jobs.
        engine: Makes the models; set up by a thread of its own, so that the service answers.
        store: Where images come from and models go to.
        gauge: Told of every job that is over, or None.
        stage_min_s: Shortest time that a stage takes, in seconds.
        store_patience_s: How long a store that is not there is asked again, in seconds.
        give_up: Called with one sentence when the engine could not be set up.
        start_over: Called with one sentence for a thread that hangs: only another process helps.
        clock: Seconds on the boot clock.
    """

    def __init__(
        self,
        *,
        core: AgentCore,
        engine: Engine,
        store: ArtifactStore,
        gauge: Gauge | None = None,
        stage_min_s: float = 0.0,
        store_patience_s: float = 0.0,
        give_up: Callable[[str], None] = _ignore,
        start_over: Callable[[str], None] = _ignore,
        clock: Callable[[], float] = read_boot_clock,
    ) -> None:
        self.engine_lock = FifoLock(core.changed)
        self._core = core
        self._engine = engine
        self._store = store
        self._gauge = gauge
        self._stage_min_s = stage_min_s
        self._store_patience_s = store_patience_s
        self._give_up = give_up
        self._start_over = start_over
        self._clock = clock
        self._threads = [
            threading.Thread(target=self._set_up, name="set-up", daemon=True),
            threading.Thread(target=self._keep_deadlines, name="deadlines", daemon=True),
            *(
                threading.Thread(target=self._work, name=f"worker-{n}", daemon=True)
                for n in range(core.runs.slots)
            ),
        ]

    def start(self) -> None:
        """Start the threads. Once only."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads to end after the core has ended.

        Returns:
            False if one of them, an engine that does not ask, still runs after `timeout_s`.
        """
        end = self._clock() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - self._clock()))
        return not any(thread.is_alive() for thread in self._threads)

    def _set_up(self) -> None:
        done = SetUp(phase="setting_up", percent=0, detail="Setting up the engine.")

        def report(percent: int, detail: str, step: str = "") -> None:
            nonlocal done
            done = done.go_on(percent, detail, step)
            self._core.lifecycle.report_set_up(done)

        self._core.lifecycle.report_set_up(done)
        try:
            self._engine.set_up(report)
        except EngineError as error:
            self._fail_set_up(f"The set-up failed: {error}")
            return
        except Exception:
            logger.exception("the engine could not be set up")
            self._fail_set_up("The set-up failed: the agent's log says why.")
            return
        steps = dict.fromkeys(done.steps, 100)
        ready = SetUp(phase="ready", percent=100, detail="Takes jobs.", steps=steps)
        self._core.lifecycle.report_set_up(ready)

    def _fail_set_up(self, detail: str) -> None:
        self._core.lifecycle.report_set_up(SetUp(phase="failed", percent=0, detail=detail))
        self._give_up(detail)

    def _keep_deadlines(self) -> None:
        while not self._core.lifecycle.is_ending:
            for key in self._core.runs.expire_overdue():
                self._start_over(f"The work on {key.job_id} is over and does not end.")

    def _work(self) -> None:
        while (run := self._core.runs.take()) is not None:
            try:
                self._run_job(run)
            except Exception:
                logger.exception("worker broke", extra={"job_id": run.key.job_id})
            finally:
                self._core.runs.leave(run)

    def _run_job(self, run: Run) -> None:
        watch = RunWatch(self._core, run, stage_min_s=self._stage_min_s, clock=self._clock)
        try:
            manifest = make_model(
                run,
                engine=self._engine,
                store=self._store,
                watch=watch,
                engine_lock=self.engine_lock,
                store_patience_s=self._store_patience_s,
                look=lambda: self._core.jobs.look(run.key),
            )
            self._core.jobs.succeed(run.key, manifest)
        except JobError as error:
            self._core.jobs.fail(run.key, error)
        except (Exception, SystemExit):
            logger.exception("job broke", extra={"job_id": run.key.job_id, "epoch": run.epoch})
            self._core.jobs.fail(run.key, UnexpectedError("The agent failed unexpectedly."))
        if self._gauge is not None:
            self._gauge.observe_job(self._core.jobs.look(run.key))
