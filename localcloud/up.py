"""``make up``: the local cloud for a developer, until Ctrl-C. State is kept in ``.local/up``."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from localcloud.blueprint import ROOT, LocalVm
from localcloud.component import ComponentError
from localcloud.ending import EXIT_INTERRUPTED, end_like_ctrl_c
from localcloud.ports import is_free
from localcloud.stack import Stack, StackError

FOLDER = ROOT / ".local" / "up"
DEFAULT_PORT = 7071
"""Where Core Tools would listen, too."""
WATCH_S = 1.0

SETTINGS = {
    "IDLE_WINDOW_S": "60",
    "WAKE_POLL_S": "1",
    "READY_POLL_S": "0.5",
    "STORAGE_ACCESS": "private",
    "IMAGE_URL_ALLOWED_HOSTS": "127.0.0.1:8000,localhost:8000",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Bring the local cloud up and keep it up; the answer is the exit code."""
    arguments = _parse(argv)
    console = Console(highlight=False)
    if not is_free(arguments.port):
        console.print(
            f"up: port {arguments.port} is taken: end what listens there, "
            "or choose another with PORT=7072.",
            style="red",
        )
        return 1
    stack = Stack(
        ROOT,
        FOLDER,
        vms=[LocalVm(boot_s=arguments.boot_s, switch_environ={})],
        app_port=arguments.port,
        app_environ=SETTINGS,
        keeps_storage=True,
    )
    end_like_ctrl_c()
    try:
        with stack:
            console.print(_describe(stack))
            while True:
                # A part that ended by itself is said at once, not at the next request.
                stack.check()
                time.sleep(WATCH_S)
    except (StackError, ComponentError) as error:
        console.print(f"up: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nAll of it has ended, the VM is off.")
        return EXIT_INTERRUPTED


def _describe(stack: Stack) -> Table:
    table = Table(title="The local cloud is up; Ctrl-C ends it", title_justify="left", box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    urls = stack.urls
    table.add_row("post a photo", f"coldforge --url {urls.app} submit photo.jpg -o model.glb")
    table.add_row("or with curl", f"curl -F image=@photo.jpg {urls.app}/api/jobs")
    table.add_row("jobs", f"{urls.app}/api/jobs")
    table.add_row("VMs, queue, money", f"{urls.app}/api/pool")
    table.add_row("Durable's own", f"{urls.app}/runtime/webhooks/durabletask/instances")
    table.add_row("ARM stand-in", f"{urls.arm}  (its meter: {urls.arm}/_local/meter)")
    table.add_row("storage", f"{urls.blob}  {urls.table}")
    table.add_row("its certificate", _short(stack.bundle))
    table.add_row("logs", _short(stack.folder / "logs"))
    return table


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="localcloud.up", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the function app")
    parser.add_argument("--boot-s", type=float, default=5.0, help="seconds a VM takes to boot")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
