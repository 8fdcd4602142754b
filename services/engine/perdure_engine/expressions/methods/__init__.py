"""The methods, functions and constants of the language, one module for each type."""

from perdure_engine.expressions.registry import CONSTANTS, FUNCTIONS, METHODS

from . import strings

__all__ = ["CONSTANTS", "FUNCTIONS", "METHODS", "strings"]
