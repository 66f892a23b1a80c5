"""The command ``coldforge doctor``."""

import json
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from coldforge.doctor.deployment import Deployment
from coldforge.doctor.errors import DeploymentError
from coldforge.doctor.examination import Examination, ExaminationOptions
from coldforge.doctor.report import choose_exit_code, show, summarise, to_json
from coldforge.exit_codes import ExitCode
from coldforge.server_options import DEFAULT_URL, Server, takes_server

HELP = """\
\b
Exit status:
  0  no fault found; skipped checks are listed
  1  at least one fault; each comes with its fix
  2  the command line is wrong, or the deployment's file can't be used
  4  no fault found, but something could not be checked
"""


@click.command(epilog=HELP)
@click.option(
    "--deployment",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="COLDFORGE_DEPLOYMENT",
    help="File that describes the deployment: Terraform's output `coldforge` as JSON. "
    "`make doctor ENV=dev` and `make up` write one.  [env var: COLDFORGE_DEPLOYMENT]",
)
@click.option(
    "--wake", "wakes", is_flag=True, help="Wake a VM too, which is billed for some minutes."
)
@click.option(
    "--wake-timeout",
    "wake_limit_s",
    type=click.FloatRange(min=1),
    default=1500.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a VM may take to become ready.",
)
@click.option(
    "--timeout",
    "limit_s",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each question may take.",
)
@click.option("-q", "--quiet", "is_quiet", is_flag=True, help="Show only what is not ok.")
@takes_server
@click.pass_context
def doctor(
    ctx: click.Context,
    path: Path | None,
    *,
    wakes: bool,
    wake_limit_s: float,
    limit_s: float,
    is_quiet: bool,
    server: Server,
) -> None:
    """Find what is wrong with this machine or a deployment, and say how to fix it.

    \b
    Examples:
      coldforge doctor --deployment out/doctor-dev.json
      coldforge doctor --wake --json | jq .findings
    """  # noqa: D301 - click reads the control character
    if path is None:
        raise click.UsageError("Name the deployment: --deployment FILE.")
    options = ExaminationOptions(limit_s=limit_s, wakes=wakes, wake_limit_s=wake_limit_s)
    examination = _open(path, server, options)
    if server.is_json:
        outcomes = list(examination.run(_tell_progress(Console(stderr=True))))
        click.echo(json.dumps(to_json(outcomes)))
        ctx.exit(choose_exit_code(outcomes))
    console, outcomes = Console(), []
    for outcome in examination.run(_tell_progress(Console(stderr=True))):
        outcomes.append(outcome)
        if not is_quiet or choose_exit_code([outcome]) is not ExitCode.OK:
            show(console, outcome)
    click.echo(summarise(outcomes))
    ctx.exit(choose_exit_code(outcomes))


def _open(path: Path, server: Server, options: ExaminationOptions) -> Examination:
    try:
        # What is not UTF-8 is not JSON either, which is what the message will say.
        deployment = Deployment.from_json(path.read_text("utf-8", errors="replace"))
    except DeploymentError as error:
        raise click.UsageError(f"{path}: {error}") from error
    try:
        # An extra: the rest of the command must not need it.
        from coldforge.doctor.examiner import build_examination
    except ImportError as error:
        raise click.UsageError(
            f"The doctor needs Azure's SDKs ({error.name} is missing). In a checkout: "
            "pip install '.[doctor]'."
        ) from error
    url = server.url if server.url != DEFAULT_URL else deployment.app_url
    return build_examination(deployment.at(url), key=server.key, options=options)


def _tell_progress(console: Console) -> Callable[[str], None]:
    """Say what is being looked at, where somebody watches: a line that the next one replaces."""

    def tell(check: str) -> None:
        if console.is_terminal:
            console.print(f"… {check}", end="\r", markup=False, highlight=False)

    return tell
