"""n8n's texts and expressions as ours.

There a text that begins with `=` is an expression or has some; here any text with `{{ }}` does. The
language is nearly the same; what it does not have is found when the definition is validated.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

BRACES = "{{ '{{' }}"
"""Two braces that are meant as text."""

NAMED = r"\s{0,20}(['\"])(.{1,250}?)\1\s{0,20}"
FILE = r"(\$binary\??(?:\.\w+|\[[^\]]{1,250}\])\??\.)"
"""Names in a file have an end: looking on to the end of a text from each place takes for ever."""

LEGACY = (
    (re.compile(rf"\$node\[{NAMED}\]\.json\b"), r"$('\2').item.json"),
    (re.compile(r"\$node\.([A-Za-z_]\w*)\.json\b"), r"$('\1').item.json"),
    (re.compile(rf"\$items\({NAMED}\)"), r"$('\2').all()"),
    (re.compile(r"\$items\(\s{0,20}\)"), "$input.all()"),
    (re.compile(rf"\$item\(0\)\.\$node\[{NAMED}\]"), r"$('\2').first()"),
    (re.compile(r"\$workflow\."), "$execution.workflow."),
    (re.compile(r"\$execution\.resumeUrl\b"), "$execution.resume_url"),
    (re.compile(rf"{FILE}fileName\b"), r"\1file_name"),
    (re.compile(rf"{FILE}mimeType\b"), r"\1mime_type"),
)
"""Ways of n8n's first versions to say something, and how it is said today."""


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """Yield where expressions begin and end, their braces included; each place is seen once."""
    at = text.find("{{")
    while at >= 0:
        end = text.find("}}", at + 2)
        if end < 0:
            return
        yield at, end + 2
        at = text.find("{{", end + 2)


def is_expression(value: Any) -> bool:
    """Return whether a value is computed when the node runs."""
    return isinstance(value, str) and value.startswith("=") and any(_parts(value))


def translated(value: Any) -> Any:
    """Return a value with every text in it as we write it."""
    if isinstance(value, dict):
        return {str(key): translated(each) for key, each in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [translated(each) for each in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    if not value.startswith("="):
        return value.replace("{{", BRACES)
    text, made, at = value[1:].strip(), list[str](), 0
    for begin, end in _parts(text):
        made += [text[at:begin], "{{ ", modern(text[begin + 2 : end - 2]), " }}"]
        at = end
    return "".join((*made, text[at:]))


def modern(code: str) -> str:
    """Return an expression without n8n's older words."""
    for pattern, ours in LEGACY:
        code = pattern.sub(ours, code)
    return code.strip()


def code_of(value: Any) -> str:
    """Return what computes a value, to stand in an expression."""
    if not is_expression(value):
        text = value[1:] if isinstance(value, str) and value.startswith("=") else value
        return json.dumps(text, ensure_ascii=False)
    text = str(value)[1:].strip()
    parts: list[str] = []
    at = 0
    for begin, end in _parts(text):
        if begin > at:
            parts.append(json.dumps(text[at:begin], ensure_ascii=False))
        parts.append(f"({modern(text[begin + 2 : end - 2])})")
        at = end
    if at < len(text):
        parts.append(json.dumps(text[at:], ensure_ascii=False))
    return parts[0] if len(parts) == 1 else f'("" + {" + ".join(parts)})'


def whole(code: str) -> str:
    """Return code as the one expression of a parameter."""
    return "{{ " + code + " }}"
