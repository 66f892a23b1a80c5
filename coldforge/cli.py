"""The ``coldforge`` command. Results go to stdout, progress and errors to stderr."""

import importlib.metadata
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from coldforge.doctor.command import doctor
from coldforge.errors import ColdforgeError
from coldforge.exit_codes import HELP, ExitCode, exit_code_for
from coldforge.following import Followed
from coldforge.planning import choose_labels, choose_paths, parse_pairs
from coldforge.progress import choose_view
from coldforge.server_options import Server, add_server_options, takes_server
from coldforge.submitting import (
    Manner,
    Photo,
    Submission,
    describe_ending,
    error_to_json,
    follow_to_the_end,
    submit_and_follow,
    to_json,
)
from coldforge.tables import job_table, pool_table
from coldforge.wording import describe_details


class _Group(click.Group):
    """Turns our errors into a sentence, a JSON object and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ColdforgeError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            if ctx.meta.get("coldforge.is_json"):
                _print_json({"error": error_to_json(error)})
            click.echo(f"Error: {error}", err=True)
            ctx.exit(exit_code_for(error))
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(ExitCode.INTERRUPTED)


def _version() -> str:
    try:
        return importlib.metadata.version("coldforge")
    except importlib.metadata.PackageNotFoundError:
        return "from a checkout"


@click.group(cls=_Group, epilog=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version())
@add_server_options
def cli(url: str | None, key: str | None, token: str | None, *, is_json: bool) -> None:
    """Turn photos into 3D models on a GPU VM that is billed only while it works.

    \b
    Examples:
      coldforge submit chair.jpg -o chair.glb --preview chair.png
      coldforge submit shoes/*.jpg -o models/
      coldforge submit https://example.com/cup.png --json | jq .figures
      id=$(coldforge submit chair.jpg --detach) && coldforge wait $id -o chair.glb

    The options that name the server may also stand behind the command's name.
    """  # noqa: D301 - click reads the control character


def _watch_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of commands that wait for jobs."""
    options = (
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path),
            help="File for the model, or a folder.  [default: PHOTO.glb in this folder]",
        ),
        click.option(
            "--preview",
            type=click.Path(path_type=Path),
            help="File for a picture of the model, or a folder.",
        ),
        click.option(
            "--timeout",
            "timeout_s",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Stop waiting after this time; the job goes on.",
        ),
        click.option("-q", "--quiet", "is_quiet", is_flag=True, help="Show no progress."),
        click.option(
            "--cancel-on-interrupt",
            "cancels_on_interrupt",
            is_flag=True,
            help="Cancel the job on Ctrl-C instead of leaving it.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cli.command(epilog=HELP)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@_watch_options
@click.option("--seed", type=int, help="For the same model twice.")
@click.option(
    "--option", "pairs", multiple=True, metavar="NAME=VALUE", help="Option of the engine."
)
@click.option(
    "--metadata", "metadata_pairs", multiple=True, metavar="NAME=VALUE", help="Your own notes."
)
@click.option("--priority", type=click.Choice(["low", "normal", "high"]))
@click.option(
    "--start-within",
    "start_within_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Let the job fail if it could not start by then.",
)
@click.option("--idempotency-key", help="Find the job of an earlier call with this key.")
@click.option("--detach", is_flag=True, help="Print the job's id and don't wait.")
@takes_server
@click.pass_context
def submit(
    ctx: click.Context,
    photos: tuple[str, ...],
    *,
    output: Path | None,
    preview: Path | None,
    timeout_s: float | None,
    is_quiet: bool,
    cancels_on_interrupt: bool,
    seed: int | None,
    pairs: tuple[str, ...],
    metadata_pairs: tuple[str, ...],
    priority: str | None,
    start_within_s: float | None,
    idempotency_key: str | None,
    detach: bool,
    server: Server,
) -> None:
    """Make a model of each PHOTO: a PNG, JPEG, WebP, HEIC or AVIF file, a URL, or - for stdin.

    \b
    Examples:
      coldforge submit chair.jpg -o chair.glb --preview chair.png
      coldforge submit shoes/*.jpg -o models/ --option texture_size=1024
      coldforge submit chair.jpg --json --timeout 600 > status.json
    """  # noqa: D301 - click reads the control character
    if idempotency_key is not None and len(photos) > 1:
        raise click.UsageError("--idempotency-key goes with one photo.")
    try:
        options = parse_pairs(pairs) | ({} if seed is None else {"seed": seed})
        metadata = parse_pairs(metadata_pairs)
        planned = _plan(photos, output, preview)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    submission = Submission(
        planned,
        {
            "options": options or None,
            "metadata": metadata or None,
            "priority": priority,
            "start_within_s": start_within_s,
        },
        idempotency_key,
    )
    manner = Manner(timeout_s, cancels_on_interrupt, detach)
    view = choose_view(Console(stderr=True), is_quiet=is_quiet)
    with server.connect() as client, view:
        jobs, code = submit_and_follow(client, submission, view, manner)
    _print_jobs(jobs, is_json=server.is_json, detaches=detach)
    ctx.exit(code)


@cli.command(epilog=HELP)
@click.argument("job_id")
@_watch_options
@takes_server
@click.pass_context
def wait(
    ctx: click.Context,
    job_id: str,
    *,
    output: Path | None,
    preview: Path | None,
    timeout_s: float | None,
    is_quiet: bool,
    cancels_on_interrupt: bool,
    server: Server,
) -> None:
    """Watch a job until it is over; save its files if asked to.

    \b
    Examples:
      coldforge wait 01JD...              only watch
      coldforge wait 01JD... -o cup.glb   and save the model
    """  # noqa: D301 - click reads the control character
    job = Followed(job_id, job_id, _wanted(job_id, output, preview))
    view = choose_view(Console(stderr=True), is_quiet=is_quiet)
    with server.connect() as client, view:
        manner = Manner(timeout_s, cancels_on_interrupt)
        job.status = client.status(job_id)
        code = follow_to_the_end(client, [job], view, manner)
    _print_jobs([job], is_json=server.is_json)
    ctx.exit(code)


@cli.command(epilog=HELP)
@click.argument("job_id")
@takes_server
def status(job_id: str, *, server: Server) -> None:
    """Tell where a job stands; the exit status says only whether there is such a job."""
    with server.connect() as client:
        found = client.status(job_id)
    if server.is_json:
        _print_json(found.raw)
        return
    for name, value in describe_details(found):
        click.echo(f"{name:6} {value}")


@cli.command(epilog=HELP)
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@takes_server
def cancel(
    job_ids: tuple[str, ...],
    *,
    server: Server,
) -> None:
    """Cancel jobs, queued or running."""
    with server.connect() as client:
        for job_id in job_ids:
            client.cancel(job_id)
            if server.is_json:
                _print_json({"id": job_id, "state": "cancelled"})
            else:
                click.echo(f"{job_id} is cancelled")


@cli.command(epilog=HELP)
@takes_server
def pool(*, server: Server) -> None:
    """Show the VMs, what they do, and what they cost."""
    with server.connect() as client:
        found = client.pool()
    if server.is_json:
        _print_json(found)
    else:
        Console().print(pool_table(found))


@cli.command(epilog=HELP)
@click.option(
    "--state", type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"])
)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True)
@takes_server
def jobs(
    *,
    state: str | None,
    limit: int,
    server: Server,
) -> None:
    """List jobs, newest first."""
    with server.connect() as client:
        found = list(client.jobs(state=state, limit=limit))
    if not server.is_json:
        Console().print(job_table(found))
        return
    for job in found:
        _print_json(job.raw)


cli.add_command(doctor)


def main() -> None:
    """Run the command."""
    cli(prog_name="coldforge")


def _plan(photos: Sequence[str], output: Path | None, preview: Path | None) -> list[Photo]:
    if photos.count("-") > 1:
        raise ValueError("stdin holds one photo: give - once")
    models = choose_paths(photos, output, suffix=".glb")
    previews = choose_paths(photos, preview, suffix=".png") if preview is not None else None
    for path in (*models, *(previews or ())):
        _make_folder(path.parent)
    return [
        Photo(
            label,
            sys.stdin.buffer.read() if photo == "-" else photo,
            {"model.glb": models[number]}
            | ({} if previews is None else {"preview.png": previews[number]}),
        )
        for number, (label, photo) in enumerate(zip(choose_labels(photos), photos, strict=True))
    ]


def _wanted(job_id: str, output: Path | None, preview: Path | None) -> dict[str, Path]:
    wanted = {}
    if output is not None:
        wanted["model.glb"] = choose_paths([job_id], output, suffix=".glb")[0]
    if preview is not None:
        wanted["preview.png"] = choose_paths([job_id], preview, suffix=".png")[0]
    for path in wanted.values():
        _make_folder(path.parent)
    return wanted


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def _print_jobs(jobs: Sequence[Followed], *, is_json: bool, detaches: bool = False) -> None:
    for job in jobs:
        if is_json:
            _print_json(to_json(job))
        elif detaches and job.job_id:
            click.echo(job.job_id)
        elif job.error is None and not job.goes_on and job.job_id:
            click.echo(describe_ending(job))


def _print_json(body: Any) -> None:
    click.echo(json.dumps(body, ensure_ascii=False))
