"""The ``coldforge`` command. Results go to stdout, progress and errors to stderr."""

import importlib.metadata
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from coldforge.client import Client
from coldforge.doctor.command import doctor
from coldforge.exit_codes import HELP, ExitCode, exit_code_for, worst_of
from coldforge.following import Followed
from coldforge.loopback import exempt_loopback
from coldforge.planning import choose_labels, choose_paths, is_url, parse_pairs
from coldforge.progress import choose_view
from coldforge.server_options import Server, add_server_options, takes_server
from coldforge.submitting import (
    Photo,
    Submission,
    WaitOptions,
    describe_ending,
    error_to_json,
    follow_to_the_end,
    submit_and_follow,
    to_json,
)
from coldforge.tables import job_table, pool_table
from coldforge.targets import FileTarget, Stdout, Target, prepare
from coldforge.wording import describe_details, describe_error, make_readable


class _Group(click.Group):
    """Turns errors into a sentence, a JSON object and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(ExitCode.INTERRUPTED)
        except Exception as error:  # noqa: BLE001 - the edge of the program
            if ctx.meta.get("coldforge.is_json"):
                _print_json({"error": error_to_json(error)})
            click.echo(f"Error: {describe_error(error)}", err=True)
            ctx.exit(exit_code_for(error))


def _version() -> str:
    try:
        return importlib.metadata.version("coldforge")
    except importlib.metadata.PackageNotFoundError:
        return "from a checkout"


@click.group(cls=_Group, epilog=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version())
@add_server_options
def cli(url: str | None, key: str | None, *, is_json: bool) -> None:
    """Turn photos into 3D models on a GPU VM that is billed only while it works.

    \b
    Examples:
      coldforge submit chair.jpg -o chair.glb --preview chair.png
      coldforge submit shoes/*.jpg -o models/
      coldforge submit https://example.com/cup.png --json | jq .figures
      id=$(coldforge submit chair.jpg --detach) && coldforge wait $id -o chair.glb

    --url, --key and --json may also come after the command's name.
    """  # noqa: D301 - click reads the control character


def _watch_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of commands that wait for jobs."""
    options = (
        click.option(
            "-o",
            "--output",
            type=click.Path(),
            help="File for the model, a folder, or - for stdout.  "
            "[default: PHOTO.glb in this folder]",
        ),
        click.option(
            "--preview",
            type=click.Path(),
            help="File for a picture of the model, a folder, or - for stdout.",
        ),
        click.option(
            "--force", "replaces", is_flag=True, help="Replace files that are there already."
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
            help="Cancel the job on Ctrl-C instead of letting it go on.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cli.command(epilog=HELP)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@_watch_options
@click.option(
    "--seed", type=int, help="The same seed gives the same model again, apart from rounding."
)
@click.option(
    "--option",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the engine, such as texture_size=1024.",
)
@click.option(
    "--metadata",
    "metadata_pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Your own note, returned in every status.",
)
@click.option(
    "--priority",
    type=click.Choice(["low", "normal", "high"]),
    help="Jobs of a higher priority start first.",
)
@click.option(
    "--start-within",
    "start_within_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Fail the job if it has not started by then.",
)
@click.option(
    "--idempotency-key",
    help="If a job was submitted with this key before, find it instead of starting another.",
)
@click.option("--detach", is_flag=True, help="Print the job's id and don't wait.")
@takes_server
@click.pass_context
def submit(
    ctx: click.Context,
    photos: tuple[str, ...],
    *,
    output: str | None,
    preview: str | None,
    replaces: bool,
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
        raise click.UsageError("--idempotency-key can be used with one photo only.")
    if photos.count("-") > 1:
        raise click.UsageError("stdin holds one photo: use - only once.")
    try:
        options = parse_pairs(pairs) | ({} if seed is None else {"seed": seed})
        metadata = parse_pairs(metadata_pairs)
        if detach:
            wanted: list[dict[str, Target]] = [{} for _ in photos]
        else:
            wanted = _choose_targets(photos, output, preview, replaces, is_json=server.is_json)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _prepare(wanted, [Path(photo) for photo in photos if photo != "-" and not is_url(photo)])
    submission = Submission(
        _read(photos, wanted),
        {
            "options": options or None,
            "metadata": metadata or None,
            "priority": priority,
            "start_within_s": start_within_s,
        },
        idempotency_key,
    )
    wait_options = WaitOptions(timeout_s, cancels_on_interrupt, detach)
    view = choose_view(Console(stderr=True), is_quiet=is_quiet)
    with server.connect() as client, view:
        jobs, code = submit_and_follow(client, submission, view, wait_options)
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
    output: str | None,
    preview: str | None,
    replaces: bool,
    timeout_s: float | None,
    is_quiet: bool,
    cancels_on_interrupt: bool,
    server: Server,
) -> None:
    """Watch a job until it ends, and save its files if asked to.

    \b
    Examples:
      coldforge wait 01JD...              only watch
      coldforge wait 01JD... -o cup.glb   and save the model
    """  # noqa: D301 - click reads the control character
    try:
        wanted = _choose_targets(
            [job_id], output, preview, replaces, is_json=server.is_json, saves_model=False
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _prepare(wanted, [])
    job = Followed(make_readable(job_id), job_id, wanted[0])
    view = choose_view(Console(stderr=True), is_quiet=is_quiet)
    with server.connect() as client, view:
        wait_options = WaitOptions(timeout_s, cancels_on_interrupt)
        job.status = client.status(job_id)
        code = follow_to_the_end(client, [job], view, wait_options)
    _print_jobs([job], is_json=server.is_json)
    ctx.exit(code)


@cli.command(epilog=HELP)
@click.argument("job_id")
@takes_server
def status(job_id: str, *, server: Server) -> None:
    """Show the state of a job. The exit status says only whether the job exists."""
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
@click.pass_context
def cancel(
    ctx: click.Context,
    job_ids: tuple[str, ...],
    *,
    server: Server,
) -> None:
    """Cancel queued or running jobs. If one can't be cancelled, the others still are."""
    codes = []
    with server.connect() as client:
        for job_id in job_ids:
            error = _cancel(client, job_id)
            codes.append(exit_code_for(error))
            if server.is_json:
                told = {"state": "cancelled"} if error is None else {"error": error_to_json(error)}
                _print_json({"id": job_id, **told})
            if error is not None:
                click.echo(f"{make_readable(job_id)}: {describe_error(error)}", err=True)
            elif not server.is_json:
                click.echo(f"{job_id} is cancelled")
    ctx.exit(worst_of(codes))


@cli.command(epilog=HELP)
@takes_server
def pool(*, server: Server) -> None:
    """Show the VMs, what they are doing, and what they cost."""
    with server.connect() as client:
        found = client.pool()
    if server.is_json:
        _print_json(found)
    else:
        Console().print(pool_table(found))


@cli.command(epilog=HELP)
@click.option(
    "--state",
    type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"]),
    help="Only jobs in this state.",
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Most jobs to list.",
)
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
    # What a library logs may hold what was sent; without a handler it would go to stderr.
    logging.getLogger().addHandler(logging.NullHandler())
    exempt_loopback(os.environ)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks must not cost the result.
        sys.stdout.reconfigure(errors="backslashreplace")
    cli(prog_name="coldforge")


def _choose_targets(
    photos: Sequence[str],
    output: str | None,
    preview: str | None,
    replaces: bool,
    *,
    is_json: bool,
    saves_model: bool = True,
) -> list[dict[str, Target]]:
    """Return for each photo where its artifacts go, by name.

    Raises:
        ValueError: The options contradict each other.
    """
    if "-" in (output, preview):
        if is_json or output == preview:
            raise ValueError("stdout can take only one of: the model, its preview, JSON")
        if len(photos) > 1:
            raise ValueError(f"stdout can take only one model, but there are {len(photos)} photos")
        if sys.stdout.isatty():
            raise ValueError("stdout is a terminal: send it to a file or a program")
    wanted: list[dict[str, Target]] = [{} for _ in photos]
    for name, suffix, given in (("model.glb", ".glb", output), ("preview.png", ".png", preview)):
        if given is None and not (saves_model and name == "model.glb"):
            continue
        if given == "-":
            wanted[0][name] = Stdout()
            continue
        paths = choose_paths(photos, None if given is None else Path(given), suffix=suffix)
        for targets, path in zip(wanted, paths, strict=True):
            targets[name] = FileTarget(path, replaces)
    return wanted


def _prepare(wanted: Sequence[dict[str, Target]], photos: Sequence[Path]) -> None:
    prepare([target for targets in wanted for target in targets.values()], photos)


def _read(photos: Sequence[str], wanted: Sequence[dict[str, Target]]) -> list[Photo]:
    return [
        Photo(label, sys.stdin.buffer.read() if photo == "-" else photo, targets)
        for label, photo, targets in zip(choose_labels(photos), photos, wanted, strict=True)
    ]


def _cancel(client: Client, job_id: str) -> Exception | None:
    try:
        client.cancel(job_id)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other jobs are cancelled
        return error
    return None


def _print_jobs(jobs: Sequence[Followed], *, is_json: bool, detaches: bool = False) -> None:
    for job in jobs:
        if is_json:
            _print_json(to_json(job))
        elif detaches and job.job_id:
            click.echo(job.job_id)
        elif job.error is None and not job.goes_on and not job.missing and job.job_id:
            has_stdout = any(isinstance(target, Stdout) for target in job.saved.values())
            click.echo(describe_ending(job), err=has_stdout)


def _print_json(body: Any) -> None:
    # ASCII, which every encoding of stdout takes, whatever bytes a file's name is made of.
    click.echo(json.dumps(body))
