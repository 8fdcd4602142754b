"""The expression language: a closed subset of JavaScript's expressions over plain JSON.

Safe by construction: an own parser with limits, closures compiled once, fuel and room for
each evaluation, and no way from data to Python. Pure: time comes from the scope.

Where it differs from JavaScript, on purpose:

- undefined is null; a missing path, of null too, is null; an argument that is null counts as
  not given. `typeof` alone can tell: 'undefined' for a key that is not there.
- Methods on null are a typed error; behind `?.` they give null, to the end of the chain.
- Nothing changes data: `sort` and `reverse` give new arrays, there is no `push`.
- Keys keep the order of the data, whole numbers among them too. There is no -0.
- In a text with `{{ … }}` null is empty, and arrays and objects are JSON.
- Dates are equal by their instant, and their time zone is UTC or the text's.
- Regular expressions match whole characters, without look-around and back-references;
  a match is an array without `index`. `new Set(…)` gives an array.
- NaN and infinity may be computed with, but are no result.

Read next: `template` (the door), `parser` (the language), `compiler`, `limits`, `values`.
"""

from .analysis import References, Warning, lint
from .errors import ExpressionError
from .scope import Meter, NodeView, Scope
from .template import (
    Compiled,
    Constant,
    Expression,
    Structure,
    Template,
    compile_expression,
    compile_template,
    compile_value,
)

__all__ = [
    "Compiled",
    "Constant",
    "Expression",
    "ExpressionError",
    "Meter",
    "NodeView",
    "References",
    "Scope",
    "Structure",
    "Template",
    "Warning",
    "compile_expression",
    "compile_template",
    "compile_value",
    "lint",
    "references",
]


def references(compiled: Compiled) -> References:
    """What a compiled expression, template or structure asks of its scope."""
    return compiled.references
