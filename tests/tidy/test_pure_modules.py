"""The import contract of pure modules names every module that the cores are made of."""

import importlib
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("engine", "recovery", "scheduler")
WIRING = "app"
"""What puts a service together: not of the core, though functions of deciders are made there."""


def named() -> set[str]:
    """Return what the contract names; a package stands for everything in it."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = [
        each
        for each in configured["tool"]["importlinter"]["contracts"]
        if each["name"].startswith("the cores do no I/O")
    ]
    return set(contract["source_modules"])


def homes(value: Any) -> Iterator[str]:
    """Return the modules in which functions of a decider are written."""
    if isinstance(value, partial):
        yield from homes(value.func)
    elif callable(value):
        yield value.__module__


@pytest.mark.parametrize("name", SERVICES)
def test_every_module_that_a_core_imports_is_held_to_be_pure(name: str) -> None:
    package = f"perdure_{name}"
    service = importlib.import_module(f"{package}.{WIRING}").service
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    waiting = {
        module
        for decider in service.deciders
        for each in fields(decider)
        for module in homes(getattr(decider, each.name))
        if module.startswith(f"{package}.")
    }
    assert len(waiting) > 1
    core = set[str]()
    while waiting:
        module = waiting.pop()
        if module not in core and module not in (package, f"{package}.{WIRING}"):
            core.add(module)
            waiting |= graph.find_modules_directly_imported_by(module)
    pure = named()
    missing = sorted(m for m in core if not any(f"{m}.".startswith(f"{p}.") for p in pure))
    assert not missing, f"name them in pyproject.toml, or do without them: {missing}"
