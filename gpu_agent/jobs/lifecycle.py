"""Whether the agent takes jobs: while its engine is set up, while it drains, and as it ends."""

import logging
from collections.abc import Callable

from gpu_agent.errors import NotReadyError
from gpu_agent.jobs import agent_state
from gpu_agent.jobs import job as steps
from gpu_agent.jobs.long_polls import LongPolls
from gpu_agent.jobs.run import SetUp
from gpu_agent.jobs.run_queue import RunQueue
from gpu_agent.jobs.shared_state import SharedState
from gpu_agent.wire import Readiness

logger = logging.getLogger(__name__)

_HURRY_LOOK_S = 0.1


class Lifecycle:
    """Opens and closes the agent to jobs. Safe for many threads.

    Args:
        shared: The agent's state.
        runs: Whose work is stopped at the end.
        polls: Which are answered at the end.
    """

    def __init__(self, shared: SharedState, runs: RunQueue, polls: LongPolls) -> None:
        self._shared = shared
        self._runs = runs
        self._polls = polls
        self._set_up = SetUp(phase="setting_up", percent=0, detail="Waiting for the engine.")
        self._is_winding_up = False

    def report_set_up(self, set_up: SetUp) -> None:
        """Say how far the engine's set-up is; phase ``ready`` lets jobs in."""
        with self._shared.lock:
            if set_up.phase != self._set_up.phase:
                logger.info("engine %s: %s", set_up.phase, set_up.detail)
            self._set_up = set_up

    def require_ready(self) -> None:
        """Refuse a job that nobody would begin. Needs the lock.

        Raises:
            NotReadyError: The engine is still set up, or the agent is about to end.
        """
        if self._is_winding_up:
            raise NotReadyError("The agent is about to end.")
        if self._set_up.phase != "ready":
            raise NotReadyError(f"The engine is not ready: {self._set_up.detail}")

    def readiness(self) -> Readiness:
        """Tell whether jobs are taken, and if not, why."""
        with self._shared.lock:
            state = self._shared.now
            phase, detail = self._set_up.phase, self._set_up.detail
            # A drain of the last process says nothing about this one: whoever has woken the
            # machine waits for "ready" first and names its newer epoch after that. Until then the
            # state goes on refusing the old one.
            is_drained = state.is_drained and state.epoch != self._shared.drained_before
            if state.is_closed:
                phase, detail = "closed", "Closed until the machine boots again."
            elif self._is_winding_up:
                phase, detail = "draining", "The agent is about to end."
            elif is_drained and phase == "ready":
                phase, detail = "draining", f"Drained in epoch {state.epoch}."
            return Readiness(
                ready=phase == "ready",
                phase=phase,
                percent=self._set_up.percent,
                detail=detail,
                steps=dict(self._set_up.steps),
            )

    @property
    def is_ending(self) -> bool:
        """Whether the process is about to end."""
        return self._shared.is_ending

    def wind_up_when_idle(self, hurried: Callable[[], bool]) -> None:
        """Take jobs until none is held, or no thread is left that works; then take no more.

        Args:
            hurried: Asked at every change and ten times a second: whether to wait no longer.
        """
        shared = self._shared
        with shared.lock:
            while shared.now.live and not self._runs.are_all_stuck and not hurried():
                shared.changed.wait(_HURRY_LOOK_S)
            self._is_winding_up = True

    def wind_up(self, limit_s: float, hurried: Callable[[], bool] = bool) -> None:
        """Take no more jobs, and wait until those held are over.

        Args:
            limit_s: Longest wait in seconds.
            hurried: Asked at every change and ten times a second: whether to wait no longer.
        """
        shared = self._shared
        with shared.lock:
            if not self._is_winding_up:
                logger.info("taking no more jobs; %d held", len(shared.now.live))
            self._is_winding_up = True
            shared.changed.notify_all()
            end = shared.clock() + limit_s
            while shared.now.live and not hurried() and (left_s := end - shared.clock()) > 0:
                shared.changed.wait(min(left_s, _HURRY_LOOK_S))

    def end(self) -> None:
        """Take no more jobs, interrupt those held, answer every long-poll. Final."""
        shared = self._shared
        with shared.lock:
            if shared.is_ending:
                return
            self._is_winding_up = shared.is_ending = True
            now = shared.clock()
            held = [steps.interrupt_job(job, now) for job in shared.now.live]
            shared.change_quietly(agent_state.with_jobs(shared.now, held))
            self._runs.stop_all()
            shared.changed.notify_all()
            self._polls.wake_all()
            logger.info("ending; %d jobs interrupted", len(held))

    def close(self) -> None:
        """Let go of the job store, once nothing else uses it."""
        with self._shared.lock:
            self._shared.close()
