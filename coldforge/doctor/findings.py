"""What the doctor says, as values."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault.

    Attributes:
        code: Stable name of the kind of fault, such as ``quota.too_low``; for programs.
        subject: What has it: a VM, a setting, a role.
        message: One sentence: what is wrong.
        fix: What to do about it; a command where there is one.
    """

    code: str
    subject: str
    message: str
    fix: str


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAULT = "fault"
    SKIPPED = "skipped"
    """Not made, for a reason that is not a fault by itself."""
    UNKNOWN = "unknown"
    """It should have been made, and could not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One line of the report.

    Attributes:
        check: Stable name of the check.
        verdict: How it ended.
        note: What was seen, or why it was not made.
        findings: Its faults; empty unless `verdict` is `Verdict.FAULT`.
    """

    check: str
    verdict: Verdict
    note: str = ""
    findings: tuple[Finding, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "verdict": self.verdict.value}
