"""Figures, goals and a table of the pool's commands. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from benchmarks.figures import Spread, percentile_of, spread_of
from benchmarks.goals import Goal
from benchmarks.pool.measure import Commands, Writers

MAX_WHOLE_MS = 100.0
MAX_DECIDE_MS = 50.0
MAX_TICKET_BYTES = 100.0
RARE = 99.0


def report_pool(lengths: Sequence[Commands], writers: Sequence[Writers]) -> dict[str, Any]:
    """Report every length of the queue and every crowd of writers, raw samples included."""
    return {
        "by_length": [
            {
                **asdict(commands),
                "whole": _figures(commands.whole_ms),
                "decide": _figures(commands.decide_ms),
                "decide_cpu": _figures(commands.decide_cpu_ms),
            }
            for commands in lengths
        ],
        "writers": [
            {
                **asdict(crowd),
                "commands_per_s": len(crowd.whole_ms) / crowd.seconds,
                "whole": _figures(crowd.whole_ms),
            }
            for crowd in writers
        ],
    }


def list_pool_goals(report: Mapping[str, Any]) -> list[Goal]:
    """List the goals, which are about the longest queue."""
    longest = report["by_length"][-1]
    waiting = longest["waiting"]
    return [
        Goal(f"{name}, {waiting} waiting", value, bound, is_floor=False)
        for name, value, bound in (
            ("pool command p99 ms", longest["whole"]["p99_ms"], MAX_WHOLE_MS),
            ("pool decision p99 ms", longest["decide"]["p99_ms"], MAX_DECIDE_MS),
            ("bytes a ticket", longest["ticket_bytes"], MAX_TICKET_BYTES),
        )
    ]


def draw_pool(report: Mapping[str, Any]) -> list[Table]:
    """Draw how a command grows with the queue, and how writers get on side by side."""
    growth = Table(
        "Waiting", "State KiB", "Command ms", "p99", "Decision ms", "p99", "CPU ms", "p99"
    )
    for row in report["by_length"]:
        growth.add_row(
            str(row["waiting"]),
            f"{row['state_bytes'] / 1024:.0f}",
            *_cells(row, "whole", "decide"),
        )
    writers = Table("Writers", "Instances", "Commands/s", "Command ms", "p99", "Longest")
    for row in report["writers"]:
        writers.add_row(
            str(row["writers"]),
            str(row["instances"]),
            f"{row['commands_per_s']:.1f}",
            *_cells(row, "whole"),
            f"{max(row['whole_ms']):.0f}",
        )
    return [growth, writers]


def _figures(samples: Sequence[float]) -> dict[str, Any]:
    return {"spread": asdict(spread_of(samples)), "p99_ms": percentile_of(samples, RARE)}


def _cells(row: Mapping[str, Any], *parts: str) -> list[str]:
    return [
        text
        for part in parts
        for text in (Spread(**row[part]["spread"]).text(1), f"{row[part]['p99_ms']:.1f}")
    ]
