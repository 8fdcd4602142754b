"""Makes a case that differs smaller: fewer nodes, connections, options, items and deeds.

Whatever can be left out is left out as long as the case goes on differing, in halves first, then
one by one. A smaller workflow takes other random numbers, so each candidate is played with several
seeds.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from playing import link, node, workflow
from told_graphs import Case, wrong

Key = TypeVar("Key", bound=Hashable)

SEEDS = 8
"""Seeds of its story with which a candidate is played."""

PLAYS_MAX = 6_000
NEEDED = ("node_id", "node_type", "node_subtype")
TINIEST = workflow([node("n1")], ["t>n1"])
"""What a workflow is called with that does nothing."""

Link = Mapping[str, Any]


def shrunk(case: Case, found: str, differs: Callable[[Case], str] = wrong) -> tuple[Case, str]:
    """Return a case as small as it can be made that differs, and how it does."""
    shrinker = _Shrinker(case, found, differs)
    before: Case | None = None
    while shrinker.case != before and shrinker.plays < PLAYS_MAX:
        before = shrinker.case
        shrinker.round()
    return shrinker.case, shrinker.found


def fewer(keys: Iterable[Key], holds: Callable[[Sequence[Key]], bool]) -> None:
    """Ask which keys can be left out, all first, then in chunks, ever smaller ones."""
    kept = list(keys)
    if not kept or holds([]):
        return
    size = len(kept) // 2
    while size:
        at = 0
        while at < len(kept):
            rest = [*kept[:at], *kept[at + size :]]
            if rest and holds(rest):
                kept = rest
            else:
                at += size
        size //= 2


@dataclass
class _Shrinker:
    case: Case
    found: str
    differs: Callable[[Case], str]
    plays: int = 0

    def round(self) -> None:
        """Try once to leave out each part of the case."""
        base = self.case
        fewer(sorted(base.deeds), lambda kept: self._holds(deeds=frozenset(kept)))
        pins = base.pins or {}
        fewer(pins, lambda kept: self._holds(pins={name: pins[name] for name in kept} or None))
        items = list(base.data)
        fewer(range(len(items)), lambda kept: self._holds(data=[items[at] for at in kept]))
        called = base.called
        fewer(called, lambda kept: self._holds(called=_with_tiniest(called, kept)))
        for change in (_with_nodes, _bridged, _with_plain_nodes, _with_options, _with_links,
                       _with_plain_links):  # fmt: skip
            made, keys = self.case.workflow, _keys(change, self.case.workflow)
            fewer(keys, lambda kept, made=made, change=change: self._workflow(change(made, kept)))

    def _workflow(self, made: dict[str, Any]) -> bool:
        there = {each["node_id"] for each in made["nodes"]}
        pins = {name: pin for name, pin in (self.case.pins or {}).items() if name in there}
        return self._holds(workflow=made, pins=pins or None)

    def _holds(self, **parts: Any) -> bool:
        """Tell whether the case differs with other parts too; then it is the case from now on."""
        candidate = replace(self.case, **parts)
        if not candidate.valid:
            return False
        for seed in (candidate.seed, *range(SEEDS)):
            if self.plays >= PLAYS_MAX:
                return False
            self.plays += 1
            played = replace(candidate, seed=seed)
            if found := self.differs(played):
                self.case, self.found = played, found
                return True
        return False


# What can be left out ---------------------------------------------------------------------


def _keys(change: Callable[..., Any], made: Mapping[str, Any]) -> list[Any]:
    """Return what a change can leave out."""
    nodes = [each for each in made["nodes"] if each["node_type"] != "TRIGGER"]
    if change in (_with_links, _with_plain_links):
        return list(range(len(made["connections"])))
    if change is _with_options:
        return [
            *((each["node_id"], name) for each in nodes for name in each if name not in NEEDED),
            *(
                (each["node_id"], f".{name}")
                for each in nodes
                for name in each.get("parameters", {})
            ),
            *(("", name) for name in made["settings"]),
        ]
    return [each["node_id"] for each in nodes]


def _with_tiniest(called: Mapping[str, Any], kept: Sequence[str]) -> dict[str, Any]:
    return {name: each if name in kept else TINIEST for name, each in called.items()}


def _with_nodes(made: Mapping[str, Any], kept: Sequence[str]) -> dict[str, Any]:
    """Leave out nodes, and all their connections."""
    nodes = [e for e in made["nodes"] if e["node_type"] == "TRIGGER" or e["node_id"] in kept]
    there = {each["node_id"] for each in nodes}
    links = [each for each in made["connections"] if {_from(each), _to(each)} <= there]
    return {**made, "nodes": nodes, "connections": links}


def _bridged(made: Mapping[str, Any], kept: Sequence[str]) -> dict[str, Any]:
    """Leave out nodes; what led to them leads to what was behind them."""
    links: list[Link] = list(made["connections"])
    for each in made["nodes"]:
        name = each["node_id"]
        if each["node_type"] == "TRIGGER" or name in kept:
            continue
        into = [e for e in links if _to(e) == name and _from(e) != name]
        out = [e for e in links if _from(e) == name and _to(e) != name]
        links = [e for e in links if name not in (_from(e), _to(e))]
        for first in into:
            for second in out:
                bridge = {
                    **first,
                    "target_node_id": _to(second),
                    "target_port": second.get("target_port", "main"),
                }
                if bridge not in links:
                    links.append(bridge)
    return _with_nodes({**made, "connections": links}, kept)


def _with_plain_nodes(made: Mapping[str, Any], kept: Sequence[str]) -> dict[str, Any]:
    """Let nodes be such as only pass on what they get."""
    plain = {e["node_id"] for e in made["nodes"] if e["node_type"] != "TRIGGER"} - set(kept)
    links = [
        link(
            f"{_from(e)}.{'main' if _from(e) in plain else e.get('source_port', 'main')}"
            f">{_to(e)}.{'main' if _to(e) in plain else e.get('target_port', 'main')}",
            e["connection_type"],
            **({"conditions": e["conditions"]} if "conditions" in e else {}),
        )
        for e in made["connections"]
    ]
    unique = [each for at, each in enumerate(links) if each not in links[:at]]
    nodes = [node(e["node_id"]) if e["node_id"] in plain else e for e in made["nodes"]]
    return {**made, "nodes": nodes, "connections": unique}


def _with_options(made: Mapping[str, Any], kept: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Leave out what stands in nodes, their parameters and the settings."""

    def less(each: Mapping[str, Any]) -> dict[str, Any]:
        if each["node_type"] == "TRIGGER":
            return dict(each)
        name = each["node_id"]
        left = {key: v for key, v in each.items() if key in NEEDED or (name, key) in kept}
        if "parameters" in left:
            given = each["parameters"].items()
            left["parameters"] = {key: v for key, v in given if (name, f".{key}") in kept}
        return left

    settings = {name: value for name, value in made["settings"].items() if ("", name) in kept}
    return {**made, "settings": settings, "nodes": [less(each) for each in made["nodes"]]}


def _with_links(made: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    return {**made, "connections": [made["connections"][at] for at in kept]}


def _with_plain_links(made: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """Let connections carry whatever leaves on their ports."""
    links: list[Link] = []
    for at, each in enumerate(made["connections"]):
        ends = f"{_from(each)}.{each.get('source_port', 'main')}>{_to(each)}.{each['target_port']}"
        plain = each if at in kept else link(ends)
        if plain not in links:
            links.append(plain)
    return {**made, "connections": links}


def _from(each: Link) -> str:
    return str(each["source_node_id"])


def _to(each: Link) -> str:
    return str(each["target_node_id"])
