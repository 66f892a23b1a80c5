"""``make demo``: a photo in, a GLB out, on this machine; the VM asleep before and after.

Brings the local cloud up in a folder of its own, posts the photo with the client library, shows
the wake, the stages and the idle stop as they happen, and leaves model, picture and figures in
``out/``. Ctrl-C at any time ends every process that it began.
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from coldforge import Client
from coldforge.errors import ColdforgeError
from coldforge.models import JobStatus
from coldforge.progress import choose_view
from localcloud.blueprint import ROOT, LocalVm
from localcloud.component import ComponentError
from localcloud.ending import EXIT_INTERRUPTED, end_like_ctrl_c
from localcloud.model_check import check_model
from localcloud.stack import Stack, StackError

OUT = ROOT / "out"
VM = "gpu-0"
POLL_S = 0.2
STOP_LIMIT_S = 120.0
BILLING_TOLERANCE_S = 1.5
"""Belief and meter may differ by the way of two requests."""

SETTINGS = {
    "WAKE_POLL_S": "1",
    "READY_POLL_S": "0.5",
    "LOOK_AWAKE_S": "5",
    "STORAGE_ACCESS": "private",
}


@dataclass(slots=True, kw_only=True)
class Figures:
    """What the demo measured; becomes ``out/demo.json``.

    Attributes:
        phases: Seconds spent in each phase of the VM and stage of the job.
        metered_seconds: Billed seconds by the ARM stand-in's own meter.
        cost_usd: Of the billed seconds, at the configured price.
    """

    photo: str
    engine: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    faces: int = 0
    vertices: int = 0
    watertight: bool = False
    silhouette_iou: float | None = None
    billed_seconds: float = 0.0
    metered_seconds: float = 0.0
    price_per_hour_usd: float = 0.0
    cost_usd: float = 0.0
    vm_at_the_end: str = ""
    total_seconds: float = 0.0
    model: str = ""
    picture: str = ""


class DemoError(Exception):
    """The demo did not show what it should."""


class Stopwatch:
    """Adds up the seconds spent in named phases, one after the other."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._phase: str | None = None
        self.seconds: dict[str, float] = {}

    def enter(self, phase: str | None) -> None:
        """End the phase under way and begin another; entering the same one goes on with it."""
        if phase == self._phase:
            return
        now = time.monotonic()
        if self._phase is not None:
            spent_s = self.seconds.get(self._phase, 0.0) + now - self._since
            self.seconds[self._phase] = round(spent_s, 2)
        self._phase, self._since = phase, now


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; the answer is the exit code."""
    arguments = _parse(argv)
    console = Console(highlight=False)
    end_like_ctrl_c()
    try:
        photo = _photo(arguments.image)
        with _folder() as folder:
            figures = _run(console, photo, folder, arguments)
    except KeyboardInterrupt:
        console.print("\nEnded by you. Every process has ended, every port is free.")
        return EXIT_INTERRUPTED
    except (DemoError, StackError, ComponentError, ColdforgeError, OSError) as error:
        console.print(f"demo: {error}", style="red", markup=False)
        return 1
    (OUT / "demo.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    console.print(_closing_table(figures))
    return 0


def _run(console: Console, photo: Path, folder: Path, arguments: argparse.Namespace) -> Figures:
    began_at = time.monotonic()
    figures = Figures(photo=_short(photo))
    stack = Stack(
        ROOT,
        folder,
        vms=[
            LocalVm(
                name=VM,
                boot_s=arguments.boot_s,
                switch_environ={},
                agent_environ={"GPU_AGENT_STAGE_MIN_S": str(arguments.stage_s)},
            )
        ],
        app_environ={**SETTINGS, "IDLE_WINDOW_S": str(arguments.idle_s)},
    )
    console.print(f"[bold]Coldforge[/] on this machine: {figures.photo} becomes a 3D model.")
    watch = Stopwatch()
    watch.enter("local cloud up")
    try:
        with stack, Client(stack.urls.app) as client:
            _say_off(console, client)
            status = _make_model(console, client, photo, watch)
            _save(client, status, figures)
            _wait_until_off(console, client, watch)
            figures.phases = watch.seconds
            _note_money(stack, client, figures)
    except ComponentError:
        _keep_logs(folder)
        raise
    figures.total_seconds = round(time.monotonic() - began_at, 1)
    return figures


def _say_off(console: Console, client: Client) -> None:
    vm = _vm(client)
    console.print(
        f"The local cloud is up. VM {VM} ({vm['size']}, USD {vm['price_per_hour_usd']} an hour) "
        f"is {vm['phase']}: nothing is billed."
    )
    if vm["phase"] != "deallocated":
        raise DemoError(f"VM {VM} should be deallocated and is {vm['phase']}")


def _make_model(console: Console, client: Client, photo: Path, watch: Stopwatch) -> JobStatus:
    """Post the photo and show what happens until the job is over."""
    job = client.submit(photo)
    watch.enter("VM starting")
    with choose_view(console, is_quiet=False) as view:
        while True:
            status = client.status(job.id)
            view.show(photo.name, status)
            watch.enter(_phase_of(status))
            if status.is_over:
                break
            time.sleep(POLL_S)
    status.raise_unless_succeeded()
    return status


def _phase_of(status: JobStatus) -> str | None:
    if status.is_over:
        return "idle until the VM stops"
    if status.state == "running" and status.stage:
        return f"stage {status.stage}"
    phase = (status.vm or {}).get("phase", "starting")
    return f"VM {phase}"


def _save(client: Client, status: JobStatus, figures: Figures) -> None:
    """Fetch model and picture, and open the model again as anyone would."""
    model, picture = OUT / "model.glb", OUT / "preview.png"
    client.download(status.id, "model.glb", model)
    client.download(status.id, "preview.png", picture)
    checked = check_model(model)
    if not checked.watertight or checked.volume <= 0:
        raise DemoError(f"{_short(model)} is no closed mesh that faces outward")
    reported: dict[str, Any] = status.raw.get("figures") or {}
    figures.engine = (status.raw.get("engine") or {}).get("description", "")
    figures.faces, figures.vertices = checked.faces, checked.vertices
    figures.watertight = checked.watertight
    figures.silhouette_iou = reported.get("silhouette_iou")
    figures.model, figures.picture = _short(model), _short(picture)


def _wait_until_off(console: Console, client: Client, watch: Stopwatch) -> None:
    deadline = time.monotonic() + STOP_LIMIT_S
    shown = ""
    with console.status("") as line:
        while True:
            vm = _vm(client)
            text = _idle_text(vm)
            line.update(text)
            if not console.is_terminal and vm["phase"] != shown:
                console.print(text)
            shown = vm["phase"]
            watch.enter("idle until the VM stops" if vm["phase"] == "ready" else f"VM {shown}")
            if shown == "deallocated":
                watch.enter(None)
                watch.seconds.pop("VM deallocated", None)
                console.print(f"VM {VM} is deallocated again: nothing is billed.")
                return
            if time.monotonic() > deadline:
                raise DemoError(f"VM {VM} is still {shown} after {STOP_LIMIT_S:.0f} s")
            time.sleep(POLL_S)


def _idle_text(vm: dict[str, Any]) -> str:
    if vm["phase"] == "ready" and vm["stops_at"] is not None:
        left_s = max(0.0, vm["stops_at"] - time.time())
        return f"VM {VM} is idle and stops in {left_s:.0f} s ({vm['why']})"
    return f"VM {VM} is {vm['phase']} ({vm['why']})"


def _note_money(stack: Stack, client: Client, figures: Figures) -> None:
    """Hold the pool's ledger against the meter of the ARM stand-in, which knows nothing of it."""
    vm = _vm(client)
    metered = stack.meter()[VM]
    figures.billed_seconds = vm["billed_seconds"]
    figures.metered_seconds = round(metered["billed_seconds"], 3)
    figures.price_per_hour_usd = vm["price_per_hour_usd"]
    figures.cost_usd = vm["cost_usd"]
    figures.vm_at_the_end = metered["power_state"]
    if metered["power_state"] != "deallocated":
        raise DemoError(f"VM {VM} should be deallocated and is {metered['power_state']}")
    if abs(figures.billed_seconds - figures.metered_seconds) > BILLING_TOLERANCE_S:
        raise DemoError(
            f"the ledger says {figures.billed_seconds} s, the meter {figures.metered_seconds} s"
        )


def _closing_table(figures: Figures) -> Table:
    table = Table(title="What happened", title_justify="left", box=None, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("engine", figures.engine)
    for phase, seconds in figures.phases.items():
        table.add_row(phase, f"{seconds:.1f} s")
    table.add_row("mesh", f"{figures.faces:,} faces, {_watertight(figures)}")
    table.add_row(
        "billed",
        f"{figures.billed_seconds:.1f} s by the ledger, {figures.metered_seconds:.1f} s by the "
        "meter of the ARM stand-in",
    )
    table.add_row(
        "cost", f"USD {figures.cost_usd:.4f} at USD {figures.price_per_hour_usd} an hour"
    )
    table.add_row("VM at the end", figures.vm_at_the_end)
    table.add_row("in all", f"{figures.total_seconds:.1f} s")
    table.add_row("files", f"{figures.model}  {figures.picture}  out/demo.json")
    return table


def _watertight(figures: Figures) -> str:
    return "watertight" if figures.watertight else "not watertight"


def _vm(client: Client) -> dict[str, Any]:
    vm: dict[str, Any] = next(vm for vm in client.pool()["vms"] if vm["name"] == VM)
    return vm


def _photo(given: Path | None) -> Path:
    """Give the photo: the caller's, or the coffee cup that comes with scikit-image."""
    OUT.mkdir(exist_ok=True)
    if given is not None:
        if not given.is_file():
            raise DemoError(f"there is no photo {given}")
        return given
    from PIL import Image
    from skimage import data

    path = OUT / "photo.jpg"
    Image.fromarray(data.coffee()).save(path, quality=92)
    return path


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder for the local cloud's state that goes when the demo ends."""
    with tempfile.TemporaryDirectory(prefix="coldforge-demo-") as folder:
        yield Path(folder)


def _keep_logs(folder: Path) -> None:
    shutil.copytree(folder / "logs", OUT / "logs", dirs_exist_ok=True)


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="localcloud.demo", description=__doc__)
    parser.add_argument("--image", type=Path, help="a photo: PNG, JPEG or WebP")
    parser.add_argument("--boot-s", type=float, default=5.0, help="seconds the VM takes to boot")
    parser.add_argument("--idle-s", type=float, default=6.0, help="idle window in seconds")
    parser.add_argument(
        "--stage-s", type=float, default=0.4, help="shortest time of a stage, so that it is seen"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
