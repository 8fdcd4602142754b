"""Tables in files: CSV, and the table of an HTML page, as lists of objects and back."""

import csv
import html
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, cast

from selectolax.lexbor import LexborHTMLParser, LexborNode

from perdure_engine.nodes.action_csv import cell
from perdure_engine.nodes.action_file import ROWS_MAX
from perdure_engine.nodes.action_html_extract import HTML_LENGTH_MAX, count_elements
from perdure_engine.nodes.each import ItemFault
from perdure_engine.nodes.fields import too_wide
from perdure_engine.runner.files import FileFault

Rows = list[dict[str, str | None]]


def csv_rows(text: str, delimiter: str, header: bool) -> Rows:
    """Return the rows of a CSV as objects, by the names in its first row, or `column1` and so on.

    Raises:
        ItemFault: `file_not_csv`, `too_many_items`.
    """
    try:
        table = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        raise ItemFault("file_not_csv", f"the file is no CSV: {error}") from error
    _check_count(len(table))
    if not header:
        return [{f"column{at}": cell for at, cell in enumerate(row, 1)} for row in table]
    names = table[0] if table else []
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        words = f"two columns are called {twice[:80]!r}; set `header: false`, and name them after"
        raise ItemFault("file_not_csv", words)
    for number, row in enumerate(table[1:], 2):
        if len(row) != len(names):
            words = f"row {number} has {len(row)} fields, the header has {len(names)}"
            raise ItemFault("file_not_csv", words)
    return [dict(zip(names, row, strict=True)) for row in table[1:]]


def html_rows(text: str) -> Rows:
    """Return the rows of the first table of a page as objects, by the names in its first row.

    A row that is too short has nulls; what is too long is `column4` and so on.

    Raises:
        ItemFault: `file_not_html`, `file_too_large`, `data_too_deep`, `too_many_items`.
    """
    if len(text) > HTML_LENGTH_MAX:
        words = f"the page has {len(text):,} characters, at most {HTML_LENGTH_MAX:,} are read"
        raise ItemFault("file_too_large", words)
    count_elements(text)
    table = LexborHTMLParser(text).css_first("table")
    if table is None:
        words = "the file has no HTML table; read it as text, and take what you need out of that"
        raise ItemFault("file_not_html", words)
    rows = [
        [" ".join(cell.text(deep=True).split()) for cell in row.iter() if cell.tag in ("td", "th")]
        for row in table.css("tr")
        if _table_of(row) == table
    ]
    _check_count(len(rows))
    names: dict[str, None] = {}  # in order, and found at once however many there are
    for at, name in enumerate(rows[0] if rows else (), 1):
        names[name if name and name not in names else f"column{at}"] = None
    _check_width((len(rows) - 1) * len(names))  # what is missing takes no room in the page
    found: Rows = []
    for row in rows[1:]:
        named = {name: row[at] if at < len(row) else None for at, name in enumerate(names)}
        beyond = {f"column{at + 1}": row[at] for at in range(len(names), len(row))}
        found.append({**named, **beyond})
    return found


def _table_of(row: LexborNode) -> LexborNode | None:
    above = row.parent
    while above is not None and above.tag != "table":
        above = above.parent
    return above


def _check_width(fields: int) -> None:
    fault = too_wide(fields)
    if fault:
        raise ItemFault("too_many_items", fault)


def _check_count(count: int) -> None:
    if count > ROWS_MAX:
        words = f"the file has {count:,} rows, at most {ROWS_MAX:,} are read"
        raise ItemFault("too_many_items", words)


def csv_text(value: Any, delimiter: str, header: bool) -> str:
    """Return a list of objects as CSV (RFC 4180); its columns are the fields of all of them.

    Raises:
        FileFault: `invalid_input`: It is no list of objects; `input_too_large`: It has too
            many columns for so many rows.
    """
    columns, cells = _cells(value, "csv")
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    if header:
        writer.writerow(columns)
    writer.writerows(cells)
    return text.getvalue()


def html_text(value: Any) -> str:
    """Return a list of objects as a page with one table, in which nothing is markup.

    Raises:
        FileFault: `invalid_input`: It is no list of objects; `input_too_large`: It has too
            many columns for so many rows.
    """
    columns, cells = _cells(value, "html")
    rows = [_row("th", columns), *(_row("td", each) for each in cells)]
    body = "\n".join(rows)
    return (
        '<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body><table>\n'
        f"{body}\n</table></body></html>\n"
    )


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(each)}</{tag}>" for each in cells) + "</tr>"


def _cells(value: Any, kind: str) -> tuple[Sequence[str], list[list[str]]]:
    entries = cast("list[Any]", value) if isinstance(value, list) else [None]
    if not all(isinstance(each, dict) for each in entries):
        text = f"`content` must give a list of objects to be written as {kind}: AGGREGATE makes one"
        raise FileFault("invalid_input", text)
    rows = cast("list[dict[str, Any]]", entries)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    fault = too_wide(len(rows) * len(columns))
    if fault:
        raise FileFault("input_too_large", fault)
    return columns, [[cell(row.get(name)) for name in columns] for row in rows]
