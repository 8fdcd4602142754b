"""n8n's conditions, of both forms, as one expression."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from .source import NotMapped
from .texts import code_of, is_expression, whole

Test: TypeAlias = Callable[[str, str], str]
"""Makes the expression of a comparison from those of its two sides."""


def _text(code: str) -> str:
    return f"`${{{code} ?? ''}}`"


def _moment(code: str) -> str:
    return f"({code}).toDateTime().toMillis()"


def _compares(sign: str, side: Callable[[str], str] = lambda code: code) -> Test:
    return lambda left, right: f"{side(left)} {sign} {side(right)}"


def _asks(method: str, *, wanted: bool = True) -> Test:
    no = "" if wanted else "!"
    return lambda left, right: f"{no}{_text(left)}.{method}({_text(right)})"


def _counts(sign: str) -> Test:
    return lambda left, right: f"({left} ?? []).length {sign} {right}"


def _is(found: str, *, wanted: bool = True) -> Test:
    no = "" if wanted else "!"
    return lambda left, right: f"{no}({found.format(left)})"


EMPTY = "({0} ?? '') === '' || $ifEmpty({0}, null) === null"

ANY: Mapping[str, Test] = {
    "exists": lambda left, right: f"({left}) !== null",
    "notExists": lambda left, right: f"({left}) === null",
    "empty": _is(EMPTY),
    "notEmpty": _is(EMPTY, wanted=False),
    "isEmpty": _is(EMPTY),
    "isNotEmpty": _is(EMPTY, wanted=False),
}
"""What can be asked of a value of any type; the first two names are those of the newer form."""

TEXTS: Mapping[str, Test] = {
    "equals": _compares("===", _text),
    "notEquals": _compares("!==", _text),
    "contains": _asks("includes"),
    "notContains": _asks("includes", wanted=False),
    "startsWith": _asks("startsWith"),
    "notStartsWith": _asks("startsWith", wanted=False),
    "endsWith": _asks("endsWith"),
    "notEndsWith": _asks("endsWith", wanted=False),
}

NUMBERS: Mapping[str, Test] = {
    "equals": _compares("===", lambda code: f"Number({code})"),
    "notEquals": _compares("!==", lambda code: f"Number({code})"),
    "gt": _compares(">"),
    "lt": _compares("<"),
    "gte": _compares(">="),
    "lte": _compares("<="),
}

MOMENTS: Mapping[str, Test] = {
    "equals": _compares("===", _moment),
    "notEquals": _compares("!==", _moment),
    "after": _compares(">", _moment),
    "before": _compares("<", _moment),
    "afterOrEquals": _compares(">=", _moment),
    "beforeOrEquals": _compares("<=", _moment),
}

TRUTHS: Mapping[str, Test] = {
    "true": lambda left, right: f"({left}) === true",
    "false": lambda left, right: f"({left}) === false",
    "equals": _compares("===", lambda code: f"Boolean({code})"),
    "notEquals": _compares("!==", lambda code: f"Boolean({code})"),
}

LISTS: Mapping[str, Test] = {
    "contains": lambda left, right: f"({left} ?? []).includes({right})",
    "notContains": lambda left, right: f"!({left} ?? []).includes({right})",
    "lengthEquals": _counts("==="),
    "lengthNotEquals": _counts("!=="),
    "lengthGt": _counts(">"),
    "lengthLt": _counts("<"),
    "lengthGte": _counts(">="),
    "lengthLte": _counts("<="),
}

BY_TYPE: Mapping[str, Mapping[str, Test]] = {
    "string": TEXTS, "number": NUMBERS, "dateTime": MOMENTS, "boolean": TRUTHS, "array": LISTS,
    "object": {}, "any": {},
}  # fmt: skip

OLDER = {
    "equal": "equals", "notEqual": "notEquals", "smaller": "lt", "smallerEqual": "lte",
    "larger": "gt", "largerEqual": "gte",
}  # fmt: skip
"""Words of the first form, and those of the newer one."""


def compared(kind: str, operation: str, left: Any, right: Any, *, small: bool = False) -> str:
    """Return the expression of one comparison; `small` is for texts whose case does not count.

    Raises:
        NotMapped: There is no such comparison here.
    """
    operation = OLDER.get(operation, operation)
    if operation in ("regex", "notRegex"):
        found = f"{_pattern(right)}.test({_text(code_of(left))})"
        return found if operation == "regex" else f"!{found}"
    test = BY_TYPE.get(kind, {}).get(operation) or ANY.get(operation)
    if test is None:
        raise NotMapped(f"a comparison of {kind!r} by {operation!r} has no counterpart")
    sides = [code_of(left), code_of(right)]
    if small and kind == "string":
        sides = [f"{_text(each)}.toLowerCase()" for each in sides]
    return test(*sides)


def _pattern(value: Any) -> str:
    if is_expression(value) or not isinstance(value, str) or not value:
        raise NotMapped("a pattern that is computed has no counterpart")
    body, flags = value, ""
    if value.startswith("/") and value.rfind("/") > 0:
        body, _, flags = value[1:].rpartition("/")
    escaped = body.replace("\\/", "/").replace("/", "\\/")
    return f"/{escaped}/{flags}"


def condition_of(given: Any, *, any_of: bool = False) -> str:
    """Return what n8n's `conditions` ask, as one whole expression.

    Raises:
        NotMapped: Something in them has no counterpart.
    """
    return whole(code_of_conditions(given, any_of=any_of))


def code_of_conditions(given: Any, *, any_of: bool = False) -> str:
    """Return the same as code. Raises as `condition_of`."""
    if not isinstance(given, dict):
        raise NotMapped("there are no conditions")
    conditions = cast("dict[str, Any]", given)
    found: list[str] = []
    if isinstance(conditions.get("conditions"), list):
        options = conditions.get("options")
        cased = cast("dict[str, Any]", options) if isinstance(options, dict) else {}
        any_of = conditions.get("combinator", "and") == "or"
        for each in cast("list[dict[str, Any]]", conditions["conditions"]):
            operator = cast("dict[str, Any]", each.get("operator") or {})
            found.append(
                compared(
                    str(operator.get("type", "any")), str(operator.get("operation", "")),
                    each.get("leftValue"), each.get("rightValue"),
                    small=cased.get("caseSensitive") is False,
                )
            )  # fmt: skip
    else:
        for kind, entries in conditions.items():
            for each in cast("list[dict[str, Any]]", entries if isinstance(entries, list) else []):
                operation = str(each.get("operation") or DEFAULTS.get(kind, "equal"))
                found.append(compared(kind, operation, each.get("value1"), each.get("value2")))
    if not found:
        raise NotMapped("there are no conditions")
    return (" || " if any_of else " && ").join(f"({each})" for each in found)


DEFAULTS = {"number": "smaller", "dateTime": "after", "string": "equal", "boolean": "equal"}
"""What the first form compares by where it says nothing."""
