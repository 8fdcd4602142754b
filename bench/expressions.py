"""How long expressions take, beside V8, and what the worst of them take.

The expressions are those of the tests' corpus (tests/unit/expressions/corpus) that give a value.
V8 runs them as compiled functions inside a loop of its own, its best form; what one call from
Python to V8 costs is told apart, since an engine in Python would pay it for each evaluation.
All times are CPU time of this process, in microseconds.

    QUICK=1 python -m bench.expressions
"""

import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Final

from perdure_engine.expressions import Compiled, ExpressionError, Scope, compile_expression
from py_mini_racer import MiniRacer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from expression_bombs import BOMB_SCOPE, BOMBS
from expression_corpus import DATA, LINES, SCOPE

from bench import machine

QUICK = os.environ.get("QUICK") == "1"
ROUND_NS: Final = 200_000 if QUICK else 2_000_000
"""How long one expression is repeated to be timed, three times; the best counts."""
PATHS: Final = (
    *("$json.name", "$json.address.city", "$json.nested.deep.er.value", "$json.items[0].price"),
    *("$json['with space']", "$json.users[3].address.city", "$json.tags[1]", "$json.missing"),
    *("$json.users[1].address?.city", "$json.matrix[1][2]", "$json.empty.list.length"),
)
_V8: Final = r"""
const functions = [];
const prepare = (sources, data) => {
  globalThis.$json = JSON.parse(data);
  for (const source of JSON.parse(sources)) functions.push((0, eval)('() => (' + source + '\n)'));
  return functions.length;
};
const repeat = (index, count) => {
  const each = functions[index];
  let kept;
  const begin = Date.now();
  for (let n = 0; n < count; n++) kept = each();
  return Date.now() - begin;
};
const answer = (index) => JSON.stringify(functions[index]());
"""


def best_us(run: Callable[[], object]) -> float:
    """The microseconds of CPU that one call takes, the best of three rounds."""
    count, best = 1, float("inf")
    while True:
        begin = time.process_time_ns()
        for _ in range(count):
            run()
        spent = time.process_time_ns() - begin
        if spent > ROUND_NS // 4:
            break
        count *= 4
    for _ in range(3):
        begin = time.process_time_ns()
        for _ in range(count):
            run()
        best = min(best, (time.process_time_ns() - begin) / count)
    return best / 1_000


def evaluation_us(compiled: Compiled) -> float:
    """The microseconds of one evaluation."""
    return best_us(lambda: compiled.evaluate(SCOPE))


def v8_us(engine: MiniRacer, index: int) -> float:
    """The microseconds of one evaluation inside V8, in a loop of at least some milliseconds."""
    count, least_ms = 1_000, 4 if QUICK else 20
    while True:
        spent_ms = engine.call("repeat", index, count)
        assert isinstance(spent_ms, int | float)
        if spent_ms >= least_ms:
            return spent_ms * 1_000 / count
        count *= 4


def giving_values() -> list[tuple[str, Compiled]]:
    """The expressions of the corpus that give a value, compiled."""
    found: list[tuple[str, Compiled]] = []
    for line in LINES[:: 6 if QUICK else 1]:
        try:
            compiled = compile_expression(line.expression)
            compiled.evaluate(SCOPE)
        except ExpressionError:
            continue
        if not line.why:
            found.append((line.expression, compiled))
    return found


def worst() -> tuple[float, str, float, str]:
    """The most CPU (ms) and the most memory (MB) that a hostile expression takes, and which."""
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[float, str] = (0.0, "")
    for source in (*BOMBS, *(line.expression for line in LINES)):
        scope: Scope = BOMB_SCOPE if source in BOMBS else SCOPE
        try:
            compiled = compile_expression(source)
        except ExpressionError:
            continue
        spent = min(_once_ms(compiled, scope) for _ in range(3))
        slowest = max(slowest, (spent, source))
        if source in BOMBS:
            tracemalloc.start()
            _once_ms(compiled, scope)
            largest = max(largest, (tracemalloc.get_traced_memory()[1] / 2**20, source))
            tracemalloc.stop()
    return slowest[0], slowest[1], largest[0], largest[1]


def _once_ms(compiled: Compiled, scope: Scope) -> float:
    """The milliseconds of CPU of one evaluation, whatever becomes of it."""
    begin = time.process_time_ns()
    with suppress(ExpressionError):
        compiled.evaluate(scope)
    return (time.process_time_ns() - begin) / 1e6


MEANING = {
    "path_median_us": "evaluating a path such as `$json.issue.title`",
    "corpus_median_us": "evaluating an expression of the tests' corpus, the median of all",
    "corpus_p95_us": "the same, 95th percentile",
    "v8_median_us": "the same expressions in V8, inside a loop of its own",
    "v8_ratio": "the median here against V8's",
    "v8_ratio_each": "the median of the ratios of each expression",
    "v8_call_us": "what a call from Python to V8 costs",
    "compile_median_us": "compiling an expression",
    "worst_ms": "CPU of the slowest expression that the limits let through",
    "worst_mb": "memory of the largest one",
    "expressions": "how many expressions of the corpus give a value",
}


def main() -> None:
    """Measure and print."""
    console = Console(width=110)
    about = machine.about()
    paths = [evaluation_us(compile_expression(path)) for path in PATHS]
    corpus = giving_values()
    ours = [evaluation_us(compiled) for _, compiled in corpus]
    with MiniRacer() as engine:
        engine.eval(_V8)
        engine.call("prepare", json.dumps([source for source, _ in corpus]), json.dumps(DATA))
        theirs = [v8_us(engine, index) for index in range(len(corpus))]
        call_us = best_us(lambda: engine.call("answer", 0))
    compile_us = median(
        best_us(lambda s=source: compile_expression(s)) for source, _ in corpus[::20]
    )
    worst_ms, slowest, worst_mb, largest = worst()
    result: dict[str, Any] = {
        "path_median_us": round(median(paths), 3),
        "corpus_median_us": round(median(ours), 3),
        "corpus_p95_us": round(sorted(ours)[len(ours) * 95 // 100], 3),
        "v8_median_us": round(median(theirs), 4),
        "v8_ratio": round(median(ours) / median(theirs), 2),
        "v8_ratio_each": round(median(a / b for a, b in zip(ours, theirs, strict=True)), 2),
        "v8_call_us": round(call_us, 1),
        "compile_median_us": round(compile_us, 1),
        "worst_ms": round(worst_ms, 2),
        "worst_mb": round(worst_mb, 2),
        "expressions": len(corpus),
    }
    table = Table("figure", "value", title=f"Expressions · {about}")
    for name, value in result.items():
        table.add_row(name, str(value))
    console.print(table)
    console.print("Slowest:", slowest[:90], markup=False)
    console.print("Largest:", largest[:90], markup=False)
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
