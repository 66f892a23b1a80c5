"""What the demo shows while it runs and when it is over."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from coldforge.models import JobStatus
from coldforge.progress import PlainView
from coldforge.wording import describe

BAR_WIDTH = 24


class DemoView(Protocol):
    """Shows the demo. Use it as a context."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def show(self, status: JobStatus, vm: Mapping[str, Any]) -> None:
        """Show how the job and its VM are; a VM is as the pool lists it."""

    def pass_by(self, phase: str, seconds: float) -> None:
        """Show that a phase is over."""


def choose_view(console: Console, label: str) -> DemoView:
    """Return the view that fits the terminal, or its absence.

    Args:
        console: Where to show.
        label: Name of the photo.
    """
    return LiveBoard(console, label) if console.is_terminal else PlainLines(console, label)


class PlainLines:
    """A line for each change, for logs."""

    def __init__(self, console: Console, label: str) -> None:
        self._console = console
        self._label = label
        self._job = PlainView(console)
        self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def show(self, status: JobStatus, vm: Mapping[str, Any]) -> None:
        """See `DemoView.show`."""
        self._job.show(self._label, status)
        if status.is_over and vm["phase"] != self._phase:
            self._phase = vm["phase"]
            self._console.print(describe_vm(vm, now=time.time()))

    def pass_by(self, phase: str, seconds: float) -> None:
        """See `DemoView.pass_by`."""


class LiveBoard:
    """What is over, line by line, and below it job, VM and bill as they are now."""

    def __init__(self, console: Console, label: str) -> None:
        self._label = label
        self._live = Live(console=console, transient=True, refresh_per_second=10)
        self._spinner = Spinner("dots")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, status: JobStatus, vm: Mapping[str, Any]) -> None:
        """See `DemoView.show`."""
        self._live.update(self._draw(status, vm))

    def pass_by(self, phase: str, seconds: float) -> None:
        """See `DemoView.pass_by`."""
        self._live.console.print(f"{seconds:7.1f} s  {phase}", markup=False)

    def _draw(self, status: JobStatus, vm: Mapping[str, Any]) -> RenderableType:
        now = time.time()
        grid = Table.grid(padding=(0, 1))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row("photo", Text(f"{self._label}: {describe(status)}"))
        percent = 100.0 if status.state == "succeeded" else status.percent
        grid.add_row("", ProgressBar(total=100, completed=percent or 0, width=2 * BAR_WIDTH))
        grid.add_row("VM", Text(describe_vm(vm, now=now)))
        grid.add_row(
            "bill", Text(f"{vm['billed_seconds']:.1f} s so far, USD {vm['cost_usd']:.4f}")
        )
        headline = Table.grid(padding=(0, 1))
        headline.add_row(self._spinner, Group(grid))
        return Padding(headline, (1, 0, 0, 0))


def describe_vm(vm: Mapping[str, Any], *, now: float) -> str:
    """Return one line about a VM: what it does, why, and until when.

    Args:
        vm: As the pool lists it.
        now: Epoch seconds.
    """
    name, why = vm["name"], f" ({vm['why']})" if vm["why"] else ""
    if vm["phase"] == "ready" and not vm["slots"] and vm["stops_at"] is not None:
        return f"VM {name} is idle and stops in {max(0.0, vm['stops_at'] - now):.0f} s{why}"
    return f"VM {name} is {vm['phase']}{why}"


def draw_closing(
    phases: Mapping[str, float], facts: Sequence[tuple[str, str]], *, block: str
) -> RenderableType:
    """Return the tables that close the demo; they fit into 80 columns.

    Args:
        phases: Seconds of each phase, in their order.
        facts: What else is to be said, as name and text.
        block: What the bars are made of, one character.
    """
    longest_s = max(phases.values(), default=1.0)
    times = Table(
        title="What happened",
        title_justify="left",
        title_style="bold",
        box=None,
        show_header=False,
    )
    times.add_column(no_wrap=True, width=24)
    times.add_column(no_wrap=True, justify="right", width=8)
    times.add_column(no_wrap=True)
    for phase, seconds in phases.items():
        length = max(1, round(BAR_WIDTH * seconds / longest_s))
        times.add_row(phase, f"{seconds:.1f} s", Text(block * length, style="cyan"))
    rest = Table(box=None, show_header=False)
    rest.add_column(style="bold", no_wrap=True, width=16)
    rest.add_column(overflow="fold")
    for name, text in facts:
        rest.add_row(name, Text(text))
    return Group(Text(), times, Text(), rest)
