"""What a test's run says about the fault that was planted. Pure."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.mutants.table import Mutant

PASSED, TESTS_FAILED = 0, 1
"""What pytest ends with if tests were run or skipped; 2 and above is no verdict."""

_SHOWN = 2000


class Outcome(StrEnum):
    """What became of a fault."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    NO_VERDICT = "NO VERDICT"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Ran:
    """A run of pytest.

    Attributes:
        status: Its exit status.
        output: What it wrote.
        skips: The reason of each skipped test, in order.
    """

    status: int
    output: str = ""
    skips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a fault, and why."""

    outcome: Outcome
    reason: str

    def text(self) -> str:
        """Write it as a line."""
        return f"{self.outcome:11} {self.reason}"


def judge_run(mutant: Mutant, ran: Ran) -> Verdict:
    """Say whether the fault was caught.

    A test that was skipped, or one of its parameters, might have failed: no fault survives it.
    """
    if ran.status == TESTS_FAILED:
        return Verdict(Outcome.CAUGHT, mutant.rule)
    if ran.status != PASSED:
        return Verdict(Outcome.NO_VERDICT, f"{mutant.rule}:\n{ran.output[-_SHOWN:]}")
    if ran.skips:
        reasons = "; ".join(dict.fromkeys(ran.skips))
        return Verdict(Outcome.NOT_JUDGED, f"{mutant.rule}: {reasons}")
    return Verdict(Outcome.SURVIVED, f"{mutant.rule}: {mutant.test} passes without it")


def read_skips(junit_xml: str) -> tuple[str, ...]:
    """Read the reasons for skips from pytest's JUnit report."""
    found = ET.fromstring(junit_xml).iter("skipped")
    return tuple(one.get("message", "") for one in found if one.get("type") == "pytest.skip")


def sum_up(verdicts: Sequence[Verdict], took_s: float) -> tuple[str, int]:
    """Give the last line, and the exit status.

    Returns:
        The status is 1 if a fault was not caught, or if not one was judged; 0 otherwise.
    """
    counts = Counter(verdict.outcome for verdict in verdicts)
    missed = counts[Outcome.SURVIVED] + counts[Outcome.NO_VERDICT]
    line = (
        f"{len(verdicts)} mutants in {took_s:.0f} s: {counts[Outcome.CAUGHT]} caught, "
        f"{missed} not caught, {counts[Outcome.NOT_JUDGED]} not judged"
    )
    return line, int(missed > 0 or counts[Outcome.CAUGHT] == 0)
