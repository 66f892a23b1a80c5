"""A job on this agent and the steps that it may take.

Values and pure functions: no clock, no lock, no disk. A moment is in seconds on the boot clock.
A job that is over never changes again, so a late step of any kind is no step at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from gpu_agent.jobs.stage_estimates import Expectation
from gpu_agent.wire import JobState, JobView, Stage, Submission

STAGES = tuple(Stage)

NEWS_PERCENT = 10
"""Points of percent that are worth an answer by themselves …"""

NEWS_AFTER_S = 5.0
"""… once the asker has waited so long, in seconds."""

INTERRUPTED_SEQ_STEP = 1000
"""More than the changes that a kill can take with it: percents are not saved."""


class JobKey(NamedTuple):
    """Which run of which job."""

    job_id: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of one job.

    Attributes:
        submission: What was asked, or None for a key that was cancelled before it came.
        seq: Grows by one at every change.
        turn_seq: `seq` of the last change of state or stage.
        stage_began_at: When the stage under way began; None while between stages.
        deadline_at: When the job's time is up, or None once it is over.
        ended_at: When it was over, or None.
        expectation: How its stages divide its time, decided when it began.
    """

    key: JobKey
    epoch: int
    submission: Submission | None
    state: JobState = JobState.QUEUED
    seq: int = 1
    turn_seq: int = 1
    stage: Stage | None = None
    percent: int = 0
    error: Mapping[str, Any] | None = None
    manifest: Mapping[str, Any] | None = None
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    stage_began_at: float | None = None
    deadline_at: float | None = None
    ended_at: float | None = None
    expectation: Expectation = field(default_factory=Expectation)

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return not self.state.is_over

    @property
    def seconds_left(self) -> float | None:
        """Seconds of work that are left of it, or None when it is over or nobody knows."""
        return self.expectation.left_s(self.percent) if self.is_live else None

    @property
    def about(self) -> dict[str, Any]:
        """What log lines about it carry."""
        return {"job_id": self.key.job_id, "fence": self.key.fence, "epoch": self.epoch}

    def brief(self) -> dict[str, Any]:
        """Give the job as the agent's status shows it."""
        return {
            **self.about,
            "state": self.state,
            "stage": self.stage,
            "percent": self.percent,
        }

    def view(self) -> JobView:
        """Give the job as the wire shows it."""
        return JobView(
            job_id=self.key.job_id,
            fence=self.key.fence,
            epoch=self.epoch,
            state=self.state,
            seq=self.seq,
            stage=self.stage,
            percent=self.percent,
            error=dict(self.error) if self.error is not None else None,
            manifest=dict(self.manifest) if self.manifest is not None else None,
            stage_seconds=dict(self.stage_seconds),
            seconds_left=self.seconds_left,
        )


def accept_job(key: JobKey, submission: Submission, now: float) -> Job:
    """Make a queued job of a submission; its time runs from now, waiting included."""
    return Job(
        key=key,
        epoch=submission.epoch,
        submission=submission,
        deadline_at=now + submission.timeout_s,
    )


def bury_key(key: JobKey, epoch: int, now: float) -> Job:
    """Make the tombstone of a key that was cancelled before it came."""
    return Job(key=key, epoch=epoch, submission=None, state=JobState.CANCELLED, ended_at=now)


def begin_job(job: Job, expectation: Expectation | None = None) -> Job:
    """Let a queued job run, and say what is expected of it."""
    if job.state is not JobState.QUEUED:
        return job
    return replace(
        job,
        state=JobState.RUNNING,
        seq=job.seq + 1,
        turn_seq=job.seq + 1,
        expectation=expectation or job.expectation,
    )


def advance_job(job: Job, stage: Stage, percent: float, now: float) -> Job:
    """Say how far a running job is.

    Args:
        job: The job; unchanged if it does not run.
        stage: A stage before the one reached is taken as the one reached.
        percent: 0 to 100 within the stage; outside is cut off, less than before is ignored.
        now: On the boot clock.

    Returns:
        The same object when nothing visible changes.
    """
    if job.state is not JobState.RUNNING:
        return job
    if job.stage is not None and STAGES.index(stage) < STAGES.index(job.stage):
        return job
    low, high = job.expectation.spans[stage]
    share = min(max(percent, 0.0), 100.0) / 100.0 if percent == percent else 0.0
    whole = max(job.percent, int(low + (high - low) * share))
    if stage is job.stage:
        return job if whole == job.percent else replace(job, percent=whole, seq=job.seq + 1)
    return replace(
        job,
        stage=stage,
        percent=whole,
        seq=job.seq + 1,
        turn_seq=job.seq + 1,
        stage_seconds=_seconds_with_stage_ended(job, now),
        stage_began_at=now,
    )


def end_stage(job: Job, now: float) -> Job:
    """Stop the clock of the stage under way; what follows until the next stage is waiting."""
    if job.state is not JobState.RUNNING or job.stage_began_at is None:
        return job
    return replace(
        job,
        seq=job.seq + 1,
        stage_seconds=_seconds_with_stage_ended(job, now),
        stage_began_at=None,
    )


def succeed_job(job: Job, manifest: Mapping[str, Any], now: float) -> Job:
    """End a running job with its manifest."""
    return _end(job, JobState.SUCCEEDED, now, percent=100, manifest=manifest)


def fail_job(job: Job, *, code: str, message: str, retryable: bool, now: float) -> Job:
    """End a live job with an error that names the stage it was in."""
    error = {"code": code, "message": message, "retryable": retryable, "stage": job.stage}
    return _end(job, JobState.FAILED, now, error=error)


def cancel_job(job: Job, now: float) -> Job:
    """End a live job because nobody wants it any more."""
    return _end(job, JobState.CANCELLED, now)


def interrupt_job(job: Job, now: float) -> Job:
    """End a live job whose process has ended."""
    ended = _end(job, JobState.INTERRUPTED, now)
    if ended is job:
        return job
    seq = job.seq + INTERRUPTED_SEQ_STEP
    return replace(ended, seq=seq, turn_seq=seq)


def time_out_job(job: Job, now: float) -> Job:
    """Fail a live job whose time is up; a job in time is returned as it is."""
    if not job.is_live or job.deadline_at is None or now < job.deadline_at:
        return job
    timeout_s = job.submission.timeout_s if job.submission is not None else 0.0
    message = f"The job was not done within {timeout_s:g} s."
    return fail_job(job, code="timeout", message=message, retryable=True, now=now)


def is_news(job: Job, *, after: int, percent_then: int, waited_s: float) -> bool:
    """Tell whether a long-poll should be answered now.

    Args:
        job: As it is now.
        after: The `seq` that the asker has seen.
        percent_then: `percent` when the asker began to wait.
        waited_s: How long ago that was, in seconds.
    """
    if job.state.is_over or job.turn_seq > after:
        return True
    return job.percent - percent_then >= NEWS_PERCENT and waited_s >= NEWS_AFTER_S


def _seconds_with_stage_ended(job: Job, now: float) -> Mapping[str, float]:
    if job.stage is None or job.stage_began_at is None:
        return job.stage_seconds
    before = job.stage_seconds.get(job.stage.value, 0.0)
    spent = before + max(0.0, now - job.stage_began_at)
    return {**job.stage_seconds, job.stage.value: round(spent, 3)}


def _end(
    job: Job,
    state: JobState,
    now: float,
    *,
    percent: int | None = None,
    error: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> Job:
    if not job.is_live:
        return job
    return replace(
        job,
        state=state,
        seq=job.seq + 1,
        turn_seq=job.seq + 1,
        percent=job.percent if percent is None else percent,
        error=error,
        manifest=manifest,
        stage_seconds=_seconds_with_stage_ended(job, now),
        stage_began_at=None,
        deadline_at=None,
        ended_at=now,
    )
