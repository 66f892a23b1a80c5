"""``make bench``: measure, show, and write figures and raw samples to ``out/bench.json``."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.engine.compare import QUICK, Plan, compare_engines
from benchmarks.hostile.measure import REST_S, lay_siege, weigh_posts
from benchmarks.hostile.report import report_hostile
from benchmarks.machine import describe_machine
from benchmarks.memory import measure_memory
from benchmarks.pool.measure import QUICK as QUICK_POOL
from benchmarks.pool.measure import Plan as PoolPlan
from benchmarks.pool.measure import measure_pool
from benchmarks.pool.report import report_pool
from benchmarks.report import (
    draw_goals,
    draw_tables,
    list_goals,
    report_engines,
    report_memory,
    report_warm_jobs,
    write_report,
)
from benchmarks.wake.measure import measure_wakes
from benchmarks.wake.report import report_wakes
from benchmarks.warm_job.measure import measure_warm_jobs
from localcloud.blueprint import ROOT

OUT = ROOT / "out" / "bench.json"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        engine: Rounds and instances of the engines.
        warm_jobs: Jobs that are measured one after another.
        warm_up_jobs: Jobs before them.
        memory_jobs: Jobs posted at once for the peaks of memory.
        pool: Commands to the pool.
        wakes: Wakes beside long-polls, and as many beside none.
        siege_s: Seconds of hostile clients.
        rest_s: Seconds after them until memory is looked at again.
        photos: Honest photos that are read our way, and as many the other way.
    """

    engine: Plan
    warm_jobs: int
    warm_up_jobs: int
    memory_jobs: int
    pool: PoolPlan
    wakes: int
    siege_s: float
    rest_s: float
    photos: int


FULL_SIZES = Sizes(
    engine=Plan(),
    warm_jobs=50,
    warm_up_jobs=5,
    memory_jobs=8,
    pool=PoolPlan(),
    wakes=6,
    siege_s=60.0,
    rest_s=REST_S,
    photos=40,
)
QUICK_SIZES = Sizes(
    engine=QUICK,
    warm_jobs=2,
    warm_up_jobs=0,
    memory_jobs=1,
    pool=QUICK_POOL,
    wakes=2,
    siege_s=1.0,
    rest_s=0.0,
    photos=2,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 when a goal is missed."""
    options = _parse(arguments)
    console = Console()
    sizes = QUICK_SIZES if options.quick else FULL_SIZES
    report: dict[str, Any] = {
        "measured_at": round(time.time(), 3),
        "is_quick": options.quick,
        "machine": describe_machine(),
    }
    with tempfile.TemporaryDirectory(prefix="coldforge-bench-") as folder:
        for name in options.parts:
            console.print(f"[bold]{name}[/]")
            report[name] = PARTS[name](Path(folder) / name, sizes, console.print)
    write_report(report, options.out)
    for table in draw_tables(report):
        console.print(table)
    goals = [] if options.quick else list_goals(report)
    if goals:
        console.print(draw_goals(goals))
    console.print(f"figures and raw samples: {options.out}")
    return 0 if all(goal.is_met for goal in goals) else 1


def _measure_engine(folder: Path, sizes: Sizes, say: Callable[[str], None]) -> dict[str, Any]:
    samples = compare_engines(folder, sizes.engine, say)
    return {
        "rounds": sizes.engine.rounds,
        "in_flight": sizes.engine.in_flight,
        **report_engines(samples),
    }


def _measure_warm_job(folder: Path, sizes: Sizes, _say: Callable[[str], None]) -> dict[str, Any]:
    jobs = measure_warm_jobs(folder, jobs=sizes.warm_jobs, warm_up=sizes.warm_up_jobs)
    return report_warm_jobs(jobs)


def _measure_memory(folder: Path, sizes: Sizes, _say: Callable[[str], None]) -> dict[str, Any]:
    return report_memory(measure_memory(folder, jobs=sizes.memory_jobs))


def _measure_pool(folder: Path, sizes: Sizes, say: Callable[[str], None]) -> dict[str, Any]:
    return report_pool(*measure_pool(folder, sizes.pool, say))


def _measure_wake(folder: Path, sizes: Sizes, _say: Callable[[str], None]) -> dict[str, Any]:
    return report_wakes(measure_wakes(folder, wakes=sizes.wakes))


def _measure_hostile(folder: Path, sizes: Sizes, _say: Callable[[str], None]) -> dict[str, Any]:
    siege = lay_siege(folder, seconds=sizes.siege_s, rest_s=sizes.rest_s)
    return report_hostile(siege, weigh_posts(rounds=sizes.photos))


PARTS: Mapping[str, Callable[[Path, Sizes, Callable[[str], None]], dict[str, Any]]] = {
    "engine": _measure_engine,
    "warm_job": _measure_warm_job,
    "memory": _measure_memory,
    "pool": _measure_pool,
    "wake": _measure_wake,
    "hostile": _measure_hostile,
}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)}; all"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="where the report is written")
    parser.add_argument(
        "--quick", action="store_true", help="see that all of it works; the figures mean nothing"
    )
    options = parser.parse_args(arguments)
    options.parts = options.parts or list(PARTS)
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"there is no part '{part}'; there are {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
