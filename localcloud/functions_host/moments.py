"""How the Durable protocol writes moments."""

from datetime import UTC, datetime


def to_history_text(moment: datetime) -> str:
    """Write a moment as history events carry it: seven fractional digits and ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def to_status_text(moment: datetime) -> str:
    """Write a moment as the management API shows it: whole seconds and ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_text(text: str) -> datetime:
    """Read an ISO-8601 moment of up to nine fractional digits.

    Raises:
        ValueError: The text is no such moment.
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def from_query_text(text: str) -> datetime:
    """Read a moment of a query, the SDK's year 1 (printed ``1-01-01T…``) included.

    Raises:
        ValueError: The text is no moment.
    """
    year, dash, rest = text.partition("-")
    return from_text(f"{year:0>4}{dash}{rest}")
