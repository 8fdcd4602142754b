"""How the demonstration looks: one line for each issue, and below it what recovery does."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from perdure_cli.client import Row
from perdure_cli.follow import MARKS, LiveStage, PlainStage, sentence, took
from perdure_cli.output import COLOURS, short
from perdure_cli.pictures import OPEN_RUNS, Picture, attempt_of, result_of

TITLE_MAX = 46
"""Characters of an issue's title."""


class DemoLive(LiveStage):
    """Draws the issues in place. `titles` are those of the executions, by id."""

    def __init__(self, console: Console, titles: Mapping[str, str]) -> None:
        super().__init__(console)
        self._titles = titles

    def draw(self, pictures: Sequence[Picture]) -> RenderableType:
        """Return one line for each issue, and recovery's newest word below it."""
        return Group(*(line for each in pictures for line in _lines(each, self._titles)))


class DemoPlain(PlainStage):
    """Prints what is worth a line: starts, failures, decisions, ends."""

    def __init__(self, write: Callable[[str], None], titles: Mapping[str, str]) -> None:
        super().__init__(write)
        self._titles = titles

    def changes(self, picture: Picture) -> Iterable[tuple[tuple[object, ...], str]]:
        """Return what is worth telling of a picture, each with a key of its own."""
        return told(picture, self._titles.get(picture.id, picture.id))


def _lines(picture: Picture, titles: Mapping[str, str]) -> Iterable[RenderableType]:
    row = Table.grid(padding=(0, 1))
    for width in (2, TITLE_MAX, 34, 8):
        row.add_column(width=width, no_wrap=True, overflow="ellipsis")
    colour = COLOURS.get(picture.status, "")
    row.add_row(
        Text(MARKS.get(picture.status, "·"), colour),
        Text(short(titles.get(picture.id, picture.id), TITLE_MAX), "bold"),
        _where(picture),
        Text(took(picture.execution), "dim"),
    )
    yield row
    if picture.attempts:
        newest = picture.attempts[-1]
        text = Text("   ↳ ", "dim")
        text.append(decision(picture, newest), "dim" if picture.ended else "yellow")
        yield text


def _where(picture: Picture) -> Text:
    """Return where an execution is now: the open node, or what came out of it."""
    if picture.ended:
        return Text(outcome(picture), COLOURS.get(picture.status, ""))
    for row in picture.nodes:
        if row["status"] in OPEN_RUNS:
            name = picture.name_of(row["node_id"])
            tried = f", attempt {attempt_of(row)}" if attempt_of(row) > 1 else ""
            text = f"{name}: {row['status'].lower()}{tried}"
            return Text(text, COLOURS.get(row["status"], ""))
    return Text("running", "cyan")


def outcome(picture: Picture) -> str:
    """Return what came out of an execution of the triage workflow, in a few words."""
    if picture.status != "SUCCESS":
        return f"{picture.status}: {picture.execution['error_message']}"
    item = ticket_of(picture)
    if item is None:
        return "no bug, no ticket"
    return f"ticket {item['ticket']}, priority {item['priority']}"


def ticket_of(picture: Picture) -> Row | None:
    """Return the ticket that an execution made: {ticket, title, priority}, None if none."""
    for item in result_of(picture.execution) or ():
        if item.get("ticket"):
            return item
    return None


def decision(picture: Picture, attempt: Row) -> str:
    """Return a decision of recovery and what came of it, in one line."""
    number, reason = attempt["attempt_number"], str(attempt["recovery_reason"])
    words = {
        "planned": f"recovery, attempt {number}: {reason}",
        "succeeded": f"recovered with attempt {number}: {reason}",
        "failed": f"recovery's attempt {number} failed the same way: {reason}",
    }
    text = words.get(attempt["status"], f"recovery ({attempt['status']}): {reason}")
    return sentence(text)


def told(picture: Picture, title: str) -> Iterable[tuple[tuple[object, ...], str]]:
    """Return the lines that tell an execution's story, each with a key of its own."""
    yield (picture.id, "began"), f"{title}: began"
    for attempt in picture.attempts:
        explanation = picture.explanations.get(str(attempt["id"]))
        what = attempt["error_message"] if explanation is None else explanation["failure_summary"]
        yield (attempt["id"], "failed"), sentence(f"{title}: {short(what, 160)}")
        key = (attempt["id"], attempt["status"])
        yield key, f"{title}: {decision(picture, attempt)}"
    if picture.ended:
        yield (picture.id, picture.status), f"{title}: {outcome(picture)}"
