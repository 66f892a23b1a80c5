"""All that the agent remembers, and every decision about it.

Pure functions from one `Book` to the next; a refusal is raised and changes nothing. A moment is
in seconds on the boot clock.
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
from gpu_agent.jobs.stage_estimates import Pace, kind_of
from gpu_agent.wire import DrainAnswer, DrainRequest, JobState, Submission

MAX_REMEMBERED_JOBS = 1000
MAX_REMEMBERED_ANSWERS = 1000
MAX_AGE_S = 24 * 3600.0
"""A job that is over is forgotten after so long, in seconds; a restart begins the count anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Everything that outlives a request.

    Attributes:
        epoch: Newest wake period heard of, 0 before the first.
        is_drained: No new job until a newer epoch is heard.
        is_closed: No new job and no lease until the machine boots again.
        jobs: Every run known, in the order in which they came.
        answers: The answer given to each (epoch, drain).
        pace: How long the stages of jobs take.
    """

    epoch: int = 0
    is_drained: bool = False
    is_closed: bool = False
    jobs: Mapping[JobKey, Job] = field(default_factory=dict)
    answers: Mapping[tuple[int, int], DrainAnswer] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)

    @property
    def live(self) -> list[Job]:
        """The jobs that wait or run, in the order in which they came."""
        return [job for job in self.jobs.values() if job.is_live]


def with_jobs(book: Book, jobs: Iterable[Job]) -> Book:
    """Put changed or new jobs in; the same book when there are none."""
    changed = {job.key: job for job in jobs}
    return replace(book, jobs={**book.jobs, **changed}) if changed else book


def recall(book: Book, now: float) -> Book:
    """Make of the last process's book the one that this process begins with.

    Every live job becomes interrupted, and nothing of it goes on.
    """
    return with_jobs(book, [interrupt_job(job, now) for job in book.live])


def hear_epoch(book: Book, epoch: int, now: float) -> Book:
    """Adopt a newer wake period: reopen what was drained, cancel the jobs of older ones.

    A closed agent stays closed. An epoch that is not newer changes nothing.
    """
    if epoch <= book.epoch:
        return book
    heard = replace(book, epoch=epoch, is_drained=False)
    return with_jobs(heard, [cancel_job(job, now) for job in book.live if job.epoch < epoch])


def check_lease(book: Book, epoch: int) -> None:
    """Refuse a lease to a closed agent, and one for an older wake period.

    Raises:
        ClosedError: Until the machine boots again.
        StaleEpochError: A newer epoch was heard.
    """
    if book.is_closed:
        raise ClosedError("The agent is closed until the machine boots again.")
    _refuse_older_epoch(book, epoch)


def submit(
    book: Book, key: JobKey, submission: Submission, *, slots: int, now: float
) -> tuple[Book, Job]:
    """Queue a new job, or find the one of the same key.

    A cancelled key stays cancelled and an older fence of the same job is cancelled, so at most
    one run of a job is ever live here.

    Args:
        book: Has heard the submission's epoch already (see `hear_epoch`).
        key: Which run.
        submission: What is asked.
        slots: Most live jobs.
        now: On the boot clock.

    Returns:
        The next book, and the job in it. The same book when the key was known.

    Raises:
        StaleFenceError: A newer fence of this job is known.
        ClosedError: Until the machine boots again.
        StaleEpochError: A newer epoch was heard.
        DrainingError: Until a newer epoch is heard.
        FullError: Every slot is taken.
    """
    if key in book.jobs:
        return book, book.jobs[key]
    others = [job for job in book.jobs.values() if job.key.job_id == key.job_id]
    newest = max((job.key.fence for job in others), default=-1)
    if newest > key.fence:
        raise StaleFenceError(f"Fence {newest} of this job is newer than {key.fence}.")
    if book.is_closed:
        raise ClosedError("The agent is closed until the machine boots again.")
    _refuse_older_epoch(book, submission.epoch)
    if book.is_drained:
        raise DrainingError(f"Drained in epoch {book.epoch}; a newer epoch opens the agent again.")
    book = with_jobs(book, [cancel_job(job, now) for job in others if job.is_live])
    live = book.live
    if len(live) >= slots:
        # What is overdue may take any time.
        left_s = [job.seconds_left for job in live if job.seconds_left]
        raise FullError(f"All {slots} slots are taken.", min(left_s, default=None))
    job = accept_job(key, submission, now)
    return forget(with_jobs(book, [job]), now), job


def cancel(book: Book, key: JobKey, now: float) -> tuple[Book, Job]:
    """Cancel a job, or leave a tombstone so that a late submission of it can't begin."""
    known = book.jobs.get(key)
    job = cancel_job(known, now) if known is not None else bury_key(key, book.epoch, now)
    if job is known:
        return book, job
    return forget(with_jobs(book, [job]), now), job


def drain(
    book: Book,
    request: DrainRequest,
    sign: Callable[[int, int], str],
    *,
    is_leased: bool = False,
) -> tuple[Book, DrainAnswer]:
    """Close the door if, and only if, no job is live.

    A job that was cancelled or timed out does not hold the door even while its thread still
    winds down: nothing of it is wanted, and a hung engine must not keep a VM billed.

    Args:
        book: Has heard the request's epoch already.
        request: Which drain of which epoch; one seen before gets its old answer, whatever has
            happened since.
        sign: Makes the receipt from epoch and drain.
        is_leased: The lease has time left: whoever asks to close for good saw it before it was
            renewed, and is refused.

    Raises:
        StaleEpochError: A newer epoch was heard, and this drain was never answered.
    """
    number = (request.epoch, request.drain)
    known = book.answers.get(number)
    if known is None:
        _refuse_older_epoch(book, request.epoch)
        held = [job.key.job_id for job in book.live]
        is_refused = bool(held) or (request.final and is_leased)
        known = DrainAnswer(
            drained=not is_refused,
            epoch=request.epoch,
            drain=request.drain,
            receipt=None if is_refused else sign(*number),
            jobs=held,
        )
        answers = dict(sorted({**book.answers, number: known}.items())[-MAX_REMEMBERED_ANSWERS:])
        book = replace(book, answers=answers, is_drained=book.is_drained or known.drained)
    is_of_now = book.is_drained and book.epoch == request.epoch and not is_leased
    if request.final and known.drained and is_of_now:
        book = replace(book, is_closed=True)
    return book, known


def find(book: Book, key: JobKey) -> Job:
    """Give the job of a key.

    Raises:
        UnknownJobError: Neither held nor remembered.
    """
    if key not in book.jobs:
        raise UnknownJobError("Neither held nor remembered.")
    return book.jobs[key]


def begin(book: Book, key: JobKey) -> Book:
    """Let a queued job run, with what was learned from jobs like it."""
    job = find(book, key)
    options = job.submission.options if job.submission is not None else {}
    return with_jobs(book, [begin_job(job, book.pace.expect(kind_of(options)))])


def succeed(book: Book, key: JobKey, manifest: Mapping[str, Any], now: float) -> Book:
    """End a running job with its manifest, and learn from it how long such jobs take."""
    was = book.jobs.get(key)
    if was is None or not was.is_live:
        return book
    job = succeed_job(was, manifest, now)
    options = job.submission.options if job.submission is not None else {}
    pace = book.pace.learn(kind_of(options), job.stage_seconds)
    return replace(with_jobs(book, [job]), pace=pace)


def find_next(book: Book) -> Job | None:
    """Give the job that has waited longest, or None."""
    waiting = (job for job in book.jobs.values() if job.state is JobState.QUEUED)
    return next(waiting, None)


def forget(book: Book, now: float) -> Book:
    """Let go of jobs long over, and of the oldest when they are too many. Live ones stay."""
    ended = [(job.ended_at, key) for key, job in book.jobs.items() if job.ended_at is not None]
    ended.sort(key=lambda pair: pair[0], reverse=True)
    gone = {
        key
        for rank, (ended_at, key) in enumerate(ended)
        if rank >= MAX_REMEMBERED_JOBS or now - ended_at > MAX_AGE_S
    }
    if not gone:
        return book
    return replace(book, jobs={key: job for key, job in book.jobs.items() if key not in gone})


def _refuse_older_epoch(book: Book, epoch: int) -> None:
    if epoch < book.epoch:
        raise StaleEpochError(f"Epoch {book.epoch} was heard, which is newer than {epoch}.")
