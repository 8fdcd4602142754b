"""The corpus of expressions, by theme, and how a value of ours is compared with one of V8."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from javascript import Odd, kind_of, odd_inside
from perdure_engine.expressions import ExpressionError, Scope, compile_expression

FOLDER: Final = Path(__file__).parents[1] / "unit" / "expressions" / "corpus"
DATA: Final[dict[str, Any]] = json.loads((FOLDER / "data.json").read_text("utf-8"))
REASONS: Final[dict[str, str]] = json.loads((FOLDER / "reasons.json").read_text("utf-8"))
SCOPE: Final = Scope(json=DATA, now=datetime(2024, 5, 17, 12, 30, 45, 123_000, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Line:
    """An expression; `ours` and `why` (a key of `REASONS`) where it differs from JavaScript."""

    expression: str
    ours: Any = None
    why: str = ""


def theme(name: str) -> list[Line]:
    """The lines of one theme."""
    found: list[Line] = []
    for text in (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines():
        line = json.loads(text)
        found.append(Line(line) if isinstance(line, str) else Line(**line))
    return found


THEMES: Final = tuple(sorted(path.stem for path in FOLDER.glob("*.jsonl")))
LINES: Final = tuple(line for name in THEMES for line in theme(name))


def our_value(expression: str, scope: Scope = SCOPE) -> Any:
    """Our value, or `{"error": code}`."""
    try:
        return compile_expression(expression).evaluate(scope)
    except ExpressionError as error:
        return {"error": error.code}


def equal(ours: Any, other: Any) -> bool:
    """Whether two values are the same JSON, with their keys in the same order."""
    kind = kind_of(ours)
    if kind is not kind_of(other):
        return kind is not bool and kind_of(other) is not bool and ours == other
    if kind is dict:
        return list(ours) == list(other) and all(equal(ours[key], other[key]) for key in ours)
    if kind is list:
        return len(ours) == len(other) and all(map(equal, ours, other))
    return ours == other


def agree(ours: Any, javascripts: Any) -> bool:
    """Whether both gave the same: a value, or a refusal."""
    if isinstance(javascripts, Odd) and javascripts.name.startswith("throws"):
        return isinstance(ours, dict) and "error" in ours
    return odd_inside(javascripts) is None and equal(ours, javascripts)
