"""What ``coldforge submit`` and ``coldforge wait`` do, apart from reading a command line."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from coldforge.client import Client
from coldforge.errors import ColdforgeError, ConflictError, ServerFailureError
from coldforge.exit_codes import ExitCode, exit_code_for, worst_of
from coldforge.following import Followed, follow
from coldforge.images import ImageInput
from coldforge.progress import ProgressView
from coldforge.targets import Stdout, Target
from coldforge.wording import describe_error, describe_model, make_readable, notes_of


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a command line.

    Attributes:
        label: What it is called on the screen.
        image: Path, URL or bytes.
        wanted: Artifact name to where it is saved.
    """

    label: str
    image: ImageInput
    wanted: Mapping[str, Target]


@dataclass(frozen=True, slots=True)
class WaitOptions:
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
    client: Client, submission: Submission, view: ProgressView, wait_options: WaitOptions
) -> tuple[list[Followed], ExitCode]:
    """Submit photos, watch their jobs and save their files. If one fails, the others go on."""
    jobs: list[Followed] = []
    try:
        for photo in submission.photos:
            jobs.append(Followed(photo.label, wanted=photo.wanted))
            _hand_in(client, photo, submission, jobs[-1], view)
    except KeyboardInterrupt:
        return jobs, _leave_all(client, jobs, view, wait_options)
    if wait_options.detaches:
        return jobs, worst_of([exit_code_for(job.error) for job in jobs])
    return jobs, follow_to_the_end(client, jobs, view, wait_options)


def follow_to_the_end(
    client: Client, jobs: Sequence[Followed], view: ProgressView, wait_options: WaitOptions
) -> ExitCode:
    """Watch jobs, save their files, say what went wrong, and return the exit status."""
    try:
        follow(client, jobs, view, timeout_s=wait_options.timeout_s)
    except KeyboardInterrupt:
        return _leave_all(client, jobs, view, wait_options)
    for job in jobs:
        if job.job_id and job.error is not None:
            view.say(f"{job.label}: {describe_error(job.error)}")
            if job.goes_on:
                view.say(_how_to_go_on(job))
            elif job.missing:
                view.say(_how_to_fetch(job))
    return worst_of([exit_code_for(job.error) for job in jobs])


def describe_ending(job: Followed) -> str:
    """Return the line that tells what became of a job that ended well."""
    files = ", ".join(
        "stdout" if isinstance(target, Stdout) else make_readable(str(target))
        for target in job.saved.values()
    )
    figures = describe_model(job.status) if job.status else ""
    line = f"{job.label}: {files or 'done'}" + (f" ({figures})" if figures else "")
    return " ".join([line, *(notes_of(job.status) if job.status else ())])


def to_json(job: Followed) -> dict[str, Any]:
    """Return what a script needs to know of one photo: the status, the files, the error."""
    body: dict[str, Any] = dict(job.status.raw) if job.status else {"id": job.job_id or None}
    body["photo"] = job.label
    body["files"] = {name: str(target) for name, target in job.saved.items()}
    if job.error is not None:
        body["error"] = {**(body.get("error") or {}), **error_to_json(job.error)}
    return body


def error_to_json(error: Exception) -> dict[str, Any]:
    """Return an error as a script reads it."""
    code, message = "client_fault", describe_error(error)
    if isinstance(error, ColdforgeError):
        code = error.code
    elif isinstance(error, OSError):
        code = "file_error"
    retryable = isinstance(error, ColdforgeError) and error.retryable
    return {"code": code, "message": message, "retryable": retryable}


def _hand_in(
    client: Client, photo: Photo, submission: Submission, job: Followed, view: ProgressView
) -> None:
    key = submission.idempotency_key or str(uuid.uuid4())
    try:
        job.job_id = client.submit(photo.image, idempotency_key=key, **submission.asked).id
    except Exception as error:  # noqa: BLE001 - whatever it is, the other photos go on
        job.error = error
        view.say(f"{job.label}: {describe_error(error)}")
        if _may_be_taken(error):
            view.say(_how_to_find(job, key))
    except KeyboardInterrupt:
        view.say(f"{job.label}: interrupted.")
        view.say(_how_to_find(job, key))
        raise


def _leave_all(
    client: Client, jobs: Sequence[Followed], view: ProgressView, wait_options: WaitOptions
) -> ExitCode:
    for job in jobs:
        if job.missing:
            view.say(f"{job.label}: interrupted before all of its files were saved.")
            view.say(_how_to_fetch(job))
        if not job.goes_on:
            continue
        if wait_options.cancels_on_interrupt:
            view.say(_cancel(client, job))
        else:
            view.say(f"{job.label}: interrupted; job {job.job_id} goes on.")
            view.say(_how_to_go_on(job))
    return ExitCode.INTERRUPTED


def _how_to_go_on(job: Followed) -> str:
    return f"  watch it:  coldforge wait {job.job_id}\n  cancel it: coldforge cancel {job.job_id}"


def _how_to_fetch(job: Followed) -> str:
    # Named after the id: the path that was wanted may be why it is not there.
    options = {"model.glb": f"-o {job.job_id}.glb", "preview.png": f"--preview {job.job_id}.png"}
    given = " ".join(options[name] for name in job.missing)
    return f"  fetch it:  coldforge wait {job.job_id} {given}"


def _may_be_taken(error: Exception) -> bool:
    """Tell whether the photo may have been sent and taken in spite of the error."""
    if isinstance(error, ServerFailureError):
        return error.status is None or error.status < 400
    return not isinstance(error, ColdforgeError | OSError)


def _how_to_find(job: Followed, key: str) -> str:
    return (
        "  The server may have taken it all the same. To find its job, submit it again with "
        f"--idempotency-key {key}"
    )


def _cancel(client: Client, job: Followed) -> str:
    try:
        client.cancel(job.job_id)
    except ConflictError:
        return f"{job.label}: job {job.job_id} had ended before it could be cancelled"
    except Exception as error:  # noqa: BLE001 - whatever it is, the other jobs are cancelled
        why = describe_error(error)
        return f"{job.label}: job {job.job_id} could not be cancelled: {why}"
    return f"{job.label}: job {job.job_id} is cancelled"
