"""The one value that is not JSON and may be computed with: a point in time with an offset."""

from datetime import UTC, datetime, timedelta, timezone

from .errors import ExpressionError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class Moment:
    """An aware datetime at millisecond precision. It leaves an expression as ISO 8601 text."""

    __slots__ = ("at",)

    def __init__(self, at: datetime) -> None:
        self.at = at.replace(microsecond=at.microsecond // 1000 * 1000)

    def millis(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return (self.at - EPOCH) // MILLISECOND

    def iso(self) -> str:
        """ISO 8601 with milliseconds; `Z` when the offset is zero."""
        text = self.at.isoformat(timespec="milliseconds")
        return text[:-6] + "Z" if text.endswith("+00:00") else text


def from_millis(millis: float, zone: timezone = UTC) -> Moment:
    """The moment so many milliseconds after 1970 began.

    Raises:
        ExpressionError: `expression_range` outside the years 1 to 9999.
    """
    try:
        return Moment((EPOCH + timedelta(milliseconds=int(millis))).astimezone(zone))
    except (OverflowError, ValueError):
        raise ExpressionError(
            "expression_range", "The date is outside the years 1 to 9999: check the number."
        ) from None
