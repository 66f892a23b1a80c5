"""``make demo``: a photo in, a GLB out, on this machine; the VM asleep before and after.

Brings the local cloud up in a folder of its own, posts the photo with the client library, shows
the wake, the stages and the idle stop as they happen, and leaves model, picture and figures in
``out/``. Ctrl-C at any time ends every process that it began.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from coldforge import Client
from coldforge.models import JobStatus
from localcloud.blueprint import ROOT, LocalVm
from localcloud.demo_engine import ENGINES, DemoEngine, prepare_engine
from localcloud.demo_view import DemoView, choose_view, draw_closing
from localcloud.ending import EXIT_INTERRUPTED, end_like_ctrl_c
from localcloud.last_words import ExplainedError, describe, explain, shorten
from localcloud.model_check import check_model
from localcloud.stack import Stack

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


class DemoError(ExplainedError):
    """The demo did not show what it should."""


class Stopwatch:
    """Adds up the seconds spent in named phases, one after the other."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._phase: str | None = None
        self.seconds: dict[str, float] = {}
        self.on_end: Callable[[str, float], None] = lambda phase, seconds: None

    def enter(self, phase: str | None) -> None:
        """End the phase under way and begin another; entering the same one goes on with it."""
        if phase == self._phase:
            return
        now = time.monotonic()
        if self._phase is not None:
            spent_s = now - self._since
            self.seconds[self._phase] = round(self.seconds.get(self._phase, 0.0) + spent_s, 2)
            self.on_end(self._phase, spent_s)
        self._phase, self._since = phase, now


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; the answer is the exit code."""
    arguments = _parse(argv)
    console = Console(highlight=False)
    end_like_ctrl_c()
    try:
        photo = _photo(arguments.image)
        with _folder() as folder:
            engine = prepare_engine(arguments.engine, arguments.weights, folder)
            figures = _run(console, photo, folder, engine, arguments)
    except KeyboardInterrupt:
        console.print("\nEnded by you. Every process has ended, every port is free.")
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge of the program
        console.print(f"demo: {describe(error)}", style="red", markup=False, soft_wrap=True)
        return 1
    (OUT / "demo.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    block = "\u2588" if console.encoding.startswith("utf") else "#"
    console.print(
        draw_closing(figures.phases, _list_facts(figures, engine, arguments), block=block)
    )
    return 0


def _run(
    console: Console,
    photo: Path,
    folder: Path,
    engine: DemoEngine,
    arguments: argparse.Namespace,
) -> Figures:
    began_at = time.monotonic()
    figures = Figures(photo=shorten(photo))
    console.print(
        f"[bold]Coldforge[/] on this machine, without Azure and without a GPU: {figures.photo} "
        "becomes a 3D model.\nStarting Azurite, the stand-ins for Azure and the function app ..."
    )
    if engine.told:
        console.print(engine.told)
    stack = Stack(
        ROOT,
        folder,
        vms=[
            LocalVm(
                name=VM,
                boot_s=arguments.boot_s,
                agent_environ={
                    "GPU_AGENT_STAGE_MIN_S": str(arguments.stage_s),
                    **engine.environ,
                },
            )
        ],
        app_environ={**SETTINGS, "IDLE_WINDOW_S": str(arguments.idle_s)},
    )
    watch = Stopwatch()
    watch.enter("local cloud up")
    try:
        with stack:
            try:
                _show(console, stack, photo, engine, watch, figures)
            except Exception as error:
                raise explain(error, stack) from error
    except Exception:
        _keep_logs(folder)
        raise
    figures.phases = watch.seconds
    figures.total_seconds = round(time.monotonic() - began_at, 1)
    return figures


def _show(
    console: Console,
    stack: Stack,
    photo: Path,
    engine: DemoEngine,
    watch: Stopwatch,
    figures: Figures,
) -> None:
    """Take the photo the whole way, from a VM that is off to a VM that is off."""
    # A program that has ended is why there is no answer: then there is none to wait for.
    with Client(stack.urls.app, on_outage=lambda _: stack.check()) as client:
        _say_off(console, client)
        with choose_view(console, photo.name) as view:
            watch.on_end = view.pass_by
            status = _make_model(stack, client, photo, engine, watch, view)
            _save(client, status, figures)
            _wait_until_off(stack, client, status, watch, view)
        console.print(f"VM {VM} is deallocated again: nothing is billed.")
        _note_money(stack, client, figures)


def _say_off(console: Console, client: Client) -> None:
    vm = _vm(client)
    console.print(
        f"The local cloud is up. VM {VM} ({vm['size']}, USD {vm['price_per_hour_usd']} an hour) "
        f"is {vm['phase']}: nothing is billed."
    )
    if vm["phase"] != "deallocated":
        raise DemoError(f"VM {VM} should be deallocated and is {vm['phase']}")


def _make_model(
    stack: Stack,
    client: Client,
    photo: Path,
    engine: DemoEngine,
    watch: Stopwatch,
    view: DemoView,
) -> JobStatus:
    """Post the photo and show what happens until the job is over."""
    job = client.submit(photo, options=engine.options or None)
    watch.enter("VM starting")
    deadline = time.monotonic() + engine.job_limit_s
    while True:
        stack.check()
        status = client.status(job.id)
        view.show(status, _vm(client))
        watch.enter(_phase_of(status))
        if status.is_over:
            break
        if time.monotonic() > deadline:
            raise DemoError(f"the job is still {status.state} after {engine.job_limit_s:.0f} s")
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
        raise DemoError(f"{shorten(model)} is no closed mesh that faces outward")
    reported: dict[str, Any] = status.raw.get("figures") or {}
    figures.engine = (status.raw.get("engine") or {}).get("description", "")
    figures.faces, figures.vertices = checked.faces, checked.vertices
    figures.watertight = checked.watertight
    figures.silhouette_iou = reported.get("silhouette_iou")
    figures.model, figures.picture = shorten(model), shorten(picture)


def _wait_until_off(
    stack: Stack, client: Client, status: JobStatus, watch: Stopwatch, view: DemoView
) -> None:
    deadline = time.monotonic() + STOP_LIMIT_S
    while True:
        stack.check()
        vm = _vm(client)
        view.show(status, vm)
        phase = vm["phase"]
        if phase == "deallocated":
            watch.enter(None)
            return
        watch.enter("idle until the VM stops" if phase == "ready" else f"VM {phase}")
        if time.monotonic() > deadline:
            raise DemoError(f"VM {VM} is still {phase} after {STOP_LIMIT_S:.0f} s")
        time.sleep(POLL_S)


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


def _list_facts(
    figures: Figures, engine: DemoEngine, arguments: argparse.Namespace
) -> list[tuple[str, str]]:
    closed = "watertight" if figures.watertight else "not watertight"
    return [
        ("model", f"{figures.model}: {figures.faces:,} faces, {closed}"),
        ("picture", figures.picture),
        ("figures", "out/demo.json"),
        (
            "billed",
            f"{figures.billed_seconds:.1f} s by the app's ledger, "
            f"{figures.metered_seconds:.1f} s by the stand-in's meter",
        ),
        ("cost", f"USD {figures.cost_usd:.4f} at USD {figures.price_per_hour_usd} an hour"),
        ("VM at the end", figures.vm_at_the_end),
        ("in all", f"{figures.total_seconds:.1f} s"),
        ("engine", figures.engine),
        (
            "not shown here",
            f"{engine.not_shown} The VM boots in {arguments.boot_s:g} s because it was told so; "
            "a GPU VM takes minutes.",
        ),
    ]


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
    # Replaced as a whole: another demo may be reading it.
    unfinished = OUT / f"photo-{os.getpid()}.part"
    Image.fromarray(data.coffee()).save(unfinished, "JPEG", quality=92)
    unfinished.replace(path)
    return path


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder for the local cloud's state that goes when the demo ends."""
    with tempfile.TemporaryDirectory(prefix="coldforge-demo-") as folder:
        yield Path(folder)


def _keep_logs(folder: Path) -> None:
    shutil.copytree(folder / "logs", OUT / "logs", dirs_exist_ok=True)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="localcloud.demo", description=__doc__)
    parser.add_argument("--image", type=Path, help="a photo: PNG, JPEG, WebP, HEIC or AVIF")
    parser.add_argument("--engine", choices=ENGINES, default="preview", help="what makes models")
    parser.add_argument("--weights", type=Path, help="real weights for hunyuan3d; else tiny ones")
    parser.add_argument("--boot-s", type=float, default=5.0, help="seconds the VM takes to boot")
    parser.add_argument("--idle-s", type=float, default=6.0, help="idle window in seconds")
    parser.add_argument(
        "--stage-s", type=float, default=0.4, help="shortest time of a stage, so that it is seen"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
