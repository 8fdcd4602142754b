"""ACTION CODE: runs code of the author's on each item; what it returns is the item's data.

The code is the body of a function that is given `item`, the item's data, and returns JSON:
`return {sum: item.a + item.b}` in JavaScript, `return {"sum": item["a"] + item["b"]}` in Python.
Python has its standard library, JavaScript the language alone. An exception fails the item, and so
do what is no JSON, more than `timeout_s` of time, and more than `memory_mb` of memory.

It is off until the operator allows a language (`PERDURE_CODE`). It runs in a process of its own
with limits on time and memory, without secrets and, where the system allows it, without network.
JavaScript reaches nothing outside its engine. Python is kept from files and programs by its
interpreter only: that holds up mistakes, not somebody who means harm, so allow it for people whom
you trust. Code is taken to be pure, and runs again when its runner dies.
"""

from typing import Any, Literal

from .base import NodeSpecification, Parameter, Parameters

LANGUAGES = ("javascript", "python")
TIMEOUT_S = 5.0
MEMORY_MB = 128
CODE_LENGTH_MAX = 100_000

ITEMS_IN_TURN = 10
"""Items of one task run one after the other, while others' limits count them side by side."""


def length(parameters: Parameters, timeout_s: float | None) -> Literal["short", "long"]:
    """Return `long`: code is claimed, and never runs in the engine's process."""
    del parameters, timeout_s
    return "long"


def attempt_timeout_s(parameters: Parameters) -> float:
    """Return the limit of the items that others would run side by side."""
    value: Any = parameters.get("timeout_s", TIMEOUT_S)
    each = float(value) if isinstance(value, int | float) else TIMEOUT_S
    return (each + 1.0) * ITEMS_IN_TURN


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="CODE",
    summary="Runs code of the author's on each item; what it returns is the item's data.",
    place="runner",
    parameters=(
        Parameter("language", "text", "In which it is written.", optional=False, choices=LANGUAGES),
        Parameter("code", "code", "The body of a function of `item`.", optional=False),
        Parameter(
            "timeout_s",
            "number",
            "The limit of one item, in seconds.",
            default=TIMEOUT_S,
            least=0.1,
            most=60,
        ),
        Parameter(
            "memory_mb",
            "integer",
            "The memory that it may use, in megabytes.",
            default=MEMORY_MB,
            least=16,
            most=1_024,
        ),
    ),
    length=length,
    attempt_timeout_s=attempt_timeout_s,
    example={
        "language": "javascript",
        "code": "const total = item.lines.reduce((sum, line) => sum + line.price, 0);\n"
        "return {...item, total};",
    },
    errors=(
        *("code_failed", "code_timeout", "code_memory", "code_not_allowed", "code_output"),
        *("code_crashed", "response_too_large"),
    ),
)
