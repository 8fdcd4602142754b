"""Models are kept by their hashes while there is room; keeping one does not look at the others."""

from dataclasses import dataclass
from typing import cast

import pytest
from perdure_engine.definition import loading
from perdure_engine.definition.loading import Models
from perdure_engine.definition.model import Workflow


@dataclass
class Model:
    """What is kept of a workflow: its hash and its nodes, which it counts the looks at."""

    sha256: str
    size: int = 1
    looks: int = 0

    @property
    def nodes(self) -> range:
        self.looks += 1
        return range(self.size)


def keep(models: Models, *several: Model) -> None:
    for each in several:
        models.keep(cast("Workflow", each))


def held(models: Models, names: str) -> str:
    return "".join(name for name in names if models.get(name) is not None)


def test_those_used_longest_ago_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "NODES_KEPT_MAX", 10)
    models = Models()
    keep(models, Model("a", 4), Model("b", 4))
    assert models.get("a") is not None
    keep(models, Model("c", 4))
    assert held(models, "abc") == "ac"
    keep(models, Model("a", 6), Model("a", 6))
    assert held(models, "abc") == "ac", "a model that comes again takes its room once"
    keep(models, Model("d", 11))
    assert held(models, "abcd") == "d", "one is kept however large it is"
    keep(models, Model("e", 10))
    assert held(models, "de") == "e"


def test_a_model_is_looked_at_when_it_comes_and_goes_and_at_no_other_time() -> None:
    models, several = Models(), [Model(str(n)) for n in range(300)]
    keep(models, *several)
    assert max(each.looks for each in several) <= 2
