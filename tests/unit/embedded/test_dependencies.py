"""What is installed is pinned, hashed, explained, and says nothing of where it came from."""

import re
import tomllib
from pathlib import Path

import pytest

HOME = Path(__file__).parents[3]
PROJECTS = [
    HOME / "pyproject.toml",
    *HOME.glob("libs/*/pyproject.toml"),
    *HOME.glob("services/*/pyproject.toml"),
]
LOCK = (HOME / "requirements.lock").read_text()
NAME = re.compile(r"[a-z0-9-]+")


def _declared() -> dict[str, str]:
    """Name → requirement of everything that the workspace declares itself."""
    wanted: list[str] = []
    for path in PROJECTS:
        project = tomllib.loads(path.read_text())
        wanted += project["project"].get("dependencies", [])
        for group in project.get("dependency-groups", {}).values():
            wanted += group
        for extra in project["project"].get("optional-dependencies", {}).values():
            wanted += extra
    named = {match[0]: text for text in wanted if (match := NAME.match(text))}
    return {name: text for name, text in named.items() if not name.startswith("perdure-")}


def test_every_declared_dependency_is_explained_once() -> None:
    page = (HOME / "docs/dependencies.md").read_text()
    explained = re.findall(r"^\| ([a-z][a-z0-9-]+) \|", page, re.M)
    assert sorted(name for name in explained if name != "name") == sorted(_declared())


@pytest.mark.parametrize(("name", "requirement"), sorted(_declared().items()))
def test_every_declared_dependency_is_pinned_and_locked(name: str, requirement: str) -> None:
    pin = re.match(r"[a-z0-9-]+(?:\[[a-z0-9,]+\])?==([0-9][^ ;]*)", requirement)
    assert pin, f"{requirement} names no exact version"
    assert re.search(rf"^{name}==({re.escape(pin[1])})(?= )", LOCK, re.M), "run `make lock`"


def test_the_lock_has_hashes_for_everything_and_names_no_source() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(entries) > 50
    assert all(re.match(r"[a-z0-9-]+==\S+ ", entry) for entry in entries)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|^\s*(?:-i|-f|-e|--(?!hash=))", LOCK, re.M)
