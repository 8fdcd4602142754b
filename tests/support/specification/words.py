"""The vocabulary of the specification: scopes, items, meanings, and the world that is given."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Scope: TypeAlias = tuple[tuple[str, int], ...]
At: TypeAlias = tuple[str, Scope]
"""A node's run: the node and the scope."""

Item: TypeAlias = dict[str, Any]
Items: TypeAlias = list[Item]
Ports: TypeAlias = dict[str, Items]
Value: TypeAlias = Items | None
"""What an edge carries once it is resolved: items, or None where it is DEAD."""

Asked: TypeAlias = Callable[[dict[str, Any]], Any]
Answers: TypeAlias = Callable[[str, Scope, dict[str, Any]], str | None]
"""The type of the error with which a runner fails an item for good, None if it does not."""

Makes: TypeAlias = Callable[[str, dict[str, Any]], Mapping[str, str]]
"""The files, by name, that a runner gives an item which it was given."""


def no_files(node_id: str, item: dict[str, Any]) -> Mapping[str, str]:
    """Return none: what answers with something of its own carries no files on."""
    del node_id, item
    return {}


def number(json: Item) -> int:
    """Return an item's number; one that has none counts as 0, as null does in JavaScript."""
    return int(json.get("n") or 0)


CONDITIONS: Mapping[str, Asked] = {
    "{{ $json.n % 2 == 0 }}": lambda json: number(json) % 2 == 0,
    "{{ $json.n % 2 == 1 }}": lambda json: number(json) % 2 == 1,
    "{{ $json.n > 1 }}": lambda json: number(json) > 1,
    "{{ $json.n < 4 }}": lambda json: number(json) < 4,
    "{{ $json.n < 9 }}": lambda json: number(json) < 9,
    "{{ $json.n == 5 ? 'yes' : true }}": lambda json: "yes" if json.get("n") == 5 else True,
}
"""The conditions that may stand in a definition to be evaluated, and what they mean."""

VALUES: Mapping[str, Asked] = {
    "{{ $json.n + 1 }}": lambda json: number(json) + 1,
    "{{ $json.n % 3 }}": lambda json: number(json) % 3,
}
"""The values that a SET may give a field, and what they are."""

STOP, REGULAR = "STOP_WORKFLOW_ON_ERROR", "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
ROUNDS_MAX = 300
"""Scopes that one evaluation may have; more are not worth comparing."""

ITEMS_MAX = 200
"""Items that one run may have; cycles that double them each round have soon more."""


class Stopped(Exception):
    """A run failed in a way that stops the execution, or the FOREACH iteration around it.

    `errors` has its kind and node, and those of whatever might have failed before it: of several
    failures beside each other the first one counts, and which that is the world decides.
    """

    def __init__(self, *errors: tuple[str, str]) -> None:
        super().__init__(", or ".join(f"{kind} at {node_id}" for kind, node_id in errors))
        self.errors = errors


class Endless(Exception):
    """The workflow would go round for too long to be worth comparing."""


@dataclass(frozen=True)
class Said:
    """What a run that waited was told: it leaves on `port`, or fails with an error of a type.

    Without `items` those that arrived leave; `told` is what an answer of people adds to each.
    """

    port: str = "main"
    items: Items | None = None
    failure: str = ""
    told: Mapping[str, Any] | None = None


@dataclass
class World:
    """What is not in the workflow: each of these is given, and has consequences.

    `winners` has which connection won a race, by its place in the file. `said` is what runs were
    told that waited. `marks` are runs that people settled: with what they emit, None: skipped; a
    port alone is that of what arrived. `children` are the worlds of child executions. `makes` says
    what files a runner gives the items of its answer; an item that has files has them in `files`,
    and they go wherever it goes.
    """

    answers: Answers
    winners: Mapping[At, int] = field(default_factory=dict[At, int])
    said: Mapping[At, Said] = field(default_factory=dict[At, Said])
    lost: Mapping[At, Collection[int]] = field(default_factory=dict[At, Any])
    """Items, by their places, that nothing was heard of in time, however often they were tried."""
    marks: Mapping[At, "Ports | str | None"] = field(default_factory=dict[At, Any])
    pins: Mapping[str, Any] = field(default_factory=dict[str, Any])
    children: Mapping[At, "Child"] = field(default_factory=dict[At, "Child"])
    workflows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Any])
    """What can be called, by name."""
    makes: Makes = no_files

    def made(self, node_id: str, item: dict[str, Any]) -> dict[str, Any]:
        """Return an item as a runner gives it back: with the files that it made, and no others."""
        files = self.makes(node_id, item)
        bare = {name: value for name, value in item.items() if name != "files"}
        return {**bare, "files": dict(files)} if files else bare


@dataclass
class Child:
    """The world of a child execution, and whether somebody stopped it before its end."""

    world: World
    canceled: bool = False


@dataclass
class Meaning:
    """How an execution ends, and what each run in each scope emitted (None: it was SKIPPED)."""

    status: str = "SUCCESS"
    stopped: Stopped | None = None
    runs: dict[At, Ports | None] = field(default_factory=dict)
    result: Items = field(default_factory=list)
    loose: set[Scope] = field(default_factory=set)
    """Iterations that failed: how far they had got depends on what came first."""
    raced: dict[At, list[str]] = field(default_factory=dict)
    """What runs only for races that were won: it was stopped when the first of them was."""
    wrong: list[str] = field(default_factory=list)
    """What cannot be: races that were won by what cannot win them, ports that there are not."""

    def undecided(self, scope: Scope) -> bool:
        """Tell whether a scope lies in an iteration that failed."""
        return any(scope[: len(each)] == each for each in self.loose)

    def stoppable(self, node_id: str, scope: Scope) -> bool:
        """Tell whether a run belongs to what a race that was won stops."""
        return (node_id, scope) in self.raced or any(
            (region, scope[:depth]) in self.raced for depth, (region, _) in enumerate(scope)
        )


def failed_item(json: Mapping[str, Any], *errors: tuple[str, str]) -> dict[str, Any]:
    """Return a failed item as it leaves, without the text that people read.

    `errors` has the kind and the node of each error that may be the item's; more than one stand in
    `either`.
    """
    either = [{"type": kind, "node": node_id} for kind, node_id in errors]
    return {**json, "error": either[0] if len(either) == 1 else {"either": either}}
