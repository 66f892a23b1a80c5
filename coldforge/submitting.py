"""What ``coldforge submit`` and ``coldforge wait`` do, apart from reading a command line."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coldforge.client import Client
from coldforge.errors import ColdforgeError, ConflictError
from coldforge.exit_codes import ExitCode, exit_code_for, worst_of
from coldforge.following import Followed, follow
from coldforge.images import ImageInput
from coldforge.progress import ProgressView
from coldforge.wording import describe_model, notes_of


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a command line.

    Attributes:
        label: What it is called on the screen.
        image: Path, URL or bytes.
        wanted: Artifact name to the path it is saved under.
    """

    label: str
    image: ImageInput
    wanted: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Manner:
    """How jobs are watched.

    Attributes:
        timeout_s: Limit, or None.
        cancels_on_interrupt: Whether Ctrl-C cancels what goes on.
        detaches: Whether they are not watched at all.
    """

    timeout_s: float | None = None
    cancels_on_interrupt: bool = False
    detaches: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """What is handed in.

    Attributes:
        photos: One job each.
        asked: Keyword arguments of `Client.submit` for all of them.
        idempotency_key: Of the one photo, or None.
    """

    photos: Sequence[Photo]
    asked: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None


def submit_and_follow(
    client: Client, submission: Submission, view: ProgressView, manner: Manner
) -> tuple[list[Followed], ExitCode]:
    """Hand in photos, watch their jobs, save their files; one that fails holds up no other."""
    jobs: list[Followed] = []
    try:
        for photo in submission.photos:
            jobs.append(Followed(photo.label, wanted=photo.wanted))
            _hand_in(client, photo, submission, jobs[-1], view)
    except KeyboardInterrupt:
        return jobs, _leave_all(client, jobs, view, manner)
    if manner.detaches:
        return jobs, worst_of([exit_code_for(job.error) for job in jobs])
    return jobs, follow_to_the_end(client, jobs, view, manner)


def follow_to_the_end(
    client: Client, jobs: Sequence[Followed], view: ProgressView, manner: Manner
) -> ExitCode:
    """Watch jobs, save their files, say what went wrong, and return the exit status."""
    try:
        follow(client, jobs, view, timeout_s=manner.timeout_s)
    except KeyboardInterrupt:
        return _leave_all(client, jobs, view, manner)
    for job in jobs:
        if job.job_id and job.error is not None:
            view.say(f"{job.label}: {job.error}")
            if job.goes_on:
                view.say(_how_to_go_on(job))
    return worst_of([exit_code_for(job.error) for job in jobs])


def describe_ending(job: Followed) -> str:
    """Return the line that tells what became of a job that ended well."""
    files = ", ".join(str(path) for path in job.saved.values())
    figures = describe_model(job.status) if job.status else ""
    line = f"{job.label}: {files or 'done'}" + (f" ({figures})" if figures else "")
    return " ".join([line, *(notes_of(job.status) if job.status else ())])


def to_json(job: Followed) -> dict[str, Any]:
    """Return what a script needs to know of one photo: the status, the files, the error."""
    body: dict[str, Any] = dict(job.status.raw) if job.status else {"id": job.job_id or None}
    body["photo"] = job.label
    body["files"] = {name: str(path) for name, path in job.saved.items()}
    if job.error is not None:
        body["error"] = {**(body.get("error") or {}), **error_to_json(job.error)}
    return body


def error_to_json(error: ColdforgeError | OSError) -> dict[str, Any]:
    """Return an error as a script reads it."""
    if isinstance(error, OSError):
        return {"code": "file_error", "message": str(error), "retryable": False}
    return {"code": error.code, "message": error.message, "retryable": error.retryable}


def _hand_in(
    client: Client, photo: Photo, submission: Submission, job: Followed, view: ProgressView
) -> None:
    key = submission.idempotency_key or str(uuid.uuid4())
    try:
        job.job_id = client.submit(photo.image, idempotency_key=key, **submission.asked).id
    except (ColdforgeError, OSError) as error:
        job.error = error
        view.say(f"{job.label}: {error}")
    except KeyboardInterrupt:
        view.say(
            f"{job.label}: it may have been taken before the interruption. To find its job, "
            f"submit it again with --idempotency-key {key}"
        )
        raise


def _leave_all(
    client: Client, jobs: Sequence[Followed], view: ProgressView, manner: Manner
) -> ExitCode:
    for job in jobs:
        if not job.goes_on:
            continue
        if manner.cancels_on_interrupt:
            view.say(_cancel(client, job))
        else:
            view.say(f"{job.label}: interrupted; job {job.job_id} goes on.")
            view.say(_how_to_go_on(job))
    return ExitCode.INTERRUPTED


def _how_to_go_on(job: Followed) -> str:
    return f"  watch it:  coldforge wait {job.job_id}\n  cancel it: coldforge cancel {job.job_id}"


def _cancel(client: Client, job: Followed) -> str:
    try:
        client.cancel(job.job_id)
    except ConflictError:
        return f"{job.label}: job {job.job_id} was over before it could be cancelled"
    except ColdforgeError as error:
        return f"{job.label}: job {job.job_id} could not be cancelled: {error}"
    return f"{job.label}: job {job.job_id} is cancelled"
