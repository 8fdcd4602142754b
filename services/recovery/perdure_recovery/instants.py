"""Instants in messages are RFC 3339 texts; here they become datetimes, and back."""

from datetime import UTC, datetime


def parsed(text: str) -> datetime:
    """Return the instant that `text` names; without a zone it is UTC.

    Raises:
        ValueError: The text is no RFC 3339 instant.
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def written(moment: datetime) -> str:
    """Return an instant as text in UTC, in microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_between(earlier: str, later: datetime) -> float:
    """Return the seconds from an instant in a message to `later`, never less than 0."""
    return round(max(0.0, (later - parsed(earlier)).total_seconds()), 3)
