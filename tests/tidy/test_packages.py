"""Each package declares what it imports, so that an image holds what its service needs."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = sorted([*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")])


def imported(folder: Path) -> set[str]:
    """Return the top-level names that are imported when the package's modules are."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names)


def declared(project: dict[str, Any]) -> set[str]:
    lists: list[list[str]] = [project.get("dependencies", [])]
    lists.extend(project.get("optional-dependencies", {}).values())
    return {re.split(r"[\[=<>;! ]", text)[0].lower() for each in lists for text in each}


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_a_package_declares_what_it_imports(path: Path) -> None:
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    (package,) = path.parent.glob("perdure_*")
    distributions = packages_distributions()
    wanted = {
        distribution.lower().replace("_", "-")
        for name in imported(package) - {package.name}
        for distribution in distributions.get(name, [name])
    }
    # Starlette is FastAPI's own ground, and comes with it; the children of CODE import a neighbour.
    missing = wanted - declared(project) - {"starlette", "confined"}
    assert not missing, f"{path.relative_to(ROOT)} does not declare {sorted(missing)}"
