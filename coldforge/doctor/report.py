"""Puts outcomes on a terminal as they come."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console

from coldforge.doctor.findings import Outcome, Verdict
from coldforge.exit_codes import ExitCode

_MARKS = {
    Verdict.OK: ("ok", "green"),
    Verdict.FAULT: ("FAULT", "bold red"),
    Verdict.SKIPPED: ("skipped", "dim"),
    Verdict.UNKNOWN: ("UNKNOWN", "yellow"),
}


def show(console: Console, outcome: Outcome) -> None:
    """Print one line for a check, and what to do below each fault."""
    mark, style = _MARKS[outcome.verdict]
    console.print(f"{mark:8}", style=style, end="", markup=False, highlight=False)
    note = f": {outcome.note}" if outcome.note and not outcome.findings else ""
    _say(console, f"{outcome.check}{note}")
    for finding in outcome.findings:
        _say(console, f"         {finding.message} [{finding.code}]")
        _say(console, f"         Fix: {finding.fix}")


def summarise(outcomes: Iterable[Outcome]) -> str:
    """Return the last line."""
    outcomes = list(outcomes)
    faults = sum(len(one.findings) for one in outcomes)
    counts = {verdict: sum(one.verdict is verdict for one in outcomes) for verdict in Verdict}
    parts = [f"{counts[Verdict.OK]} ok", f"{faults} {'fault' if faults == 1 else 'faults'}"]
    for verdict, words in ((Verdict.UNKNOWN, "unknown"), (Verdict.SKIPPED, "skipped")):
        if counts[verdict]:
            parts.append(f"{counts[verdict]} {words}")
    return ", ".join(parts)


def to_json(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return the report for programs: all checks, and all findings in one list."""
    outcomes = list(outcomes)
    checks = [outcome.to_json() for outcome in outcomes]
    return {
        "healthy": choose_exit_code(outcomes) is ExitCode.OK,
        "findings": [finding for check in checks for finding in check["findings"]],
        "checks": checks,
    }


def choose_exit_code(outcomes: Iterable[Outcome]) -> ExitCode:
    """Return the exit status: faults outrank unknown checks, and skipped ones do not count."""
    verdicts = {outcome.verdict for outcome in outcomes}
    if Verdict.FAULT in verdicts:
        return ExitCode.JOB_FAILED
    return ExitCode.UNREACHABLE if Verdict.UNKNOWN in verdicts else ExitCode.OK


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
