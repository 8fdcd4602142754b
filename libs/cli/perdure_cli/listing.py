"""What all commands that list rows of a table have in common."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from perdure_cli import platform
from perdure_cli.client import Client, Row
from perdure_cli.output import print_table, show, wait_for

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="At most so many.")]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", help="Only these; may be repeated.")
]

ROWS_MOST = 500


def fetched(service: str, table: str, /, most: int = ROWS_MOST, **equal: Any) -> list[Row]:
    """Return rows of a table, the newest first; what is asked for as None is not asked for."""
    wanted = {name: value for name, value in equal.items() if value is not None}

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            return await client.rows(service, table, most=most, **wanted)

    return wait_for(work())


def print_rows(
    rows: Sequence[Row],
    columns: Sequence[tuple[str, Callable[[Row], object]]],
    *,
    empty: str,
    as_json: bool,
) -> None:
    """Print rows as JSON, or under headings; `empty` where there are none."""
    if as_json:
        show(rows)
        return
    cells = ([cell(row) for _, cell in columns] for row in rows)
    print_table([heading for heading, _ in columns], cells, empty)


def column(name: str) -> Callable[[Row], object]:
    """Return what takes a column from a row as it is."""
    return lambda row: row[name]
