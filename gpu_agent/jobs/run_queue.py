"""Hands queued jobs to worker threads, and tells when a job's time is up or its thread hangs."""

import logging

from gpu_agent.jobs import agent_state
from gpu_agent.jobs import job as steps
from gpu_agent.jobs.agent_state import AgentState
from gpu_agent.jobs.job import JobKey
from gpu_agent.jobs.run import Run
from gpu_agent.jobs.shared_state import SharedState

logger = logging.getLogger(__name__)

STUCK_S = 600.0
"""After its job is over a thread may go on for so long, in seconds: until the engine next asks, or
a call to the store has come to its end, which with the SDK's own retries may take four minutes; a
large read makes two. What goes on after that hangs in a library and ends with the process only."""


class RunQueue:
    """Knows which thread works on which job. Safe for many threads.

    Args:
        shared: The agent's state.
        slots: Number of threads that work.
    """

    def __init__(self, shared: SharedState, *, slots: int) -> None:
        self.slots = slots
        self._shared = shared
        self._runs: dict[JobKey, Run] = {}
        self._told_stuck: set[JobKey] = set()
        shared.watch(self._stop_those_over)

    def take(self) -> Run | None:
        """Wait for a queued job and let it run; None when the agent ends."""
        shared = self._shared
        with shared.lock:
            while not shared.is_ending:
                job = agent_state.find_next(shared.now)
                if job is not None and job.submission is not None and job.deadline_at is not None:
                    run = Run(
                        key=job.key,
                        epoch=job.epoch,
                        submission=job.submission,
                        deadline_at=job.deadline_at,
                    )
                    self._runs[job.key] = run
                    shared.change_quietly(agent_state.begin(shared.now, job.key))
                    logger.info("job started", extra=job.about)
                    return run
                shared.changed.wait()
            return None

    def leave(self, run: Run) -> None:
        """Say that no thread works on a run any more."""
        with self._shared.lock:
            self._runs.pop(run.key, None)
            self._told_stuck.discard(run.key)

    def expire_overdue(self) -> list[JobKey]:
        """Fail every job whose time is up, waiting or running, then wait for the next change.

        Returns:
            Jobs that have been over for `STUCK_S` while a thread still works on them, each once;
            then there was no wait.
        """
        shared = self._shared
        with shared.lock:
            now = shared.clock()
            timed = [steps.time_out_job(job, now) for job in shared.now.live]
            overdue = [job for job in timed if not job.is_live]
            shared.change_quietly(agent_state.with_jobs(shared.now, overdue))
            stuck_at = self._stuck_at()
            stuck = [key for key, at in stuck_at.items() if at <= now]
            self._told_stuck.update(stuck)
            moments = [job.deadline_at for job in timed if job.deadline_at is not None]
            moments += stuck_at.values()
            if not stuck and not shared.is_ending:
                shared.changed.wait(max(0.0, min(moments) - now) if moments else None)
            return stuck

    @property
    def are_all_stuck(self) -> bool:
        """Whether no thread is left that works. Needs the lock."""
        return len(self._told_stuck) >= self.slots

    def stop_all(self) -> None:
        """Have every thread stop its work. Needs the lock."""
        for run in self._runs.values():
            run.stopped.set()

    def _stop_those_over(self, _was: AgentState, state: AgentState) -> None:
        for key, run in self._runs.items():
            job = state.jobs.get(key)
            if job is None or not job.is_live:
                run.stopped.set()

    def _stuck_at(self) -> dict[JobKey, float]:
        """Tell when each thread whose job is over will count as stuck."""
        jobs = {
            key: self._shared.now.jobs.get(key) for key in self._runs.keys() - self._told_stuck
        }
        return {
            key: job.ended_at + STUCK_S
            for key, job in jobs.items()
            if job is not None and job.ended_at is not None
        }
