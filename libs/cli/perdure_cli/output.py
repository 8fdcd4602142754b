"""How the command line looks: text for people, one JSON document for programs.

`console` is for answers (stdout), `errors` for what went wrong (stderr).
"""

import asyncio
import json
import sys
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

T = TypeVar("T")

PIPE_WIDTH = 240
"""Columns of what is printed to a pipe or a file: wide enough that ids stay whole."""

UNSEEN = dict.fromkeys(
    (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
    "\ufffd",
)
"""What would steer a terminal, or turn a line around, if it came from a text of somebody's."""

ESCAPED = {code: f"\\u{code:04x}" for code in UNSEEN}
"""The same as JSON may say it: whoever reads the document gets what there was."""


class Shown(Console):
    """A console on which texts of other systems are shown as they are, and steer nothing."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return the segments of what is printed; only the console's own may steer."""
        for segment in super().render(renderable, options):
            if not segment.control:
                segment = segment._replace(text=segment.text.translate(UNSEEN))
            yield segment


console = Shown(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
errors = Shown(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

COLOURS: Mapping[str, str] = {
    "SUCCESS": "green",
    "ACTIVE": "green",
    "succeeded": "green",
    "recovered": "green",
    "redriven": "green",
    "ERROR": "red",
    "TIMEOUT": "red",
    "FAILED": "red",
    "failed": "red",
    "CANCELED": "magenta",
    "RUNNING": "cyan",
    "RETRYING": "yellow",
    "planned": "yellow",
    "refused": "yellow",
    "waiting": "yellow",
    "SKIPPED": "dim",
    "UNREACHED": "dim",
    "IDLE": "dim",
}
"""The colour of a status, wherever it stands."""


def show(value: object) -> None:
    """Print a value as JSON, one document."""
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False).translate(ESCAPED))


def show_line(value: object) -> None:
    """Print a value as JSON in one line, at once: a program reads a stream of them."""
    line = json.dumps(value, default=str, ensure_ascii=False)
    print(line.translate(ESCAPED), flush=True)


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end and return its result."""
    return asyncio.run(work)


def say(text: str) -> None:
    """Print a line in which nothing is markup."""
    console.print(escape(text))


def status_text(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, COLOURS.get(status, ""))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print rows under headings, statuses in colour; `empty` where there are no rows."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, heading in enumerate(headings, 1):
        table.add_column(heading, overflow="fold", no_wrap=place < len(headings))
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    if table.row_count:
        console.print(table)
    else:
        say(empty)


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    text = "" if value is None else str(value)
    return status_text(text)


def short(text: object, length: int = 60) -> str:
    """Return a text in one line of at most `length` characters."""
    line = " ".join(str(text if text is not None else "").split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def duration(milliseconds: float) -> str:
    """Return a duration as people say it: 840 ms, 3.2 s, 4 min 5 s, 2 h 3 min, 5 d 1 h."""
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def instant(value: object) -> datetime | None:
    """Return the instant in a row's column: milliseconds since 1970, or ISO text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000, UTC)
    if isinstance(value, str) and value:
        found = datetime.fromisoformat(value)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def ago(value: object, now: datetime | None = None) -> str:
    """Return how long ago an instant in a row was, empty where there is none."""
    found = instant(value)
    if found is None:
        return ""
    since = (now or datetime.now(UTC)) - found
    return f"{duration(max(0.0, since.total_seconds() * 1000))} ago"


def clock(value: object) -> str:
    """Return an instant in a row as date and time of this machine."""
    found = instant(value)
    return "" if found is None else found.astimezone().strftime("%Y-%m-%d %H:%M:%S")
