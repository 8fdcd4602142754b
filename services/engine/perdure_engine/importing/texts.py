"""n8n's texts and expressions as ours.

There a text that begins with `=` is an expression or has some; here any text with `{{ }}` does. The
language is nearly the same; what it does not have is found when the definition is validated.
"""

import json
import re
from typing import Any, cast

BRACES = "{{ '{{' }}"
"""Two braces that are meant as text."""

PART = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)

LEGACY = (
    (re.compile(r"\$node\[\s*(['\"])(.+?)\1\s*\]\.json\b"), r"$('\2').item.json"),
    (re.compile(r"\$node\.([A-Za-z_]\w*)\.json\b"), r"$('\1').item.json"),
    (re.compile(r"\$items\(\s*(['\"])(.+?)\1\s*\)"), r"$('\2').all()"),
    (re.compile(r"\$items\(\s*\)"), "$input.all()"),
    (re.compile(r"\$item\(0\)\.\$node\[\s*(['\"])(.+?)\1\s*\]"), r"$('\2').first()"),
    (re.compile(r"\$workflow\."), "$execution.workflow."),
    (re.compile(r"\$execution\.resumeUrl\b"), "$execution.resume_url"),
    (re.compile(r"(\$binary\??(?:\.\w+|\[[^\]]+\])\??\.)fileName\b"), r"\1file_name"),
    (re.compile(r"(\$binary\??(?:\.\w+|\[[^\]]+\])\??\.)mimeType\b"), r"\1mime_type"),
)
"""Ways of n8n's first versions to say something, and how it is said today."""


def is_expression(value: Any) -> bool:
    """Return whether a value is computed when the node runs."""
    return isinstance(value, str) and value.startswith("=") and PART.search(value) is not None


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
    return PART.sub(lambda found: "{{ " + modern(found[1]) + " }}", value[1:].strip())


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
    for found in PART.finditer(text):
        if found.start() > at:
            parts.append(json.dumps(text[at : found.start()], ensure_ascii=False))
        parts.append(f"({modern(found[1])})")
        at = found.end()
    if at < len(text):
        parts.append(json.dumps(text[at:], ensure_ascii=False))
    return parts[0] if len(parts) == 1 else f'("" + {" + ".join(parts)})'


def whole(code: str) -> str:
    """Return code as the one expression of a parameter."""
    return "{{ " + code + " }}"
