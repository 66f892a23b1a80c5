"""Figures, goals and lines of a siege. Pure."""

import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.figures import Spread, percentile_of, spread_of
from benchmarks.goals import Goal
from benchmarks.hostile.measure import Costs, Siege

MAX_RATIO = 1.2
MAX_HEALTH_MS = 500.0
MAX_COMMAND_S = 1.0
MIN_LEASE_S = 0.1
MAX_PEAK_MB = 1200.0
MAX_RESTED_MB = 500.0


def report_hostile(siege: Siege, costs: Costs) -> dict[str, Any]:
    """Report the siege and the price of an honest photo, and every sample.

    A figure of which there is no sample is None.
    """
    statuses = {name: dict(getattr(siege, name)) for name in ("hostile", "honest")}
    return {
        **asdict(siege),
        **statuses,
        "health_p99_ms": _of(siege.health_s, lambda seconds: 1e3 * percentile_of(seconds, 99)),
        "command_worst_s": _of(siege.command_s, max),
        "lease_least_s": _of(siege.lease_left_s, min),
        "honest_median_s": _of(siege.honest_s, statistics.median),
        "server_errors": sum(
            count
            for answers in (siege.hostile, siege.honest)
            for status, count in answers.items()
            if status >= 500 and status != 503
        ),
        "ours": asdict(spread_of([1e3 * s for s in costs.ours_s])),
        "threads": asdict(spread_of([1e3 * s for s in costs.threads_s])),
        "ratio_of_medians": statistics.median(costs.ours_s) / statistics.median(costs.threads_s),
    }


def list_hostile_goals(report: Mapping[str, Any]) -> list[Goal]:
    """List the bounds of the siege; none for a figure of which there is no sample."""
    return [
        Goal(name, report[figure], bound, is_floor=figure == "lease_least_s")
        for name, figure, bound in (
            ("health beside hostile clients, p99 ms", "health_p99_ms", MAX_HEALTH_MS),
            ("pool command beside them, worst s", "command_worst_s", MAX_COMMAND_S),
            ("lease left beside them, least s", "lease_least_s", MIN_LEASE_S),
            ("app and children, peak MB", "peak_mb", MAX_PEAK_MB),
            ("app and children, a minute later MB", "rested_mb", MAX_RESTED_MB),
            ("answers of 5xx but 503", "server_errors", 0),
            ("honest photo: process / thread", "ratio_of_medians", MAX_RATIO),
        )
        if report[figure] is not None
    ]


def hostile_lines(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give the lines of a table."""
    return [
        ("Honest photo read in a process of ours, ms", Spread(**report["ours"]).text(0)),
        ("Honest photo read in a thread, ms", Spread(**report["threads"]).text(0)),
        ("Answers to hostile clients, by status", str(report["hostile"])),
        ("Answers to honest photos beside them", str(report["honest"])),
    ]


def _of(samples: list[float], figure: Any) -> float | None:
    return figure(samples) if samples else None
