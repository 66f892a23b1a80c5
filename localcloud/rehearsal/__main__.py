"""Rehearse: ``python -m localcloud.rehearsal --seeds 20`` or ``--seed 7``."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from localcloud.certificate import prepare_certificate
from localcloud.lone_storage import run_lone_storage
from localcloud.rehearsal.azurite import on_azurite
from localcloud.rehearsal.customers import read_arrivals
from localcloud.rehearsal.faults import FaultName
from localcloud.rehearsal.report import is_good, make_report, rare_faults, tell_breaches
from localcloud.rehearsal.run import Outcome, Plan, rehearse


def main(arguments: Sequence[str] | None = None) -> int:
    """Rehearse, write the report, and tell how it went.

    Returns:
        0 if every rule held and, in a run of many seeds, every fault was there.
    """
    options = _read_options(arguments)
    arrivals = None
    if options.arrivals is not None:
        arrivals = tuple(
            read_arrivals(
                options.arrivals,
                options.jobs,
                column=options.column,
                every=options.every,
                stretch=options.stretch,
            )
        )
    seeds = [options.seed] if options.seed is not None else range(1, options.seeds + 1)
    plans = [
        Plan(seed=seed, jobs=options.jobs, faults=options.faults, arrivals=arrivals)
        for seed in seeds
    ]
    began_at = time.monotonic()
    played = (
        rehearse_on_azurite(plans)
        if options.storage == "azurite"
        else rehearse_all(plans, processes=options.processes)
    )
    outcomes = list(_tell_each(played))
    took_s = time.monotonic() - began_at
    report = make_report(outcomes, options.faults, jobs=options.jobs, took_s=took_s)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(report, indent=1) + "\n")
    for outcome in outcomes:
        if outcome.breaches:
            _say(tell_breaches(outcome, lines=options.lines))
    for name, count in rare_faults(outcomes, options.faults).items():
        _say(f"{name} fired in {count} of {len(outcomes)} seeds: this run says little about it")
    good = is_good(outcomes, options.faults)
    _say(
        f"{len(outcomes)} seeds, {sum(sum(o.states.values()) for o in outcomes)} jobs, "
        f"{report['virtual_hours']} virtual hours in {took_s:.0f} s: "
        f"{'every rule held' if good else 'NOT GOOD'}; report in {options.report}"
    )
    return 0 if good else 1


def rehearse_all(plans: Sequence[Plan], *, processes: int) -> Iterator[Outcome]:
    """Rehearse several plans, each in a process of its own if there may be more than one."""
    if processes <= 1 or len(plans) == 1:
        yield from map(rehearse, plans)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(rehearse, plans)


def rehearse_on_azurite(plans: Sequence[Plan]) -> Iterator[Outcome]:
    """Rehearse several plans, one after the other, on the storage emulator."""
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        certificate = prepare_certificate(Path(folder), now=datetime.now(UTC))
        with run_lone_storage(Path(folder), certificate) as storage:
            for plan in plans:
                yield rehearse(plan, on_azurite(storage))


def _tell_each(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        states = ", ".join(f"{count} {state}" for state, count in outcome.states.items())
        word = f"BROKE {outcome.breaches[0].rule}" if outcome.breaches else "good"
        _say(
            f"seed {outcome.seed:>4}: {word}; {states}; {sum(outcome.fired.values())} faults, "
            f"{outcome.figures['virtual_s'] / 3600:.1f} h in {outcome.figures['took_s']:.0f} s"
        )
        yield outcome


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m localcloud.rehearsal",
        description="The real control plane in virtual time, with everything going wrong.",
    )
    parser.add_argument("--seed", type=int, help="rehearse this seed only")
    parser.add_argument("--seeds", type=int, default=20, help="rehearse seeds 1 to N (20)")
    parser.add_argument("--jobs", type=int, default=100, help="jobs of each seed (100)")
    parser.add_argument(
        "--faults",
        type=read_faults,
        default=frozenset(FaultName),
        help=f"comma-separated, all or none: {', '.join(FaultName)}",
    )
    parser.add_argument("--arrivals", type=Path, help="CSV file with a column of moments")
    parser.add_argument("--column", help="name of that column")
    parser.add_argument("--every", type=int, default=1, help="take one row of so many (1)")
    parser.add_argument("--stretch", type=float, default=1.0, help="slow it down so much (1)")
    parser.add_argument(
        "--storage", choices=("memory", "azurite"), default="memory", help="where it stores"
    )
    parser.add_argument("--processes", type=int, default=2, help="seeds at the same time (2)")
    parser.add_argument("--lines", type=int, default=80, help="lines of a failure's timeline (80)")
    parser.add_argument("--report", type=Path, default=Path("out/rehearsal.json"))
    return parser.parse_args(arguments)


def read_faults(text: str) -> frozenset[FaultName]:
    """Read a list of faults; ``all`` or nothing is every one, ``none`` is none.

    Raises:
        argparse.ArgumentTypeError: Naming what is not known.
    """
    if text in ("", "all"):
        return frozenset(FaultName)
    if text == "none":
        return frozenset()
    names = {name.strip() for name in text.split(",")}
    unknown = names - set(FaultName)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(FaultName)}"
        )
    return frozenset(FaultName(name) for name in names)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
