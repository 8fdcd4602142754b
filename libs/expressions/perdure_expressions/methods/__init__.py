"""The methods, functions and constants of the language, one module for each type."""

from perdure_expressions.registry import CONSTANTS, FUNCTIONS, METHODS

from . import arrays, dates, encodings, extras, maths, numbers, objects, regexes, strings

__all__ = [
    "CONSTANTS",
    "FUNCTIONS",
    "METHODS",
    "arrays",
    "dates",
    "encodings",
    "extras",
    "maths",
    "numbers",
    "objects",
    "regexes",
    "strings",
]
