"""``make up``: the local cloud for a developer, until Ctrl-C. State is kept in ``.local/up``."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from localcloud.blueprint import ROOT, LocalVm
from localcloud.core_tools import find_func
from localcloud.ending import EXIT_INTERRUPTED, end_like_ctrl_c
from localcloud.last_words import describe, explain, shorten
from localcloud.ports import is_free
from localcloud.stack import Stack

FOLDER = ROOT / ".local" / "up"
DEFAULT_PORT = 7071
"""Where Core Tools would listen, too."""
WATCH_S = 1.0

SETTINGS = {
    "IDLE_WINDOW_S": "60",
    "READY_POLL_S": "0.5",
    "STORAGE_ACCESS": "private",
    "IMAGE_URL_ALLOWED_HOSTS": "127.0.0.1:8000,localhost:8000",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Bring the local cloud up and keep it up; the answer is the exit code."""
    arguments = _parse(argv)
    console = Console(highlight=False)
    end_like_ctrl_c()
    try:
        _stay_up(console, arguments)
    except KeyboardInterrupt:
        console.print("\nAll of it has ended, the VM is off.")
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge of the program
        console.print(f"up: {describe(error)}", style="red", markup=False, soft_wrap=True)
        return 1


def choose_wake_poll_s(boot_s: float) -> float:
    """Choose how often the app looks at a VM that boots: often enough, and no request too many.

    Azure takes 36 looks at a VM at once and 12 a minute after that.

    Args:
        boot_s: Seconds that a VM takes to boot.
    """
    return min(10.0, max(1.0, boot_s / 10))


def _stay_up(console: Console, arguments: argparse.Namespace) -> NoReturn:
    func = find_func() if arguments.host == "func" else None
    if not is_free(arguments.port):
        raise OSError(
            f"port {arguments.port} is taken: end what listens there, or choose another with "
            f"PORT={arguments.port + 1}."
        )
    stack = Stack(
        ROOT,
        arguments.data,
        vms=[LocalVm(boot_s=arguments.boot_s)],
        app_port=arguments.port,
        app_environ={**SETTINGS, "WAKE_POLL_S": f"{choose_wake_poll_s(arguments.boot_s):g}"},
        keeps_storage=True,
        func=func,
        limits_rates=True,
    )
    if func:
        console.print(
            f"Core Tools ({func}) runs the app. Coldforge's own tests do not prove this way, and "
            "its first start downloads the extension bundle."
        )
    with stack:
        console.print(_describe(stack))
        try:
            while True:
                # A part that ended by itself is said at once, not at the next request.
                stack.check()
                time.sleep(WATCH_S)
        except Exception as error:
            raise explain(error, stack) from error


def _describe(stack: Stack) -> Table:
    table = Table(
        title="The local cloud is up; Ctrl-C ends it",
        title_justify="left",
        title_style="bold",
        box=None,
        show_header=False,
        pad_edge=False,
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    urls, command = stack.urls, shorten(Path(sys.executable).parent / "coldforge")
    # The command's own default is the default port.
    server = "" if urls.app.endswith(f":{DEFAULT_PORT}") else f" --url {urls.app}"
    table.add_row("post a photo", f"{command}{server} submit photo.jpg -o model.glb")
    table.add_row("or with curl", f"curl -F image=@photo.jpg {urls.app}/api/jobs")
    table.add_row("jobs", f"{urls.app}/api/jobs")
    table.add_row("VMs, queue, cost", f"{urls.app}/api/pool")
    table.add_row("Durable's own", f"{urls.app}/runtime/webhooks/durabletask/instances")
    table.add_row("ARM stand-in", f"{urls.arm}")
    table.add_row("  its meter", f"{urls.arm}/_local/meter")
    table.add_row("  faults to order", f"{urls.arm}/_local/faults")
    table.add_row("blobs", urls.blob)
    table.add_row("tables", urls.table)
    environ = shorten(stack.folder / "doctor.env")
    table.add_row("examine all of it", f". {environ} && {command} doctor")
    table.add_row("certificate", shorten(stack.bundle))
    table.add_row("logs", shorten(stack.folder / "logs"))
    return table


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="localcloud.up", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the function app")
    parser.add_argument("--boot-s", type=float, default=5.0, help="seconds a VM takes to boot")
    parser.add_argument(
        "--host",
        choices=("own", "func"),
        default="own",
        help="Functions host: Coldforge's own, or Core Tools where it is on the PATH",
    )
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder of state and logs")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
