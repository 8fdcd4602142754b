"""Searching texts with regular expressions, and filling in replacements.

A match is an array of the whole match and its groups, null for a group without part in it;
it has no `index` and no `groups`.
"""

from collections.abc import Iterator
from itertools import islice

from perdure_expressions.errors import ExpressionError
from perdure_expressions.limits import Frame, Value, kind_of
from perdure_expressions.regex import Regex, Subject
from perdure_expressions.registry import Arguments, argument, method
from perdure_expressions.values import described, joined, paired, to_text

Spans = list[tuple[int, int]]
_ENTRY_BYTES = 60
_MANY_COST = 2
"""Units for each of many matches that are found at once."""


def matches(regex: Regex, subject: Subject) -> Iterator[Spans]:
    """All matches from left to right, the first only without the flag `g`."""
    if regex.everywhere:
        yield from regex.matches(subject)
    elif (found := regex.search(subject, 0)) is not None:
        yield found


def groups(regex: Regex, subject: Subject, found: Spans) -> list[Value]:
    """The whole match and its groups, as texts.

    Raises:
        ExpressionError: `expression_type` for groups that JavaScript would read otherwise.
    """
    if regex.unlike and len(found) > 1:
        raise ExpressionError(
            "expression_type",
            f"A group of the pattern {regex.unlike}, so it cannot be read: write (?:…) for it.",
        )
    subject.f.array(len(found))
    subject.f.hold(_ENTRY_BYTES * len(found))
    return [None if low < 0 else subject.piece(low, high) for low, high in found]


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
    if regex.everywhere and regex.simple is not None:
        f.spend(regex.simple.cost(len(this)))
        f.hold(4 * len(this))
        found = islice(regex.simple.engine.finditer(this), f.fuel // _MANY_COST + 1)
        texts: list[Value] = [each.group() for each in found]
        f.spend(_MANY_COST * len(texts))
        f.hold(_ENTRY_BYTES * len(texts))
        return texts or None
    subject = regex.subject(f, this)
    if not regex.everywhere:
        found = regex.search(subject, 0)
        return None if found is None else groups(regex, subject, found)
    made: list[Value] = []
    for found in matches(regex, subject):
        f.hold(_ENTRY_BYTES)
        made.append(subject.piece(*found[0]))
    return made or None


@method("matchAll", str)
def match_all(f: Frame, this: Value, arguments: Arguments) -> Value:
    """All matches with their groups, as an array."""
    regex = wanted("matchAll", argument(arguments, 0), everywhere=True)
    subject = regex.subject(f, this)
    return [groups(regex, subject, found) for found in matches(regex, subject)]


@method("search", str)
def search(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The offset of the first match, -1 without one."""
    regex = wanted("search", argument(arguments, 0))
    subject = regex.subject(f, this)
    found = regex.search(subject, 0)
    return -1 if found is None else subject.units(found[0][0])


@method("test", Regex)
def test(f: Frame, this: Value, arguments: Arguments) -> Value:
    """Whether there is a match in a text; it always begins at its beginning."""
    return this.search(this.subject(f, to_text(f, argument(arguments, 0))), 0) is not None


@method("exec", Regex)
def execute(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The first match in a text with its groups, or null."""
    subject = this.subject(f, to_text(f, argument(arguments, 0)))
    found = this.search(subject, 0)
    return None if found is None else groups(this, subject, found)


def replace(f: Frame, this: str, regex: Regex, by: Value) -> Value:
    """With the matches replaced, by a text with `$1` and `$<name>`, or a function's result."""
    if regex.simple is not None and regex.everywhere and not callable(by) and "$" not in by:
        f.spend(regex.simple.cost(len(this)))
        f.hold((4 + len(by)) * (len(this) + 1))
        most = f.fuel // _MANY_COST + 1
        made, count = regex.simple.engine.subn(by.replace("\\", "\\\\"), this, most)
        f.spend(_MANY_COST * count)
        return paired(made) if not made.isascii() else made
    subject = regex.subject(f, this)
    parts: list[str] = []
    done = 0
    for found in matches(regex, subject):
        low, high = found[0]
        f.hold(_ENTRY_BYTES)
        parts.append(subject.piece(done, low))
        if callable(by):
            texts = groups(regex, subject, found)
            parts.append(to_text(f, by(*texts, subject.units(low), this)))
        elif "$" in by:
            texts = [each or "" for each in groups(regex, subject, found)]
            around = "$`" in by or "$'" in by
            end = len(subject.data) if around else high
            ends = (subject.piece(0 if around else low, low), subject.piece(high, end))
            parts.append(expanded(f, by, texts, *ends, regex.names))
        else:
            parts.append(by)
        done = high
    return joined(f, [*parts, subject.piece(done, len(subject.data))])


def split(f: Frame, this: str, regex: Regex, limit: int) -> Value:
    """The pieces between matches, with the groups' texts between them."""
    if regex.simple is not None and this:
        f.spend(regex.simple.cost(len(this)))
        f.hold(4 * len(this))
        most = f.fuel // _MANY_COST + 1
        pieces: list[Value] = list(regex.simple.engine.split(this, most))
        f.spend(_MANY_COST * len(pieces))
        f.hold(_ENTRY_BYTES * len(pieces))
        return pieces[:limit]
    subject = regex.subject(f, this)
    end = len(subject.data)
    if not this:
        return [] if regex.search(subject, 0) is not None else [this][:limit]
    made: list[Value] = []
    begin = at = 0
    while at < end:
        found = regex.search(subject, at)
        if found is None or found[0][0] >= end:
            break
        low, high = found[0]
        if high == begin or low == high == begin:
            at = subject.behind(max(at, high) if low == high else at)
            continue
        made.append(subject.piece(begin, low))
        f.hold(_ENTRY_BYTES)
        if len(found) > 1:
            made.extend(groups(regex, subject, found)[1:])
        begin = high
        at = begin if high > low else subject.behind(begin)
    made.append(subject.piece(begin, end))
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
