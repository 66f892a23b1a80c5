"""Figures, goals and lines of the wakes. Pure."""

import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.figures import Spread, spread_of
from benchmarks.goals import Goal
from benchmarks.wake.measure import Wakes

MAX_RATIO = 1.5
"""What the noise of a machine at work makes of equal times; a wake that waits for polls to end
would take ten times as long and more."""


def report_wakes(wakes: Wakes) -> dict[str, Any]:
    """Report both kinds of wakes, their ratio, and every sample."""
    return {
        **asdict(wakes),
        "quiet": asdict(spread_of(wakes.quiet_s)),
        "polled": asdict(spread_of(wakes.polled_s)),
        "ratio_of_medians": statistics.median(wakes.polled_s) / statistics.median(wakes.quiet_s),
    }


def list_wake_goals(report: Mapping[str, Any]) -> list[Goal]:
    """List the one goal: as quick with polls as without."""
    name = f"wake beside {report['polls']} polls / beside none"
    return [Goal(name, report["ratio_of_medians"], MAX_RATIO, is_floor=False)]


def wake_lines(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give the lines of a table."""
    return [
        ("Wake beside no long-poll, s", Spread(**report["quiet"]).text(2)),
        (f"Wake beside {report['polls']} long-polls, s", Spread(**report["polled"]).text(2)),
    ]
