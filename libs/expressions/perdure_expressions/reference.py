"""The table of all methods and functions, as docs/expressions.md has it.

python -m perdure_expressions.reference
"""

from typing import Final

from .methods import CONSTANTS, FUNCTIONS, METHODS
from .moment import Moment
from .regex import Regex

_KINDS: Final[dict[type, str]] = {
    **{str: "text", int: "number", float: "number", bool: "boolean", list: "array"},
    **{dict: "object", Moment: "date", Regex: "pattern"},
}


def table() -> str:
    """Two Markdown tables and the list of constants."""
    lines = ["| method | of | what it gives |", "| --- | --- | --- |"]
    for name in sorted(METHODS, key=str.lower):
        by_text: dict[str, list[str]] = {}
        for kind, found in METHODS[name].items():
            of = by_text.setdefault(_told(found.call.__doc__), [])
            if _KINDS[kind] not in of:
                of.append(_KINDS[kind])
        lines += [f"| `{name}` | {', '.join(of)} | {text} |" for text, of in by_text.items()]
    lines += ["", "| function | what it gives |", "| --- | --- |"]
    for name in sorted(FUNCTIONS, key=str.lower):
        lines.append(f"| `{name}` | {_told(FUNCTIONS[name].call.__doc__)} |")
    lines += ["", f"Constants: {', '.join(f'`{name}`' for name in sorted(CONSTANTS))}."]
    return "\n".join(lines)


def _told(text: str | None) -> str:
    """The first line of a docstring."""
    return (text or "As its name says.").splitlines()[0].replace("|", "\\|")


if __name__ == "__main__":
    print(table())
