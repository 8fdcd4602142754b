"""An execution, live in the terminal: each node with its status, and what recovery says of it.

In a terminal the picture is drawn again as it changes; elsewhere each change is a line.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from perdure_cli.client import Client, Row
from perdure_cli.output import COLOURS, duration, instant, short
from perdure_cli.pictures import OPEN_RUNS, Picture, attempt_of, look

LOOK_S = 0.15
"""How often an execution that is followed is looked at."""

SETTLE_S = 5.0
"""How long recovery may take to note what came of its attempts, after the end."""

MARKS = {
    "SUCCESS": "✔",
    "ERROR": "✘",
    "TIMEOUT": "✘",
    "SKIPPED": "-",
    "CANCELED": "■",
    "RETRYING": "↻",
    "RUNNING": "▶",
}


class Stage(Protocol):
    """Where pictures are shown."""

    def update(self, pictures: Sequence[Picture]) -> None:
        """Show the pictures as they are now."""
        ...


async def follow(
    client: Client,
    ids: Sequence[str],
    stage: Stage,
    *,
    limit_s: float | None = None,
    settle_s: float = SETTLE_S,
    seen: Callable[[Sequence[Picture]], None] = lambda pictures: None,
) -> dict[str, Picture]:
    """Show executions until all have ended and recovery has settled; return the last pictures.

    With `limit_s` it returns then, whatever has ended; `settle_s` after the end it waits for
    recovery no more. `seen` is called with each look.
    """
    began = time.monotonic()
    ended_at: float | None = None
    definitions: dict[tuple[str, int], Any] = {}
    while True:
        found = await look(client, ids, definitions)
        pictures = [found[id] for id in ids if id in found]
        stage.update(pictures)
        seen(pictures)
        now = time.monotonic()
        if len(pictures) == len(ids) and all(picture.ended for picture in pictures):
            ended_at = ended_at or now
            if all(p.settled for p in pictures) or now - ended_at > settle_s:
                return found
        if limit_s is not None and now - began > limit_s:
            return found
        await asyncio.sleep(LOOK_S)


# Drawn again and again ---------------------------------------------------------------------


class LiveStage(AbstractContextManager["LiveStage"]):
    """Draws pictures in place; a context manager."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._seen = False

    def __enter__(self) -> "LiveStage":
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the last picture where it is."""
        self._live.stop()

    def update(self, pictures: Sequence[Picture]) -> None:
        """Draw the pictures as they are now."""
        self._live.update(self.draw(pictures), refresh=True)

    def draw(self, pictures: Sequence[Picture]) -> RenderableType:
        """Return what the pictures look like."""
        return Group(*(drawn(picture) for picture in pictures))


def drawn(picture: Picture) -> RenderableType:
    """Return an execution with its nodes and what recovery says, a line each."""
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column()
    for row in picture.nodes:
        table.add_row(*_node_cells(picture, row))
    return Group(heading(picture), table, *_recovery_lines(picture))


def heading(picture: Picture) -> Text:
    """Return the line above an execution: workflow, status, duration, id."""
    text = Text()
    text.append(picture.workflow_name, "bold")
    text.append("  ")
    text.append(picture.status, COLOURS.get(picture.status, ""))
    text.append(f"  {took(picture.execution)}  ")
    text.append(picture.id, "dim")
    return text


def _node_cells(picture: Picture, row: Row) -> tuple[Text, Text, Text, Text]:
    status = str(row["status"])
    colour = COLOURS.get(status, "")
    attempts = attempt_of(row)
    tried = f"{attempts} attempts" if attempts > 1 else ""
    name = picture.name_of(row["node_id"]) + scope_text(row)
    return (
        Text(f"  {MARKS.get(status, '·')}", colour),
        Text(name, "dim" if status == "SKIPPED" else ""),
        Text(status, colour),
        Text(f"{took(row)}  {tried}".strip(), "dim"),
    )


def _recovery_lines(picture: Picture) -> Iterable[Text]:
    """Return the newest decision about each node, and what is to be done, if anything."""
    newest: dict[str, Row] = {row["node_id"]: row for row in picture.attempts}
    for row in newest.values():
        text = Text("    ")
        text.append("recovery ", "yellow")
        text.append(said(picture, row))
        yield text


def said(picture: Picture, attempt: Row) -> str:
    """Return what recovery says of a decision, in a few sentences."""
    explanation = picture.explanations.get(str(attempt["id"]))
    if explanation is None:
        return sentence(str(attempt["recovery_reason"]))
    parts = [explanation["failure_summary"], explanation["retry_decision"]]
    if explanation["user_action_required"] != "none":
        parts.append(explanation["user_action_required"])
    return " ".join(sentence(str(part)) for part in parts)


def sentence(text: str) -> str:
    """Return a text that ends as a sentence does."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


# Line by line ------------------------------------------------------------------------------


class PlainStage(AbstractContextManager["PlainStage"]):
    """Prints a line for each change; for pipes, logs and files. A context manager too."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._said: set[tuple[object, ...]] = set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave what was printed."""

    def update(self, pictures: Sequence[Picture]) -> None:
        """Print what has changed since the last time."""
        for picture in pictures:
            for key, text in self.changes(picture):
                if key not in self._said:
                    self._said.add(key)
                    self._write(f"{datetime.now(UTC).astimezone():%H:%M:%S.%f}"[:12] + f"  {text}")

    def changes(self, picture: Picture) -> Iterable[tuple[tuple[object, ...], str]]:
        """Return everything that can be told of a picture, each with a key of its own."""
        return changes(picture)


def changes(picture: Picture) -> Iterable[tuple[tuple[object, ...], str]]:
    """Return everything that can be told of a picture, each with a key that tells it apart."""
    first = picture.id[:8]
    execution = picture.execution
    name = picture.workflow_name
    yield (picture.id, "began"), f"{first}  {name} version {execution['workflow_version']} began"
    for row in picture.nodes:
        status, attempts = str(row["status"]), attempt_of(row)
        tried = f", attempt {attempts}" if attempts > 1 else ""
        where = picture.name_of(row["node_id"]) + scope_text(row)
        spent = "" if status in OPEN_RUNS or status == "SKIPPED" else f" after {took(row)}"
        key = (picture.id, row["node_id"], scope_text(row), row["run"], status, attempts)
        yield key, f"{first}    {where}: {status}{tried}{spent}"
    for attempt in picture.attempts:
        text = said(picture, attempt)
        yield (picture.id, attempt["id"], text), f"{first}    recovery: {text}"
    if picture.ended:
        error = execution["error_message"]
        why = f": {short(error, 300)}" if error else ""
        key = (picture.id, picture.status, execution["end_time"])
        yield key, f"{first}  {name} ended with {picture.status} after {took(execution)}{why}"


# Words ---------------------------------------------------------------------------------------


def took(row: Row) -> str:
    """Return how long an execution or a node run took, or has taken so far."""
    began, ended = instant(row["start_time"]), instant(row["end_time"])
    if began is None:
        return ""
    spent = (ended or datetime.now(UTC)) - began
    return duration(max(0.0, spent.total_seconds() * 1000))


def scope_text(row: Row) -> str:
    """Return where a run is in loops: ` [each.0/inner.2]`, empty outside of them."""
    return f" [{row['scope']}]" if row["scope"] else ""


def stage_for(console: Console) -> LiveStage | PlainStage:
    """Return the stage that fits an output: drawn in a terminal, line by line elsewhere."""
    if console.is_terminal:
        return LiveStage(console)
    return PlainStage(lambda text: console.print(text, markup=False))
