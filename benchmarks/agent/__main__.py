"""``make bench-agent``: both servers in turn; writes ``out/bench-agent.json``."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from benchmarks.agent.measure import FULL, QUICK, compare_servers
from benchmarks.agent.report import (
    draw_servers,
    list_agent_goals,
    list_versions,
    report_servers,
)
from benchmarks.machine import describe_machine
from benchmarks.report import draw_goals, write_report
from localcloud.blueprint import ROOT

OUT = ROOT / "out" / "bench-agent.json"

_PEER_NEEDS = ("fastapi", "uvicorn")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report.

    Returns:
        0 if every goal is met or the run was a quick one.
    """
    options = _parse(arguments)
    console = Console(stderr=True)
    has_peer = all(find_spec(name) for name in _PEER_NEEDS)
    if not has_peer and not options.quick:
        console.print("The peer lacks its web server: run it by 'make bench-agent'.")
        return 2
    machine = describe_machine() | list_versions() | {"load_1min_after": 0.0}
    with tempfile.TemporaryDirectory(prefix="coldforge-bench-agent-") as folder:
        plan = QUICK if options.quick else FULL
        measured = compare_servers(Path(folder), plan, console.print, has_peer=has_peer)
    machine["load_1min_after"] = round(os.getloadavg()[0], 2)
    report = {
        "measured_at": round(time.time(), 3),
        "is_quick": options.quick,
        "machine": machine,
        **report_servers(measured),
    }
    write_report(report, options.out)
    for table in draw_servers(report):
        console.print(table)
    goals = [] if options.quick else list_agent_goals(report)
    if goals:
        console.print(draw_goals(goals))
    console.print(f"figures and raw samples: {options.out}")
    return 0 if all(goal.is_met for goal in goals) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="where the report is written")
    parser.add_argument(
        "--quick", action="store_true", help="see that all of it works; the figures mean nothing"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
