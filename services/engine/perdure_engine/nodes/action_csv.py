"""ACTION CSV: reads CSV text into items, or writes all items as one text (RFC 4180).

Read, each row becomes an item whose fields are named by the header; with `as` the rows are
a list in that field instead. All values are texts. A row with more or fewer fields than the
header is an error, unless `ragged` is set: then missing ones are null, and more are left
out. Empty lines and a byte order mark are passed over.

Written, rows end with CR LF; null is empty, lists and objects are JSON.
"""

import csv
import io
import json as json_of_python
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, Scope

from .base import (
    Fault,
    Inputs,
    Item,
    NodeSpecification,
    Outcome,
    Parameter,
    Parameters,
    ScopeOf,
    paired,
)
from .each import AS, READ_BYTES, ItemFault, attempted, needs, pay, put, text_of
from .errors import bounded, data_error, whole_run
from .fields import ITEMS_MAX, field, fields_of, too_wide

ENTRY_BYTES = 60
"""What a field that a row does not have takes, in bytes."""

CELL_LENGTH_MAX = 131_072
"""Characters of one cell: what the reader takes, in every process alike."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read or write. `columns` are names given by the author, None: the header's."""

    value: Compiled | None
    delimiter: str
    header: bool
    ragged: bool
    columns: tuple[str, ...] | None
    into: str | None


@bounded
def run(plan: Plan, inputs: Inputs, scope_of: ScopeOf) -> Outcome:
    """Read each item's text, or write all items."""
    if plan.value is None:
        jsons = [item["json"] for item in inputs.items]
        columns = plan.columns or tuple(
            dict.fromkeys(name for json in jsons for name in fields_of(json))
        )
        fault = too_wide(len(jsons) * len(columns))
        if fault:
            return whole_run(inputs, data_error("too_many_items", fault))
        made: Json = {plan.into or "csv": _written(plan, columns, jsons)}
        return Outcome(ports={"main": [{"json": made, "source": [*range(len(inputs.items))]}]})
    out: list[Item] = []
    failed: list[tuple[int, ErrorFacts]] = []
    read = plan.value
    for index, item in enumerate(inputs.items):
        room = ITEMS_MAX - len(out)
        rows = attempted(lambda at=index, left=room: _rows(plan, read, scope_of(at), left))
        if isinstance(rows, ErrorFacts):
            failed.append((index, rows))
        elif plan.into is not None:
            out.append(paired(put(item["json"], plan.into, rows), index, len(out)))
        else:
            for row in rows:
                out.append(paired(row, index, len(out)))
    return Outcome(ports={"main": out}, failed=tuple(failed))


def _rows(plan: Plan, value: Compiled, scope: Scope, most: int) -> list[Json]:
    text = text_of(value, scope, "value")
    pay(scope, len(text) >> 1, len(text) * READ_BYTES)
    rows = _read(plan, text, most)
    if plan.ragged and rows:  # what is missing takes no room in the text
        pay(scope, held=len(rows) * len(rows[0]) * ENTRY_BYTES)
    return rows


def _read(plan: Plan, text: str, most: int) -> list[Json]:
    reader = csv.reader(
        io.StringIO(text.removeprefix("\ufeff"), newline=""),
        delimiter=plan.delimiter,
        strict=True,
    )
    names: Sequence[str] | None = plan.columns
    is_header = plan.header
    rows: list[Json] = []
    try:
        for cells in reader:
            if not cells:
                continue
            if is_header:
                is_header = False
                names = plan.columns or _unique(cells)
                continue
            if plan.ragged and (fault := too_wide((len(rows) + 1) * len(names or ()))):
                raise ItemFault("too_many_items", fault)
            if len(rows) >= most:
                raise ItemFault("too_many_items", f"there are more than {ITEMS_MAX:,} rows")
            if names is None:
                names = [f"column{at}" for at in range(1, len(cells) + 1)]
            if len(cells) != len(names) and not plan.ragged:
                raise ItemFault(
                    "invalid_csv",
                    f"line {reader.line_num} has {len(cells)} fields, there are {len(names)} "
                    "names; mend the text, or set `ragged`",
                )
            padded = [*cells, *[None] * (len(names) - len(cells))]
            rows.append(dict(zip(names, padded, strict=False)))
    except csv.Error as error:
        text = f"line {reader.line_num} is no CSV: {error}; is `delimiter` right?"
        raise ItemFault("invalid_csv", text) from None
    return rows


def _unique(names: Sequence[str]) -> Sequence[str]:
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        text = f"two columns are called {twice!r}; name them all with `columns`"
        raise ItemFault("invalid_csv", text)
    return names


def _written(plan: Plan, columns: Sequence[str], jsons: Sequence[Json]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=plan.delimiter, lineterminator="\r\n")
    if plan.header:
        writer.writerow(columns)
    for json in jsons:
        writer.writerow([cell(field(json, name)) for name in columns])
    return text.getvalue()


def cell(value: Any) -> str:
    """Return a value as a table's cell has it: text as it is, nothing for null, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json_of_python.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _prepare(parameters: Parameters, compiled: Mapping[str, Compiled]) -> object:
    columns: Any = parameters.get("columns")
    return Plan(
        value=compiled["value"] if parameters.get("operation", "parse") == "parse" else None,
        delimiter=parameters.get("delimiter", ","),
        header=parameters.get("header", True),
        ragged=parameters.get("ragged", False),
        columns=tuple(columns) if columns else None,
        into=parameters.get("as"),
    )


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from needs(parameters, {"parse": ["value"]})
    delimiter: Any = parameters.get("delimiter", ",")
    if isinstance(delimiter, str) and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
        text = f"`delimiter` is {delimiter[:20]!r}; it must be one character, such as `;`"
        yield Fault("invalid_parameter", "delimiter", text)
    columns: Any = parameters.get("columns")
    if isinstance(columns, list):
        names = cast("list[Any]", columns)
        if len({str(name) for name in names}) < len(names):
            yield Fault("invalid_parameter", "columns", "two columns have one name")


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="CSV",
    summary="Reads CSV text into items, and writes items as CSV.",
    place="inline",
    parameters=(
        Parameter("operation", "text", "What to do.", default="parse", choices=("parse", "write")),
        Parameter("value", "text", "The text to read.", expressions=True),
        Parameter("delimiter", "text", "What stands between fields.", default=","),
        Parameter("header", "boolean", "Whether the first row has the names.", default=True),
        Parameter(
            "columns", "list", "The names of the columns; when writing, which and in what order.",
            of="text", least=1,
        ),
        Parameter("ragged", "boolean", "Whether rows may be short or long.", default=False),
        Parameter("as", "text", f"{AS.doc} Of `write` by default `csv`."),
    ),
    run=run,
    prepare=_prepare,
    check=_check,
    example={"value": "{{ $json.body }}", "delimiter": ";"},
    errors=("invalid_csv", "invalid_input", "input_too_large", "too_many_items", "data_too_deep"),
)  # fmt: skip
