"""The engine's door to the expression language, which lives in libs/expressions.

The scheduler evaluates the filters of triggers with the same language, so it belongs to neither.
"""

from perdure_expressions import (
    Compiled,
    Constant,
    Expression,
    ExpressionError,
    Meter,
    NodeView,
    References,
    Scope,
    Structure,
    Template,
    Warning,
    compile_expression,
    compile_template,
    compile_value,
    lint,
    references,
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
