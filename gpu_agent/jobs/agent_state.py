"""All that the agent remembers, and every decision about it.

Pure functions from one `AgentState` to the next; a refusal is raised and changes nothing. A moment
is in seconds on the boot clock.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gpu_agent.errors import (
    ClosedError,
    DrainingError,
    FullError,
    StaleEpochError,
    StaleFenceError,
    UnknownJobError,
)
from gpu_agent.jobs.job import (
    Job,
    JobKey,
    accept_job,
    begin_job,
    bury_key,
    cancel_job,
    interrupt_job,
    succeed_job,
)
from gpu_agent.jobs.stage_estimates import StageEstimates, kind_of
from gpu_agent.wire import DrainAnswer, DrainRequest, JobState, Submission

MAX_REMEMBERED_JOBS = 1000
MAX_REMEMBERED_ANSWERS = 1000
MAX_AGE_S = 24 * 3600.0
"""A job that is over is forgotten after so long, in seconds; a restart begins the count anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """Everything that outlives a request.

    Attributes:
        epoch: Newest wake period heard of, 0 before the first.
        is_drained: No new job until a newer epoch is heard.
        is_closed: No new job and no lease until the machine boots again.
        jobs: Every run known, in the order in which they came.
        answers: The answer given to each (epoch, drain).
        estimates: How long the stages of jobs take.
    """

    epoch: int = 0
    is_drained: bool = False
    is_closed: bool = False
    jobs: Mapping[JobKey, Job] = field(default_factory=dict)
    answers: Mapping[tuple[int, int], DrainAnswer] = field(default_factory=dict)
    estimates: StageEstimates = field(default_factory=StageEstimates)

    @property
    def live(self) -> list[Job]:
        """The jobs that wait or run, in the order in which they came."""
        return [job for job in self.jobs.values() if job.is_live]


def with_jobs(state: AgentState, jobs: Iterable[Job]) -> AgentState:
    """Put changed or new jobs in; the same state when there are none."""
    changed = {job.key: job for job in jobs}
    return replace(state, jobs={**state.jobs, **changed}) if changed else state


def recall(state: AgentState, now: float) -> AgentState:
    """Make of the last process's state the one that this process begins with.

    Every live job becomes interrupted, and nothing of it goes on.
    """
    return with_jobs(state, [interrupt_job(job, now) for job in state.live])


def hear_epoch(state: AgentState, epoch: int, now: float) -> AgentState:
    """Adopt a newer wake period: reopen what was drained, cancel the jobs of older ones.

    A closed agent stays closed. An epoch that is not newer changes nothing.
    """
    if epoch <= state.epoch:
        return state
    heard = replace(state, epoch=epoch, is_drained=False)
    return with_jobs(heard, [cancel_job(job, now) for job in state.live if job.epoch < epoch])


def check_lease(state: AgentState, epoch: int) -> None:
    """Refuse a lease to a closed agent, and one for an older wake period.

    Raises:
        ClosedError: Until the machine boots again.
        StaleEpochError: A newer epoch was heard.
    """
    if state.is_closed:
        raise ClosedError("The agent is closed until the machine boots again.")
    _refuse_older_epoch(state, epoch)


def submit(
    state: AgentState, key: JobKey, submission: Submission, *, slots: int, now: float
) -> tuple[AgentState, Job]:
    """Queue a new job, or find the one of the same key.

    A cancelled key stays cancelled and an older fence of the same job is cancelled, so at most
    one run of a job is ever live here.

    Args:
        state: Has heard the submission's epoch already (see `hear_epoch`).
        key: Which run.
        submission: What is asked.
        slots: Most live jobs.
        now: On the boot clock.

    Returns:
        The next state, and the job in it. The same state when the key was known.

    Raises:
        StaleFenceError: A newer fence of this job is known.
        ClosedError: Until the machine boots again.
        StaleEpochError: A newer epoch was heard.
        DrainingError: Until a newer epoch is heard.
        FullError: Every slot is taken.
    """
    if key in state.jobs:
        return state, state.jobs[key]
    others = [job for job in state.jobs.values() if job.key.job_id == key.job_id]
    newest = max((job.key.fence for job in others), default=-1)
    if newest > key.fence:
        raise StaleFenceError(f"Fence {newest} of this job is newer than {key.fence}.")
    if state.is_closed:
        raise ClosedError("The agent is closed until the machine boots again.")
    _refuse_older_epoch(state, submission.epoch)
    if state.is_drained:
        raise DrainingError(
            f"Drained in epoch {state.epoch}; a newer epoch opens the agent again."
        )
    state = with_jobs(state, [cancel_job(job, now) for job in others if job.is_live])
    live = state.live
    if len(live) >= slots:
        # What is overdue may take any time.
        left_s = [job.seconds_left for job in live if job.seconds_left]
        raise FullError(f"All {slots} slots are taken.", min(left_s, default=None))
    job = accept_job(key, submission, now)
    return forget(with_jobs(state, [job]), now), job


def cancel(state: AgentState, key: JobKey, now: float) -> tuple[AgentState, Job]:
    """Cancel a job, or leave a tombstone so that a late submission of it can't begin."""
    known = state.jobs.get(key)
    job = cancel_job(known, now) if known is not None else bury_key(key, state.epoch, now)
    if job is known:
        return state, job
    return forget(with_jobs(state, [job]), now), job


def drain(
    state: AgentState,
    request: DrainRequest,
    sign: Callable[[int, int], str],
    *,
    is_leased: bool = False,
) -> tuple[AgentState, DrainAnswer]:
    """Close the door if, and only if, no job is live.

    A job that was cancelled or timed out does not hold the door even while its thread still
    winds down: nothing of it is wanted, and a hung engine must not keep a VM billed.

    Args:
        state: Has heard the request's epoch already.
        request: Which drain of which epoch; one seen before gets its old answer, whatever has
            happened since.
        sign: Makes the receipt from epoch and drain.
        is_leased: The lease has time left: whoever asks to close for good saw it before it was
            renewed, and is refused.

    Raises:
        StaleEpochError: A newer epoch was heard, and this drain was never answered.
    """
    number = (request.epoch, request.drain)
    known = state.answers.get(number)
    if known is None:
        _refuse_older_epoch(state, request.epoch)
        held = [job.key.job_id for job in state.live]
        is_refused = bool(held) or (request.final and is_leased)
        known = DrainAnswer(
            drained=not is_refused,
            epoch=request.epoch,
            drain=request.drain,
            receipt=None if is_refused else sign(*number),
            jobs=held,
        )
        answers = dict(sorted({**state.answers, number: known}.items())[-MAX_REMEMBERED_ANSWERS:])
        state = replace(state, answers=answers, is_drained=state.is_drained or known.drained)
    is_of_now = state.is_drained and state.epoch == request.epoch and not is_leased
    if request.final and known.drained and is_of_now:
        state = replace(state, is_closed=True)
    return state, known


def find(state: AgentState, key: JobKey) -> Job:
    """Give the job of a key.

    Raises:
        UnknownJobError: Neither held nor remembered.
    """
    if key not in state.jobs:
        raise UnknownJobError("Neither held nor remembered.")
    return state.jobs[key]


def begin(state: AgentState, key: JobKey) -> AgentState:
    """Let a queued job run, with what was learned from jobs like it."""
    job = find(state, key)
    options = job.submission.options if job.submission is not None else {}
    return with_jobs(state, [begin_job(job, state.estimates.expect(kind_of(options)))])


def succeed(state: AgentState, key: JobKey, manifest: Mapping[str, Any], now: float) -> AgentState:
    """End a running job with its manifest, and learn from it how long such jobs take."""
    was = state.jobs.get(key)
    if was is None or not was.is_live:
        return state
    job = succeed_job(was, manifest, now)
    options = job.submission.options if job.submission is not None else {}
    estimates = state.estimates.learn(kind_of(options), job.stage_seconds)
    return replace(with_jobs(state, [job]), estimates=estimates)


def find_next(state: AgentState) -> Job | None:
    """Give the job that has waited longest, or None."""
    waiting = (job for job in state.jobs.values() if job.state is JobState.QUEUED)
    return next(waiting, None)


def forget(state: AgentState, now: float) -> AgentState:
    """Let go of jobs long over, and of the oldest when they are too many. Live ones stay."""
    ended = [(job.ended_at, key) for key, job in state.jobs.items() if job.ended_at is not None]
    ended.sort(key=lambda pair: pair[0], reverse=True)
    gone = {
        key
        for rank, (ended_at, key) in enumerate(ended)
        if rank >= MAX_REMEMBERED_JOBS or now - ended_at > MAX_AGE_S
    }
    if not gone:
        return state
    return replace(state, jobs={key: job for key, job in state.jobs.items() if key not in gone})


def _refuse_older_epoch(state: AgentState, epoch: int) -> None:
    if epoch < state.epoch:
        raise StaleEpochError(f"Epoch {state.epoch} was heard, which is newer than {epoch}.")
