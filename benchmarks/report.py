"""From raw samples to the report: figures, goals, a table, a JSON file. Pure but for the last."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.engine.compare import Samples
from benchmarks.engine.process import FULL, NORMAL, PEER
from benchmarks.engine.workloads import CHAIN, FAN_OUT
from benchmarks.figures import Spread, spread_of
from benchmarks.goals import NOT_MEASURED, Goal
from benchmarks.hostile.report import hostile_lines, list_hostile_goals
from benchmarks.memory import Peaks
from benchmarks.pool.report import draw_pool, list_pool_goals
from benchmarks.wake.report import list_wake_goals, wake_lines
from benchmarks.warm_job.measure import WarmJob

MIN_RATIO = 0.8
MAX_WARM_MS = 150.0
MAX_EVENTS = 35

_LABELS = {
    NORMAL: "ours, NORMAL",
    FULL: "ours, FULL",
    PEER: "in-memory backend",
}


def report_engines(samples: Samples) -> dict[str, Any]:
    """Report the engines: rates, quartiles, ratios of medians and every round."""
    report: dict[str, Any] = {}
    for workload in (CHAIN, FAN_OUT):
        sides = {
            side: {
                "instances_per_s": asdict(rate_of(samples, workload, side)),
                "cpu_ms_per_instance": asdict(_cpu_ms_of(samples, workload, side)),
                "latency_ms": asdict(_latency_ms_of(samples, workload, side)),
                "rounds": [asdict(taken) for taken in samples[workload, side]],
            }
            for side in (NORMAL, FULL, PEER)
        }
        theirs = rate_of(samples, workload, PEER).median
        report[workload] = {
            "sides": sides,
            "ratio_of_medians": {
                side: rate_of(samples, workload, side).median / theirs for side in (NORMAL, FULL)
            },
        }
    return report


def report_warm_jobs(jobs: Sequence[WarmJob]) -> dict[str, Any]:
    """Report what the control plane adds, and every job."""
    return {
        "warm_accepted_p50_ms": spread_of([job.accepted_ms for job in jobs]).median,
        "warm_start_p50_ms": spread_of([job.start_ms for job in jobs]).median,
        "warm_finish_p50_ms": spread_of([job.finish_ms for job in jobs]).median,
        "accepted_ms": asdict(spread_of([job.accepted_ms for job in jobs])),
        "start_ms": asdict(spread_of([job.start_ms for job in jobs])),
        "finish_ms": asdict(spread_of([job.finish_ms for job in jobs])),
        "history_events_per_job": max(job.history_events for job in jobs),
        "jobs": [asdict(job) for job in jobs],
    }


def list_goals(report: Mapping[str, Any]) -> list[Goal]:
    """List the goals of those parts that were measured."""
    goals = [
        Goal(
            f"{workload}: ours / theirs",
            report["engine"][workload]["ratio_of_medians"][NORMAL],
            MIN_RATIO,
            is_floor=True,
        )
        for workload in (CHAIN, FAN_OUT)
        if "engine" in report
    ]
    warm = report.get("warm_job")
    if warm:
        goals += [
            Goal(name, warm[name], bound, is_floor=False)
            for name, bound in (
                ("warm_start_p50_ms", MAX_WARM_MS),
                ("warm_finish_p50_ms", MAX_WARM_MS),
                ("history_events_per_job", MAX_EVENTS),
            )
        ]
    if "pool" in report:
        goals += list_pool_goals(report["pool"])
    if "wake" in report:
        goals += list_wake_goals(report["wake"])
    if "hostile" in report:
        goals += list_hostile_goals(report["hostile"])
    return goals


def draw_tables(report: Mapping[str, Any]) -> list[Table]:
    """Draw what a person wants to see."""
    tables = []
    if "engine" in report:
        tables += [_draw_engine(name, report["engine"][name]) for name in (CHAIN, FAN_OUT)]
    if "pool" in report:
        tables += draw_pool(report["pool"])
    others = [
        *_warm_lines(report.get("warm_job")),
        *_memory_lines(report.get("memory")),
        *(wake_lines(report["wake"]) if "wake" in report else []),
        *(hostile_lines(report["hostile"]) if "hostile" in report else []),
    ]
    if others:
        table = Table("Control plane and agent", "Median (quartiles)")
        for line in others:
            table.add_row(*line)
        tables.append(table)
    return tables


def draw_goals(goals: Sequence[Goal]) -> Table:
    """Draw the goals."""
    table = Table("Goal", "Measured", "Bound", "")
    for goal in goals:
        word = "at least" if goal.is_floor else "at most"
        verdict = "met" if goal.is_met else "[bold red]missed[/]"
        value = NOT_MEASURED if goal.value is None else f"{goal.value:.2f}"
        table.add_row(goal.name, value, f"{word} {goal.bound:g}", verdict)
    return table


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write it as JSON, raw samples included.

    Raises:
        ValueError: A number in it is infinite or none, which JSON can't say: write None.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", "utf-8")


def report_memory(peaks: Peaks) -> dict[str, float]:
    """Report the peaks."""
    return asdict(peaks)


def rate_of(samples: Samples, workload: str, side: str) -> Spread:
    """Give the instances per second of a side's rounds."""
    return spread_of([len(taken.latencies_s) / taken.seconds for taken in samples[workload, side]])


def _cpu_ms_of(samples: Samples, workload: str, side: str) -> Spread:
    return spread_of(
        [1e3 * taken.cpu_s / len(taken.latencies_s) for taken in samples[workload, side]]
    )


def _latency_ms_of(samples: Samples, workload: str, side: str) -> Spread:
    return spread_of([1e3 * s for taken in samples[workload, side] for s in taken.latencies_s])


def _draw_engine(workload: str, part: Mapping[str, Any]) -> Table:
    table = Table(workload, "Instances/s", "CPU ms each", "Latency ms", "To theirs")
    for side, figures in part["sides"].items():
        ratio = part["ratio_of_medians"].get(side)
        table.add_row(
            _LABELS[side],
            Spread(**figures["instances_per_s"]).text(1),
            Spread(**figures["cpu_ms_per_instance"]).text(1),
            Spread(**figures["latency_ms"]).text(0),
            "" if ratio is None else f"{ratio:.2f}",
        )
    return table


def _warm_lines(warm: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if warm is None:
        return []
    return [
        ("POST to its answer, ms", Spread(**warm["accepted_ms"]).text(0)),
        ("POST to the agent's first stage, ms", Spread(**warm["start_ms"]).text(0)),
        ("Agent's last stage to succeeded, ms", Spread(**warm["finish_ms"]).text(0)),
        ("History events of a job, most", str(warm["history_events_per_job"])),
    ]


def _memory_lines(memory: Mapping[str, float] | None) -> list[tuple[str, str]]:
    if memory is None:
        return []
    return [
        ("Peak memory of the Functions host, MiB", f"{memory['host_mib']:.0f}"),
        ("Peak memory of the agent, preview engine, MiB", f"{memory['agent_mib']:.0f}"),
    ]
