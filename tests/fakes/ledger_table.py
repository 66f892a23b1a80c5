"""A fake of `orchestrator.domain.ports.LedgerTable` in memory."""

from typing import Any


class FakeLedgerTable:
    """Intervals by VM and begin.

    Attributes:
        intervals: What was recorded first under each key.
    """

    def __init__(self) -> None:
        self.intervals: dict[tuple[str, float], dict[str, Any]] = {}

    def record(self, interval: dict[str, Any]) -> None:
        row = {name: value for name, value in interval.items() if name != "kind"}
        self.intervals.setdefault((interval["vm"], interval["began_at"]), row)

    def list_intervals(self, vm: str) -> list[dict[str, Any]]:
        found = [row for (name, _), row in self.intervals.items() if name == vm]
        return sorted(found, key=lambda row: row["began_at"])
