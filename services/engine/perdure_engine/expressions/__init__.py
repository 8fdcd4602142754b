"""The expression language: a closed subset of JavaScript's expressions over plain JSON.

Safe by construction: an own parser with limits, closures compiled once, fuel and room for
each evaluation, and no way from data to Python. Pure: time comes from the scope.

Read next: `template` (the door), `parser` (the language), `compiler`, `limits`, `values`.
"""

from .analysis import References
from .errors import ExpressionError
from .scope import NodeView, Scope
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
    "NodeView",
    "References",
    "Scope",
    "Structure",
    "Template",
    "compile_expression",
    "compile_template",
    "compile_value",
    "references",
]


def references(compiled: Compiled) -> References:
    """What a compiled expression, template or structure asks of its scope."""
    return compiled.references
