"""V8 beside us, in UTC: evaluates JavaScript expressions and gives plain JSON, or what was thrown.

Values that JSON does not have are told in our own words: undefined is null, a date its ISO
text, a set or an iterator an array, -0 is 0. NaN and the infinities become `Odd`, and so does
an error.
"""

import json
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from py_mini_racer import MiniRacer

_DRIVER: Final = """
const plain = (value) => {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number') {
    return Number.isFinite(value) ? (value === 0 ? 0 : value) : {'\\u0000odd': String(value)};
  }
  if (typeof value === 'function' || value instanceof RegExp) {
    return {'\\u0000odd': 'no value'};
  }
  if (value instanceof Date) return isNaN(value) ? {'\\u0000odd': 'NaN'} : value.toISOString();
  if (typeof value !== 'object') return value;
  if (Array.isArray(value)) return Array.from(value, plain);
  if (typeof value[Symbol.iterator] === 'function') return Array.from(value, plain);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
};
const attempt = ([source, data]) => {
  try {
    globalThis.$json = JSON.parse(data);
    return plain((0, eval)('(' + source + '\\n)'));
  } catch (error) {
    return {'\\u0000odd': 'throws ' + error.name};
  }
};
const run = (asked) => JSON.stringify(JSON.parse(asked).map(attempt));
"""


def kind_of(value: object) -> type[object]:
    """`type`, for values of which nothing more is known."""
    return type(value)


@dataclass(frozen=True, slots=True)
class Odd:
    """What JavaScript gave that is no JSON: `NaN`, `Infinity`, `throws TypeError`, `no value`."""

    name: str


class JavaScript:
    """A V8 with nothing in it but the language."""

    def __init__(self, engine: MiniRacer) -> None:
        self.engine = engine
        self.engine.eval(_DRIVER)

    def values(self, asked: Iterable[tuple[str, Any]]) -> list[Any]:
        """The value of each (expression, `$json`); the data is fresh for each."""
        pairs = [[source, json.dumps(data)] for source, data in asked]
        answer = self.engine.call("run", json.dumps(pairs))
        assert isinstance(answer, str)
        return [_told(each) for each in json.loads(answer, parse_int=_number)]

    def value(self, source: str, data: Any) -> Any:
        """The value of one expression."""
        return self.values([(source, data)])[0]


def _number(digits: str) -> int | float:
    """A whole number as a double has it: beyond 2^53 its digits are no longer its own."""
    return float(digits) if len(digits) > 16 else int(digits)


def _told(value: Any) -> Any:
    """A value with what is odd in it."""
    kind = kind_of(value)
    if kind is dict:
        odd = value.get("\0odd")
        return {key: _told(each) for key, each in value.items()} if odd is None else Odd(odd)
    return [_told(each) for each in value] if kind is list else value


def odd_inside(value: Any) -> Odd | None:
    """The first thing in a value that is no JSON, None if all is."""
    if isinstance(value, Odd):
        return value
    kind = kind_of(value)
    parts: Iterable[Any] = value.values() if kind is dict else value if kind is list else ()
    return next((odd for part in parts if (odd := odd_inside(part)) is not None), None)


@contextmanager
def javascript() -> Generator[JavaScript]:
    """A V8 that is closed at the end."""
    os.environ["TZ"] = "UTC"
    with MiniRacer() as engine:
        yield JavaScript(engine)
