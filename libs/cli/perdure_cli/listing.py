"""What all commands that list rows of a table have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from perdure_cli import platform
from perdure_cli.client import Client, Counted, Row
from perdure_cli.errors import CommandError
from perdure_cli.output import print_table, say, show, wait_for

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="At most so many.")]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", help="Only these; may be repeated.")
]

ROWS_MOST = 500


@dataclass(frozen=True)
class Listed:
    """Rows of a table, and of how many they are the first ones: None if they are all."""

    rows: list[Row]
    of: Counted | None = None


async def listed(
    client: Client, service: str, table: str, /, most: int = ROWS_MOST, **equal: Any
) -> Listed:
    """Return rows of a table, the API's first ones first. Raises as `Client.page`."""
    rows = await client.rows(service, table, most=most, **equal)
    if len(rows) < most:
        return Listed(rows)
    try:
        of = await client.count(service, table, **equal)
    except CommandError:  # too many rows to look through in time
        of = Counted(len(rows), exact=False)
        return Listed(rows, of)
    return Listed(rows, of if of.count > len(rows) else None)


def fetched(service: str, table: str, /, most: int = ROWS_MOST, **equal: Any) -> Listed:
    """Return rows of a table, the newest first; what is asked for as None is not asked for."""
    wanted = {name: value for name, value in equal.items() if value is not None}

    async def work() -> Listed:
        async with Client(platform.require()) as client:
            return await listed(client, service, table, most, **wanted)

    return wait_for(work())


def print_rows(
    found: Listed,
    columns: Sequence[tuple[str, Callable[[Row], object]]],
    *,
    empty: str,
    as_json: bool,
) -> None:
    """Print rows as JSON, or under headings; `empty` where there are none."""
    if as_json:
        show(found.rows)
        return
    cells = ([cell(row) for _, cell in columns] for row in found.rows)
    print_table([heading for heading, _ in columns], cells, empty)
    say_more(found)


def say_more(found: Listed) -> None:
    """Say how many rows there are where not all are shown."""
    if found.of is not None:
        say(f"these are {len(found.rows):,} of {found.of}")


def column(name: str) -> Callable[[Row], object]:
    """Return what takes a column from a row as it is."""
    return lambda row: row[name]
