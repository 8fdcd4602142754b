"""Searching texts with regular expressions, and filling in replacements.

A match is an array of the whole match and its groups, null for a group without part in it;
it has no `index` and no `groups`.
"""

from collections.abc import Iterator

from perdure_engine.expressions.errors import ExpressionError
from perdure_engine.expressions.limits import Frame, Value, kind_of
from perdure_engine.expressions.regex import Regex
from perdure_engine.expressions.registry import Arguments, argument, method
from perdure_engine.expressions.values import described, joined, to_text, units


def matches(f: Frame, regex: Regex, text: str) -> Iterator[list[int]]:
    """All matches from left to right, the first only without the flag `g`."""
    at = 0
    while at <= len(text):
        found = regex.search(f, text, at)
        if found is None:
            return
        yield found
        if not regex.everywhere:
            return
        at = found[1] if found[1] > found[0] else found[1] + 1


def groups(f: Frame, text: str, found: list[int]) -> list[Value]:
    """The whole match and its groups, as texts."""
    f.array(len(found) // 2)
    f.hold(60 * len(found))
    made: list[Value] = []
    for low, high in zip(found[::2], found[1::2], strict=True):
        f.text(max(0, high - low), text.isascii())
        made.append(text[low:high] if high >= 0 else None)
    return made


def wanted(name: str, value: Value, everywhere: bool = False) -> Regex:
    """An argument that has to be a regular expression.

    Raises:
        ExpressionError: `expression_type` when it is none, or lacks the flag `g`.
    """
    if kind_of(value) is not Regex:
        raise ExpressionError(
            "expression_type",
            f"{name}() needs a regular expression such as /a+/, but got {described(value)}.",
        )
    if everywhere and not value.everywhere:
        raise ExpressionError("expression_type", f"{name}() needs the flag g: write /…/g.")
    return value


@method("match", str)
def match(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The first match with its groups, or with `g` all matches; null without one."""
    regex = wanted("match", argument(arguments, 0))
    if not regex.everywhere:
        found = regex.search(f, this, 0)
        return None if found is None else groups(f, this, found)
    made = [groups(f, this, found[:2])[0] for found in matches(f, regex, this)]
    f.array(len(made))
    return made or None


@method("matchAll", str)
def match_all(f: Frame, this: Value, arguments: Arguments) -> Value:
    """All matches with their groups, as an array."""
    regex = wanted("matchAll", argument(arguments, 0), everywhere=True)
    return [groups(f, this, found) for found in matches(f, regex, this)]


@method("search", str)
def search(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The offset of the first match, -1 without one."""
    found = wanted("search", argument(arguments, 0)).search(f, this, 0)
    return -1 if found is None else len(units(f, this[: found[0]]))


@method("test", Regex)
def test(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether there is a match in a text; it always begins at its beginning."""
    return this.search(f, to_text(f, argument(arguments, 0)), 0) is not None


@method("exec", Regex)
def execute(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The first match in a text with its groups, or null."""
    text = to_text(f, argument(arguments, 0))
    found = this.search(f, text, 0)
    return None if found is None else groups(f, text, found)


def replace(f: Frame, this: str, regex: Regex, by: Value) -> Value:
    """With the matches replaced, by a text with `$1` and `$<name>`, or a function's result."""
    parts: list[str] = []
    done = 0
    for found in matches(f, regex, this):
        low, high = found[0], found[1]
        parts.append(this[done:low])
        f.text(low - done + 60, this.isascii())
        if callable(by):
            texts = groups(f, this, found)
            parts.append(to_text(f, by(*texts, len(units(f, this[:low])), this)))
        elif "$" in by:
            texts = [each or "" for each in groups(f, this, found)]
            parts.append(expanded(f, by, texts, this[:low], this[high:], regex.program.names))
        else:
            parts.append(by)
        done = high
    return joined(f, [*parts, this[done:]])


def split(f: Frame, this: str, regex: Regex, limit: int) -> Value:
    """The pieces between matches, with the groups' texts between them."""
    if not this:
        return [] if regex.search(f, this, 0) is not None else [this][:limit]
    made: list[Value] = []
    begin = at = 0
    while at < len(this):
        found = regex.search(f, this, at)
        if found is None or found[0] >= len(this):
            break
        if found[1] == begin or (found[1] == found[0] and found[0] == begin):
            at = max(at, found[1]) + 1 if found[0] == found[1] else at + 1
            continue
        made.append(this[begin : found[0]])
        f.text(found[0] - begin + 60, this.isascii())
        made.extend(groups(f, this, found)[1:])
        begin = found[1]
        at = begin if found[1] > found[0] else begin + 1
    made.append(this[begin:])
    f.array(len(made))
    return made[:limit]


def expanded(
    f: Frame,
    template: str,
    texts: list[str],
    before: str,
    after: str,
    names: dict[str, int],
) -> str:
    """A replacement with `$$`, `$&`, `` $` ``, `$'`, `$1` and `$<name>` filled in."""
    values = {"$": "$", "&": texts[0], "`": before, "'": after}
    parts: list[str] = []
    at = 0
    while (next_at := template.find("$", at)) >= 0:
        f.spend(8)
        f.hold(60)
        parts.append(template[at:next_at])
        sign = template[next_at + 1 : next_at + 2]
        at = next_at + 2
        if sign in values:
            parts.append(values[sign])
        elif sign == "<" and names and (end := template.find(">", at)) > 0:
            place = names.get(template[at:end])
            parts.append("" if place is None else texts[place])
            at = end + 1
        else:
            length, place = _numbered(template, next_at + 1, len(texts))
            parts.append(texts[place] if length else "$")
            at = next_at + 1 + length
    parts.append(template[at:])
    return joined(f, parts)


def _numbered(template: str, at: int, count: int) -> tuple[int, int]:
    """The length and value of a group's number that is known, else (0, 0)."""
    for length in (2, 1):
        digits = template[at : at + length]
        known = len(digits) == length and digits.isdecimal() and digits.isascii()
        if known and 1 <= int(digits) < count:
            return length, int(digits)
    return 0, 0
