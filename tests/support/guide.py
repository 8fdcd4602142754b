"""The blocks of docs/adding-a-strategy.md: where each goes, and what it is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/adding-a-strategy.md").read_text("utf-8")
_STEP = re.compile(
    r"In `(?P<path>[^`]+)`, (?P<how>after|before|instead of) `(?P<anchor>[^`]+)`:\n\n"
    r"```text\n(?P<code>.*?)```\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """Lines that go into a file, after, before or instead of the line that holds `anchor`."""

    path: str
    how: str
    anchor: str
    code: str

    def applied(self, text: str) -> str:
        """Return the file's text with the step done; its anchor must be in one line of it."""
        lines = text.splitlines(keepends=True)
        (at,) = [n for n, line in enumerate(lines) if self.anchor in line]
        begin = at + (self.how == "after")
        end = at + (self.how != "before")
        return "".join([*lines[:begin], self.code, *lines[end:]])


def steps() -> Sequence[Step]:
    """Return what the page has changed in the code, in its order."""
    found = [Step(**match.groupdict()) for match in _STEP.finditer(PAGE)]
    assert len(found) == PAGE.count("```text"), "each block says where it goes"
    return found


def migration() -> str:
    """Return the page's SQL."""
    (sql,) = re.findall(r"```sql\n(.*?)```\n", PAGE, re.DOTALL)
    return sql
