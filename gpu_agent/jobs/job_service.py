"""What callers and worker threads do with one job: submit, cancel, advance, end."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gpu_agent.errors import JobError
from gpu_agent.jobs import agent_state
from gpu_agent.jobs import job as steps
from gpu_agent.jobs.job import Job, JobKey
from gpu_agent.jobs.shared_state import SharedState
from gpu_agent.wire import JobView, Stage, Submission

logger = logging.getLogger(__name__)


class JobService:
    """Takes jobs and remembers what becomes of them. Safe for many threads.

    Args:
        shared: The agent's state.
        slots: Most live jobs.
        require_ready: Raises `NotReadyError` while no job can be taken.
    """

    def __init__(
        self, shared: SharedState, *, slots: int, require_ready: Callable[[], None]
    ) -> None:
        self._shared = shared
        self._slots = slots
        self._require_ready = require_ready

    def submit(self, key: JobKey, submission: Submission) -> tuple[JobView, bool]:
        """Queue a new job, or join the one of the same key.

        Returns:
            The job, and whether it is new.

        Raises:
            RequestError: As in `agent_state.submit`; `NotReadyError` while the engine is set up.
            JobStoreError: Nothing was promised and nothing has changed.
        """
        shared = self._shared
        with shared.lock:
            if key not in shared.now.jobs and not shared.now.is_closed:
                shared.hear_epoch(submission.epoch)
            state, job = agent_state.submit(
                shared.now, key, submission, slots=self._slots, now=shared.clock()
            )
            if state is shared.now:
                return job.view(), False
            self._require_ready()
            shared.change(state)
            logger.info("job accepted", extra=job.about)
            return job.view(), True

    def cancel(self, key: JobKey) -> JobView:
        """Cancel a job, at once and for good.

        The view says cancelled from here on and a late result is dropped. The thread that works
        on it goes on until the engine next asks; new work waits for it, so the engine never
        serves two jobs.
        """
        shared = self._shared
        with shared.lock:
            state, job = agent_state.cancel(shared.now, key, shared.clock())
            if state is not shared.now:
                shared.change(state)
                logger.info("job cancelled", extra=job.about)
            return job.view()

    def look(self, key: JobKey) -> JobView:
        """Give a job as it is.

        Raises:
            UnknownJobError: Neither held nor remembered.
        """
        with self._shared.lock:
            return agent_state.find(self._shared.now, key).view()

    def advance(self, key: JobKey, stage: Stage, percent: float) -> None:
        """Say how far a job is; nothing happens to one that is over."""
        self._step(key, lambda job, now: steps.advance_job(job, stage, percent, now))

    def end_stage(self, key: JobKey) -> None:
        """Say that a job waits between two stages."""
        self._step(key, steps.end_stage)

    def succeed(self, key: JobKey, manifest: Mapping[str, Any]) -> None:
        """End a job with its manifest; dropped when the job is over already."""
        shared = self._shared
        with shared.lock:
            state = agent_state.succeed(shared.now, key, manifest, shared.clock())
            if state is not shared.now:
                shared.change_quietly(state)
                logger.info("job succeeded", extra=state.jobs[key].about)

    def fail(self, key: JobKey, error: JobError) -> None:
        """End a job with an error; dropped when the job is over already."""
        self._step(
            key,
            lambda job, now: steps.fail_job(
                job, code=error.code, message=str(error), retryable=error.retryable, now=now
            ),
        )

    def _step(self, key: JobKey, step: Callable[[Job, float], Job]) -> None:
        shared = self._shared
        with shared.lock:
            was = shared.now.jobs.get(key)
            job = was and step(was, shared.clock())
            if was is None or job is None or job is was:
                return
            state = agent_state.with_jobs(shared.now, [job])
            if job.state.is_over:
                shared.change_quietly(state)
                logger.info("job %s", job.state, extra={**job.about, "error": job.error})
                return
            if job.stage is not was.stage:
                shared.save_quietly(state)
                logger.info("stage %s", job.stage, extra=job.about)
            shared.show(state)
