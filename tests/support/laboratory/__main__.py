"""Writes the table of scenarios into docs/laboratory.md: `python -m laboratory docs/laboratory.md`.

With `--check` it only says whether the table there is the newest.
"""

import argparse
import sys
from pathlib import Path

from laboratory.table import in_document


def main() -> int:
    """Write, or look."""
    parser = argparse.ArgumentParser(prog="laboratory", description=__doc__)
    parser.add_argument("document", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    before = given.document.read_text(encoding="utf-8")
    after = in_document(before)
    if before == after:
        return 0
    if given.check:
        print(f"{given.document} has an old table; run `python -m laboratory {given.document}`")
        return 1
    given.document.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
