"""The desk: the one place where requests, worker threads and the ledger meet.

One lock is around the state. Whatever a caller is promised is in the ledger before the promise is
given. That a job has begun, its stages and its end may be lost with the power, not with the
process; percents live in memory only, for an end of the process ends the job anyway.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from gpu_agent.errors import JobError, JobStoreError, NotReadyError
from gpu_agent.host.machine import read_boot_clock
from gpu_agent.jobs import agent_state
from gpu_agent.jobs import job as steps
from gpu_agent.jobs.agent_state import AgentState
from gpu_agent.jobs.job import Job, JobKey
from gpu_agent.jobs.job_store import JobStore, restart_ages
from gpu_agent.jobs.receipts import sign_receipt
from gpu_agent.jobs.run import Run, SetUp
from gpu_agent.wire import (
    AgentStatus,
    DrainAnswer,
    DrainRequest,
    JobView,
    LeaseRequest,
    Readiness,
    Stage,
    Submission,
)

logger = logging.getLogger(__name__)

STUCK_S = 600.0
"""After its job is over a thread may go on for so long, in seconds: until the engine next asks, or
a call to the store has come to its end, which with the SDK's own retries may take four minutes; a
large read makes two. What goes on after that hangs in a library and ends with the process only."""

_HURRY_LOOK_S = 0.1


class Desk:
    """Takes jobs, hands them out, remembers them, tells of them. Safe for many threads.

    Args:
        ledger: Owned by the desk from here on.
        vm_name: Name of the VM.
        slots: Most live jobs.
        token: Signs the receipts of drains.
        engine: ``{name, version, description}``.
        image_version: Version of the VM's disk image, or empty.
        machine_boot: Identity of the machine's boot, or empty.
        max_uptime_s: Hard cap that the switch keeps, in seconds from boot; None if none is set.
        booted_at: When the machine booted, on the boot clock.
        clock: Seconds on the boot clock.
        condition: Makes what its threads wait on.

    Attributes:
        changed: Notified when a job has come, begun or ended, the door was closed or opened, or
            the agent is about to end.
    """

    def __init__(
        self,
        *,
        ledger: JobStore,
        vm_name: str,
        slots: int,
        token: str,
        engine: Mapping[str, str],
        image_version: str = "",
        machine_boot: str = "",
        max_uptime_s: float | None = None,
        booted_at: float = 0.0,
        clock: Callable[[], float] = read_boot_clock,
        condition: Callable[[threading.RLock], threading.Condition] = threading.Condition,
    ) -> None:
        self._lock = threading.RLock()
        self._condition = condition
        self.changed = condition(self._lock)
        # Where those wait who follow a job; gone with the last of them. Apart from `changed`, for
        # jobs make progress many times a second, and every waiter that is woken costs.
        self._news: WeakValueDictionary[JobKey, threading.Condition] = WeakValueDictionary()
        self.slots = slots
        self.boot_id = uuid.uuid4().hex
        self._ledger = ledger
        self._vm_name = vm_name
        self._token = token
        self._engine = dict(engine)
        self._image_version = image_version
        self._machine_boot = machine_boot
        self._max_uptime_s = max_uptime_s
        self._booted_at = booted_at
        self._clock = clock
        self._began_at = clock()
        self._set_up = SetUp(phase="setting_up", percent=0, detail="Waiting for the engine.")
        self._lease_until: float | None = None
        self._is_winding_up = False
        self._is_ending = False
        self._runs: dict[JobKey, Run] = {}
        self._told_stuck: set[JobKey] = set()
        self._state = AgentState()
        with self._lock:
            now = self._began_at
            found = restart_ages(ledger.load(), now)
            self._old_drain = found.epoch if found.is_drained else None
            self._change(agent_state.forget(agent_state.recall(found, now), now))

    # What callers ask for.

    def submit(self, key: JobKey, submission: Submission) -> tuple[JobView, bool]:
        """Queue a new job, or join the one of the same key.

        Returns:
            The job, and whether it is new.

        Raises:
            RequestError: As in `agent_state.submit`; `NotReadyError` while the engine is set up.
            JobStoreError: Nothing was promised and nothing has changed.
        """
        with self._lock:
            if key not in self._state.jobs and not self._state.is_closed:
                self._hear(submission.epoch)
            state, job = agent_state.submit(
                self._state, key, submission, slots=self.slots, now=self._clock()
            )
            if state is self._state:
                return job.view(), False
            self._require_ready()
            self._change(state)
            logger.info("job accepted", extra=_about(job))
            return job.view(), True

    def cancel(self, key: JobKey) -> JobView:
        """Cancel a job, at once and for good.

        The view says cancelled from here on and a late result is dropped. The thread that works
        on it goes on until the engine next asks; new work waits for it, so the engine never
        serves two jobs.
        """
        with self._lock:
            state, job = agent_state.cancel(self._state, key, self._clock())
            if state is not self._state:
                self._change(state)
                logger.info("job cancelled", extra=_about(job))
            return job.view()

    def follow(self, key: JobKey, *, after: int, wait_s: float) -> JobView:
        """Give a job, when there is news of it or the wait is over.

        Args:
            key: Which run.
            after: The `seq` that the asker has seen; 0 for none.
            wait_s: Longest wait in seconds; 0 answers at once.

        Raises:
            UnknownJobError: Neither held nor remembered.
        """
        with self._lock:
            job = agent_state.find(self._state, key)
            news = self._news.get(key) or self._condition(self._lock)
            self._news[key] = news
            began_at, percent_then = self._clock(), job.percent
            while not self._is_ending:
                waited_s = self._clock() - began_at
                is_news = steps.is_news(
                    job, after=after, percent_then=percent_then, waited_s=waited_s
                )
                if is_news or waited_s >= wait_s:
                    break
                marks = [m for m in (steps.NEWS_AFTER_S, wait_s) if waited_s < m <= wait_s]
                news.wait(min(marks) - waited_s)
                job = agent_state.find(self._state, key)
            return job.view()

    def renew_lease(self, request: LeaseRequest) -> AgentStatus:
        """Let the VM stay up, counted from now.

        Raises:
            ClosedError: Until the machine boots again.
            StaleEpochError: A newer epoch was heard.
        """
        with self._lock:
            agent_state.check_lease(self._state, request.epoch)
            self._hear(request.epoch)
            self._lease_until = self._clock() + request.ttl_s
            return self._status()

    def drain(self, request: DrainRequest) -> DrainAnswer:
        """Close the door if nothing is held; the answer to each (epoch, drain) stays the same.

        For good only if the lease is over as well.

        Raises:
            StaleEpochError: A newer epoch was heard.
        """
        with self._lock:
            if not self._state.is_closed:
                self._hear(request.epoch)
            is_leased = self._lease_until is not None and self._clock() < self._lease_until
            state, answer = agent_state.drain(
                self._state, request, self._sign, is_leased=is_leased
            )
            if state is not self._state:
                self._change(state)
                about = {"epoch": request.epoch, "drain": request.drain, "jobs": answer.jobs}
                logger.info("drained" if answer.drained else "drain refused", extra=about)
            return answer

    def status(self) -> AgentStatus:
        """Give what the agent holds."""
        with self._lock:
            return self._status()

    def readiness(self) -> Readiness:
        """Tell whether jobs are taken, and if not, why."""
        with self._lock:
            return self._readiness()

    # What the workers and the engine's set-up say.

    def report_set_up(self, set_up: SetUp) -> None:
        """Say how far the engine's set-up is; phase ``ready`` opens the desk."""
        with self._lock:
            if set_up.phase != self._set_up.phase:
                logger.info("engine %s: %s", set_up.phase, set_up.detail)
            self._set_up = set_up

    def take(self) -> Run | None:
        """Wait for a queued job and let it run; None when the agent ends."""
        with self._lock:
            while not self._is_ending:
                job = agent_state.find_next(self._state)
                if job is not None and job.submission is not None and job.deadline_at is not None:
                    run = Run(
                        key=job.key,
                        epoch=job.epoch,
                        submission=job.submission,
                        deadline_at=job.deadline_at,
                    )
                    self._runs[job.key] = run
                    self._change_quietly(agent_state.begin(self._state, job.key))
                    logger.info("job started", extra=_about(job))
                    return run
                self.changed.wait()
            return None

    def advance(self, key: JobKey, stage: Stage, percent: float) -> None:
        """Say how far a job is; nothing happens to one that is over."""
        with self._lock:
            now = self._clock()
            self._step(key, lambda job: steps.advance_job(job, stage, percent, now))

    def end_stage(self, key: JobKey) -> None:
        """Say that a job waits between two stages."""
        with self._lock:
            now = self._clock()
            self._step(key, lambda job: steps.end_stage(job, now))

    def look(self, key: JobKey) -> JobView:
        """Give a job as it is."""
        with self._lock:
            return agent_state.find(self._state, key).view()

    def succeed(self, key: JobKey, manifest: Mapping[str, Any]) -> None:
        """End a job with its manifest; dropped when the job is over already."""
        with self._lock:
            state = agent_state.succeed(self._state, key, manifest, self._clock())
            if state is not self._state:
                self._change_quietly(state)
                logger.info("job succeeded", extra=_about(state.jobs[key]))

    def fail(self, key: JobKey, error: JobError) -> None:
        """End a job with an error; dropped when the job is over already."""
        with self._lock:
            now = self._clock()
            self._step(
                key,
                lambda job: steps.fail_job(
                    job, code=error.code, message=str(error), retryable=error.retryable, now=now
                ),
            )

    def leave(self, run: Run) -> None:
        """Say that no thread works on a run any more."""
        with self._lock:
            self._runs.pop(run.key, None)
            self._told_stuck.discard(run.key)

    def expire_overdue(self) -> list[JobKey]:
        """Fail every job whose time is up, waiting or running, then wait for the next change.

        Returns:
            Jobs that have been over for `STUCK_S` while a thread still works on them, each once;
            then there was no wait.
        """
        with self._lock:
            now = self._clock()
            timed = [steps.time_out_job(job, now) for job in self._state.live]
            self._change_quietly(
                agent_state.with_jobs(self._state, [j for j in timed if not j.is_live])
            )
            stuck_at = self._stuck_at()
            stuck = [key for key, at in stuck_at.items() if at <= now]
            self._told_stuck.update(stuck)
            moments = [job.deadline_at for job in timed if job.deadline_at is not None]
            moments += stuck_at.values()
            if not stuck and not self._is_ending:
                self.changed.wait(max(0.0, min(moments) - now) if moments else None)
            return stuck

    def _stuck_at(self) -> dict[JobKey, float]:
        """Tell when each thread whose job is over will count as stuck."""
        jobs = {key: self._state.jobs.get(key) for key in self._runs.keys() - self._told_stuck}
        return {
            key: job.ended_at + STUCK_S
            for key, job in jobs.items()
            if job is not None and job.ended_at is not None
        }

    # How the agent ends.

    @property
    def is_ending(self) -> bool:
        """Whether the process is about to end."""
        return self._is_ending

    def wind_up_when_idle(self, hurried: Callable[[], bool]) -> None:
        """Take jobs until none is held, or no thread is left that works; then take no more.

        Args:
            hurried: Asked at every change and ten times a second: whether to wait no longer.
        """
        with self._lock:
            while self._state.live and len(self._told_stuck) < self.slots and not hurried():
                self.changed.wait(_HURRY_LOOK_S)
            self._is_winding_up = True

    def wind_up(self, limit_s: float, hurried: Callable[[], bool] = bool) -> None:
        """Take no more jobs, and wait until those held are over.

        Args:
            limit_s: Longest wait in seconds.
            hurried: Asked at every change and ten times a second: whether to wait no longer.
        """
        with self._lock:
            if not self._is_winding_up:
                logger.info("taking no more jobs; %d held", len(self._state.live))
            self._is_winding_up = True
            self.changed.notify_all()
            end = self._clock() + limit_s
            while self._state.live and not hurried() and (left_s := end - self._clock()) > 0:
                self.changed.wait(min(left_s, _HURRY_LOOK_S))

    def end(self) -> None:
        """Take no more jobs, interrupt those held, answer every long-poll. Final."""
        with self._lock:
            if self._is_ending:
                return
            self._is_winding_up = self._is_ending = True
            now = self._clock()
            held = [steps.interrupt_job(job, now) for job in self._state.live]
            self._change_quietly(agent_state.with_jobs(self._state, held))
            for run in self._runs.values():
                run.stopped.set()
            self.changed.notify_all()
            for news in list(self._news.values()):
                news.notify_all()
            logger.info("ending; %d jobs interrupted", len(held))

    def close(self) -> None:
        """Let go of the ledger, once nothing else uses the desk."""
        with self._lock:
            self._ledger.close()

    def _hear(self, epoch: int) -> None:
        heard = agent_state.hear_epoch(self._state, epoch, self._clock())
        if heard is not self._state:
            logger.info("epoch heard", extra={"epoch": epoch, "was": self._state.epoch})
            self._change(heard)

    def _require_ready(self) -> None:
        if self._is_winding_up:
            raise NotReadyError("The agent is about to end.")
        if self._set_up.phase != "ready":
            raise NotReadyError(f"The engine is not ready: {self._set_up.detail}")

    def _step(self, key: JobKey, step: Callable[[Job], Job]) -> None:
        was = self._state.jobs.get(key)
        if was is None:
            return
        job = step(was)
        if job is was:
            return
        state = agent_state.with_jobs(self._state, [job])
        if job.state.is_over:
            self._change_quietly(state)
            logger.info("job %s", job.state, extra={**_about(job), "error": job.error})
            return
        if job.stage is not was.stage:
            self._save_quietly(state)
            logger.info("stage %s", job.stage, extra=_about(job))
        self._show(state)

    def _change(self, state: AgentState) -> None:
        """Save, then adopt: if the disk refuses, nothing has happened."""
        self._ledger.save(state, is_durable=True)
        self._adopt(state)

    def _change_quietly(self, state: AgentState) -> None:
        """Adopt, and save if the disk lets us: what has happened has happened."""
        if state is not self._state:
            self._save_quietly(state)
            self._adopt(state)

    def _save_quietly(self, state: AgentState) -> None:
        """Save if the disk lets us; the next save writes what this one could not."""
        try:
            self._ledger.save(state, is_durable=False)
        except JobStoreError:
            logger.exception("the ledger could not be written")

    def _adopt(self, state: AgentState) -> None:
        self._show(state)
        for key, run in self._runs.items():
            job = state.jobs.get(key)
            if job is None or not job.is_live:
                run.stopped.set()
        self.changed.notify_all()

    def _show(self, state: AgentState) -> None:
        """Adopt, and wake those who follow a job that is not as it was."""
        was, self._state = self._state, state
        for key, news in list(self._news.items()):
            if state.jobs.get(key) is not was.jobs.get(key):
                news.notify_all()

    def _sign(self, epoch: int, drain: int) -> str:
        return sign_receipt(
            self._token, vm=self._vm_name, boot_id=self.boot_id, epoch=epoch, drain=drain
        )

    def _readiness(self) -> Readiness:
        phase, detail = self._set_up.phase, self._set_up.detail
        # A drain of the last process says nothing about this one: whoever has woken the machine
        # waits for "ready" first and names its newer epoch after that. Until then the state goes
        # on refusing the old one.
        is_drained = self._state.is_drained and self._state.epoch != self._old_drain
        if self._state.is_closed:
            phase, detail = "closed", "Closed until the machine boots again."
        elif self._is_winding_up:
            phase, detail = "draining", "The agent is about to end."
        elif is_drained and phase == "ready":
            phase, detail = "draining", f"Drained in epoch {self._state.epoch}."
        percent = self._set_up.percent
        return Readiness(
            ready=phase == "ready",
            phase=phase,
            percent=percent,
            detail=detail,
            steps=dict(self._set_up.steps),
        )

    def _status(self) -> AgentStatus:
        now = self._clock()
        left = None if self._lease_until is None else max(0.0, self._lease_until - now)
        cap_left = None
        if self._max_uptime_s is not None:
            cap_left = round(max(0.0, self._booted_at + self._max_uptime_s - now), 3)
        return AgentStatus(
            vm=self._vm_name,
            boot_id=self.boot_id,
            epoch=self._state.epoch,
            phase=self._readiness().phase,
            slots=self.slots,
            jobs=[_brief(job) for job in self._state.jobs.values()],
            lease_left_s=None if left is None else round(left, 3),
            uptime_s=round(now - self._began_at, 3),
            engine=dict(self._engine),
            image_version=self._image_version,
            machine_boot=self._machine_boot,
            cap_left_s=cap_left,
            max_uptime_s=self._max_uptime_s,
        )


def _brief(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.key.job_id,
        "fence": job.key.fence,
        "epoch": job.epoch,
        "state": job.state,
        "stage": job.stage,
        "percent": job.percent,
    }


def _about(job: Job) -> dict[str, Any]:
    return {"job_id": job.key.job_id, "fence": job.key.fence, "epoch": job.epoch}
