"""Shows how jobs come along: one live line each in a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from coldforge.models import JobStatus
from coldforge.wording import describe, describe_seconds


class ProgressView(Protocol):
    """Shows the jobs of one command. Use it as a context."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def show(self, label: str, status: JobStatus) -> None:
        """Show where a job stands."""

    def show_outage(self, label: str, away_s: float) -> None:
        """Show that the server does not answer."""

    def say(self, text: str) -> None:
        """Put a line above what is live."""


def choose_view(console: Console, *, is_quiet: bool) -> ProgressView:
    """Return the view that fits the terminal, or its absence."""
    if is_quiet:
        return QuietView(console)
    return LiveView(console) if console.is_terminal else PlainView(console)


class PlainView:
    """A line for each change, for logs: every tenth percent, not every one."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._last: dict[str, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def show(self, label: str, status: JobStatus) -> None:
        """See `ProgressView.show`."""
        tenth = None if status.percent is None else int(status.percent // 10)
        phase = (status.vm or {}).get("phase")
        key = (status.state, status.stage, tenth, status.queue_position, status.waiting_for, phase)
        if self._last.get(label) == key:
            return
        self._last[label] = key
        left = status.estimated_seconds_left
        ending = "" if left is None or status.is_over else f", about {describe_seconds(left)} left"
        self.say(f"{self._clock() - self._began:7.1f} s  {label}: {describe(status)}{ending}")

    def show_outage(self, label: str, away_s: float) -> None:
        """See `ProgressView.show_outage`."""
        if self._last.get(label) != "away":
            self._last[label] = "away"
            self.say(f"{label}: the server does not answer, trying again")

    def say(self, text: str) -> None:
        """See `ProgressView.say`."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class QuietView(PlainView):
    """Says only what must be said."""

    def show(self, label: str, status: JobStatus) -> None:
        """See `ProgressView.show`."""

    def show_outage(self, label: str, away_s: float) -> None:
        """See `ProgressView.show_outage`."""


class LiveView:
    """A line for each job that stays where it is."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[left]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, label: str, status: JobStatus) -> None:
        """See `ProgressView.show`."""
        task = self._task(label)
        left = status.estimated_seconds_left
        percent = 100.0 if status.state == "succeeded" else status.percent
        self._progress.update(
            task,
            total=None if percent is None and not status.is_over else 100,
            completed=percent or 0,
            text=escape(describe(status)),
            left="" if left is None or status.is_over else f"~{describe_seconds(left)} left",
        )
        if status.is_over:
            self._progress.stop_task(task)

    def show_outage(self, label: str, away_s: float) -> None:
        """See `ProgressView.show_outage`."""
        text = f"[yellow]no answer from the server for {describe_seconds(away_s)}[/], trying again"
        self._progress.update(self._task(label), text=text, left="")

    def say(self, text: str) -> None:
        """See `ProgressView.say`."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _task(self, label: str) -> TaskID:
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(
                escape(label), total=None, text="sending", left=""
            )
        return self._tasks[label]
