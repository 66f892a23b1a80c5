"""Watches several jobs side by side and fetches the files of each as soon as it is done."""

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from coldforge.client import Client
from coldforge.errors import WaitTimeoutError
from coldforge.models import JobStatus
from coldforge.pacing import choose_poll_delay
from coldforge.progress import ProgressView
from coldforge.targets import Target

OUTAGE_LIMIT_S = 600.0
"""How long a server that went away is waited for."""


@dataclass(slots=True)
class Followed:
    """A job, what should become of it, and what did.

    Attributes:
        label: What the person calls it: the photo's name.
        job_id: Empty when it was not taken.
        wanted: Artifact name to where it is saved.
        status: The last one seen.
        saved: The same, of what was saved.
        error: Why it did not end well, or None.
    """

    label: str
    job_id: str = ""
    wanted: Mapping[str, Target] = field(default_factory=dict)
    status: JobStatus | None = None
    saved: dict[str, Target] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the server still works on it, as far as is known."""
        return bool(self.job_id) and not (self.status is not None and self.status.is_over)

    @property
    def missing(self) -> list[str]:
        """Names of the artifacts that the server has made and that are not saved yet."""
        if self.status is None or self.status.state != "succeeded":
            return []
        return [name for name in self.wanted if name not in self.saved]


def follow(
    client: Client,
    jobs: Sequence[Followed],
    view: ProgressView,
    *,
    timeout_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Watch jobs until all have ended. An error is noted on its job; the others go on.

    Args:
        client: Speaks with the server.
        jobs: Those with an id are watched.
        view: Shows them.
        timeout_s: Limit for all of it, or None.
        clock: Seconds that only grow.
        sleep: Waits.
    """
    ends_at = float("inf") if timeout_s is None else clock() + timeout_s
    due = [(clock(), number) for number, job in enumerate(jobs) if job.job_id]
    heapq.heapify(due)
    while due:
        at, number = heapq.heappop(due)
        job = jobs[number]
        sleep(max(0.0, min(at, ends_at) - clock()))
        left_s = max(0.0, ends_at - clock())
        try:
            status = _look_at(client, job, view, outage_limit_s=min(OUTAGE_LIMIT_S, left_s))
            if status.is_over:
                _finish(client, job, status)
            elif clock() >= ends_at:
                job.error = _time_is_up(job, timeout_s or 0)
            else:
                heapq.heappush(due, (clock() + choose_poll_delay(status), number))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other jobs go on
            is_late = job.goes_on and clock() >= ends_at
            job.error = _time_is_up(job, timeout_s or 0) if is_late else error


def _look_at(
    client: Client, job: Followed, view: ProgressView, *, outage_limit_s: float
) -> JobStatus:
    status = client.status(
        job.job_id,
        outage_limit_s=outage_limit_s,
        on_outage=lambda away_s: view.show_outage(job.label, away_s),
    )
    job.status = status
    view.show(job.label, status)
    return status


def _finish(client: Client, job: Followed, status: JobStatus) -> None:
    status.raise_unless_succeeded()
    failures = []
    for name, target in job.wanted.items():
        try:
            target.save(client, job.job_id, name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other files are saved
            failures.append(error)
        else:
            job.saved[name] = target
    if failures:
        raise failures[0]


def _time_is_up(job: Followed, timeout_s: float) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"Job {job.job_id} did not end within {timeout_s:g} s. It goes on.", retryable=True
    )
