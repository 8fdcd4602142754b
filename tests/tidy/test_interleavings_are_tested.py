"""docs/interleavings.md names tests that exist, and names every test of its own files."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
WHOLE = ("tests/contract/test_interleavings.py", "tests/contract/test_interleavings_servers.py")


def named() -> set[tuple[str, str]]:
    text = (ROOT / "docs" / "interleavings.md").read_text(encoding="utf-8")
    return {(match[1], match[2]) for match in NAMED.finditer(text)}


def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def test_every_test_that_the_list_names_exists() -> None:
    missing = [f"{path}::{test}" for path, test in named() if test not in functions_of(path)]
    assert named() and not missing


def test_the_list_names_every_test_of_the_files_that_are_for_it() -> None:
    there = {(path, test) for path in WHOLE for test in functions_of(path)}
    assert there <= named()
