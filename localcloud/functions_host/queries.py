"""Reads the query of a management request as the Durable extension does.

Names ignore case, and what can't be read counts as absent: no filter is refused for its form.
"""

import math
from collections.abc import Iterable
from datetime import datetime

from localcloud.functions_host.moments import from_query_text

_STATUSES = (
    "Running",
    "Completed",
    "ContinuedAsNew",
    "Failed",
    "Canceled",
    "Terminated",
    "Pending",
    "Suspended",
)
"""By their number, which a query may give instead of the name."""


class Query:
    """The query of one request."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def text(self, name: str) -> str:
        """Read a text, "" if it is absent; several become one, with commas."""
        return ",".join(self._values.get(name.lower(), ()))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read ``true`` or ``false``."""
        return {"true": True, "false": False}.get(self.text(name).strip().lower(), default)

    def count(self, name: str, *, default: int) -> int:
        """Read a whole number greater than zero."""
        try:
            number = int(self.text(name))
        except ValueError:
            return default
        return number if number > 0 else default

    def seconds(self, name: str) -> float | None:
        """Read a span of time."""
        try:
            number = float(self.text(name))
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def moment(self, name: str) -> datetime | None:
        """Read a moment, the SDK's year 1 (printed ``1-01-01T…``) included."""
        try:
            return from_query_text(self.text(name))
        except ValueError:
            return None

    def statuses(self, name: str) -> list[str]:
        """Read runtime statuses, by name or number; those that are none are left out."""
        parts = [part.strip() for part in self.text(name).split(",")]
        named = [
            _STATUSES[int(part)] if part.isdecimal() and int(part) < len(_STATUSES) else part
            for part in parts
        ]
        return [one for one in named if one in _STATUSES]
