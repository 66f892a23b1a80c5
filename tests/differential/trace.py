"""What can be seen of one run of a program; both sides give the same kind."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.differential.interpreter import find_fault


@dataclass(frozen=True)
class Trace:
    """What a program came to.

    Attributes:
        status: Final status of its instance.
        output: Its trail, or whose fault the failure was.
        custom_status: Final custom status.
        activities: Name and input of every activity, sorted; each retry counts.
    """

    status: str
    output: Any
    custom_status: Any
    activities: list[str]


def describe_failure(text: str) -> dict[str, str]:
    """Note a failure; the words around its cause are each side's own."""
    return {"fault": find_fault(text)}


def list_activities(calls: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """Write activities down, without the ids that each side gives to unnamed children."""
    return sorted(
        json.dumps([name, {k: v for k, v in value.items() if k != "instance"}])
        for name, value in calls
    )
