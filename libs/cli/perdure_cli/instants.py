"""Instants that are typed on the command line."""

from datetime import UTC, datetime

from perdure_cli.errors import CommandError


def typed_instant(text: str, option: str) -> datetime:
    """Return an instant that was typed behind an option; without an offset it is meant in UTC.

    Raises:
        CommandError: `invalid_instant`.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{option} {text!r} is no instant; write it as 2026-01-31 or 2026-01-31T12:00:00Z",
            exit_code=2,
            code="invalid_instant",
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
