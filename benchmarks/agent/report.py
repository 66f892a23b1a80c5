"""From the samples of both servers to figures, goals and tables. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from rich.table import Table

from benchmarks.agent.crowd import Round
from benchmarks.agent.measure import BARE_PEER, BURST, SIXTEEN, Measured
from benchmarks.agent.meshes import Verdict
from benchmarks.agent.tasks import OURS, PEER
from benchmarks.figures import Spread, percentile_of, spread_of
from benchmarks.goals import NOT_MEASURED, Goal

MIN_RATIO = 1.5
MAX_LIVE_MS = 50.0
MAX_GROWTH = 1.05
RARE = 99.0

PACKAGES = ("hy3dgen", "rembg", "torch", "transformers", "diffusers", "onnxruntime")

_LABELS = {OURS: "the agent", PEER: "api_server", BARE_PEER: "api_server, no clean-up"}


def report_servers(measured: Measured) -> dict[str, Any]:
    """Report figures and raw samples; a figure that has no sample is None."""
    loads: dict[str, dict[str, Any]] = {}
    for (load, side), rounds in measured.rounds.items():
        loads.setdefault(load, {})[side] = _report_rounds(rounds)
    for sides in loads.values():
        for other in (PEER, BARE_PEER):
            if other in sides:
                sides[f"ratio_to_{other}"] = _ratio(sides, other)
    report: dict[str, Any] = {
        "correct_of_100_ours": _correct_percent(measured, OURS),
        "live_p99_ms": _rare(_live_ms(measured, OURS)),
        "live_late_p99_ms": _rare(_late_ms(measured, OURS)),
        "memory_mib": measured.memory_mib,
        "memory_growth": _growth(measured),
        "files_left_ours": _files_left(measured, OURS),
        "reference_least_distance": measured.least_distance,
        "reference_sides_apart": measured.sides_apart,
        "peer_threads": {
            "chosen": measured.threads_chosen,
            "rounds": {n: [asdict(one) for one in of] for n, of in measured.threads.items()},
        },
        "remains": {side: asdict(remains) for side, remains in measured.remains.items()},
        "loads": loads,
    }
    if PEER in measured.remains:
        report |= {
            "throughput_ratio_16_clients": loads[SIXTEEN][f"ratio_to_{PEER}"],
            "correct_of_100_peer": _correct_percent(measured, PEER),
            "peer_live_p99_ms": _rare(_live_ms(measured, PEER)),
            "files_left_peer": _files_left(measured, PEER),
        }
    return report


def list_agent_goals(report: Mapping[str, Any]) -> list[Goal]:
    """List the goals."""
    return [
        Goal(name, report[name], bound, is_floor=is_floor)
        for name, bound, is_floor in (
            ("correct_of_100_ours", 100, True),
            ("throughput_ratio_16_clients", MIN_RATIO, True),
            ("live_p99_ms", MAX_LIVE_MS, False),
            ("memory_growth", MAX_GROWTH, False),
            ("files_left_ours", 0, False),
        )
        if name in report
    ]


def draw_servers(report: Mapping[str, Any]) -> list[Table]:
    """Draw the loads, and what is left of them."""
    loads = Table("Load", "Server", "Right models/s", "Latency ms", "CPU s each", "Right", "Ratio")
    for load, sides in report["loads"].items():
        for side, label in _LABELS.items():
            if side in sides:
                loads.add_row(load, label, *_cells(sides[side]), _text(sides, side))
    rest = Table("", _LABELS[OURS], _LABELS[PEER])
    for label, ours, theirs, digits in (
        ("right models of 100 at once", "correct_of_100_ours", "correct_of_100_peer", 0),
        ("cheapest answer meanwhile, p99 ms", "live_p99_ms", "peer_live_p99_ms", 1),
        ("how late it was asked for, p99 ms", "live_late_p99_ms", "", 1),
        ("memory after the most jobs to before", "memory_growth", "", 3),
        ("files left behind", "files_left_ours", "files_left_peer", 0),
    ):
        rest.add_row(
            label,
            *(_figure(report, key, digits) for key in (ours, theirs)),
        )
    return [loads, rest]


def list_versions() -> dict[str, str]:
    """Give the versions of what both sides run on."""
    return {name: version(name) for name in PACKAGES}


def _report_rounds(rounds: Sequence[Round]) -> dict[str, Any]:
    latencies_ms = [1e3 * s for one in rounds for s in one.latencies_s]
    return {
        "right_per_s": asdict(spread_of([one.right_per_s for one in rounds])),
        "latency_ms": asdict(spread_of(latencies_ms)) if latencies_ms else None,
        "cpu_s_each": asdict(spread_of([one.cpu_s / _jobs(one) for one in rounds])),
        "right": sum(one.verdicts[Verdict.RIGHT] for one in rounds),
        "jobs": sum(_jobs(one) for one in rounds),
        "rounds": [asdict(one) for one in rounds],
    }


def _ratio(sides: Mapping[str, Any], other: str) -> float | None:
    """Give the ratio of the medians; there is none to a server without one right model."""
    theirs = float(sides[other]["right_per_s"]["median"])
    return float(sides[OURS]["right_per_s"]["median"]) / theirs if theirs else None


def _jobs(one: Round) -> int:
    return sum(one.verdicts.values())


def _correct_percent(measured: Measured, side: str) -> float:
    rounds = measured.rounds[BURST, side]
    right = sum(one.verdicts[Verdict.RIGHT] for one in rounds)
    return 100 * right / sum(_jobs(one) for one in rounds)


def _live_ms(measured: Measured, side: str) -> list[float]:
    return [1e3 * asked.answered_s for asked in _asked(measured, side)]


def _late_ms(measured: Measured, side: str) -> list[float]:
    return [1e3 * asked.late_s for asked in _asked(measured, side)]


def _asked(measured: Measured, side: str) -> list[Any]:
    return [
        asked
        for load in (SIXTEEN, BURST)
        for one in measured.rounds[load, side]
        for asked in one.live
    ]


def _rare(samples: Sequence[float]) -> float | None:
    return percentile_of(samples, RARE) if samples else None


def _growth(measured: Measured) -> float | None:
    """Give the last memory to the first; an agent that has ended has none."""
    first, last = (measured.memory_mib[jobs] for jobs in sorted(measured.memory_mib))
    return last / first if first else None


def _files_left(measured: Measured, side: str) -> int:
    remains = measured.remains[side]
    return remains.files_after - remains.files_before


def _cells(figures: Mapping[str, Any]) -> tuple[str, str, str, str]:
    latency = figures["latency_ms"]
    return (
        Spread(**figures["right_per_s"]).text(2),
        Spread(**latency).text(0) if latency else "",
        Spread(**figures["cpu_s_each"]).text(2),
        f"{figures['right']} of {figures['jobs']}",
    )


def _text(sides: Mapping[str, Any], side: str) -> str:
    return _figure(sides, f"ratio_to_{side}", 2)


def _figure(figures: Mapping[str, Any], key: str, digits: int) -> str:
    if key not in figures:
        return ""
    return NOT_MEASURED if figures[key] is None else f"{figures[key]:.{digits}f}"
