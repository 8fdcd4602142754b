"""Families: failures whose messages are alike though their signatures differ.

A Drain tree (the library drain3; similarity .7, depth 5) links the messages. What it says
depends on the order in which it is told, so nothing of it is kept: it is grown again from
patterns in the order of their signatures whenever it is asked, and the same patterns in any
order give the same families. Families are for people to read, and for one thing more: a
failure that no rule knows takes the type of its family, if all of that are of one type.
Patterns that got their own type in this way are not asked, so that a guess begets no guess.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from drain3.drain import Drain
from perdure_common.decider import Facts, Lookup
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.patterns import FailureType

from .classification_classes import ROOT_CAUSE
from .classify import Classification, classify
from .signature import error_message

SIMILARITY: Final = 0.7
"""Share of words at the same places that two messages of a family have in common."""
DEPTH: Final = 5
"""Levels of the tree: root, number of words, two words, leaf."""
WORDS_OF_BRANCH: Final = 2
"""Words that choose the branch: what `DEPTH` leaves of them."""
BRANCH_MAX: Final = 120
"""Longest name of a branch, in code points."""
NEIGHBOURS_MAX: Final = 200
"""Most patterns of a branch that are looked at, the most frequent first."""
RULE_ID: Final = "family"

NEIGHBOUR_COLUMNS = ("pattern_signature", "error_message", "failure_type", "occurrence_count")


@dataclass(frozen=True, slots=True)
class Family:
    """Patterns that are alike: what their messages have in common, and their signatures."""

    template: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The patterns of the family that gave a type: how many, and how often they occurred."""

    failure_type: FailureType
    template: str
    patterns: int
    occurrences: int


def branch(message: str) -> str:
    """Return the branch of the tree that a masked message lies in.

    Two messages of one family have the same branch, whatever else was heard: it is how many
    words there are, and the first ones, with `<*>` for words that hold a digit.
    """
    words = message.split()
    first = words[: min(WORDS_OF_BRANCH, max(len(words) - 1, 0))]
    named = ["<*>" if _has_digit(word) else word for word in first]
    return " ".join([str(len(words)), *named])[:BRANCH_MAX]


def families(messages: Mapping[str, str]) -> tuple[Family, ...]:
    """Return the families of masked messages by signature, the largest first."""
    drain, placed = _grown(messages)
    members: dict[int, list[str]] = {}
    for signature, cluster in placed.items():
        members.setdefault(cluster, []).append(signature)
    found = [
        Family(drain.id_to_cluster[cluster].get_template(), tuple(names))
        for cluster, names in members.items()
    ]
    return tuple(sorted(found, key=lambda each: (-len(each.members), each.template)))


def neighbours_of(message: str, patterns: Iterable[Mapping[str, Any]]) -> Neighbours | None:
    """Return the family that a masked message belongs to, None if it has none of one mind.

    `patterns` are rows with `NEIGHBOUR_COLUMNS` that a rule or an author has typed.
    """
    typed = [row for row in patterns if row["failure_type"] != "unknown"]
    by_count = sorted(typed, key=lambda p: (-p["occurrence_count"], p["pattern_signature"]))
    near = {row["pattern_signature"]: row for row in by_count[:NEIGHBOURS_MAX]}
    drain, placed = _grown({name: row["error_message"] for name, row in near.items()})
    words = message.split()
    found = drain.tree_search(drain.root_node, words, SIMILARITY, False) if words else None
    if found is None:
        return None
    members = [near[name] for name, cluster in placed.items() if cluster == found.cluster_id]
    types = {row["failure_type"] for row in members}
    if len(types) != 1:
        return None
    return Neighbours(
        failure_type=cast("FailureType", types.pop()),
        template=found.get_template(),
        patterns=len(members),
        occurrences=sum(row["occurrence_count"] for row in members),
    )


def neighbour_lookups(
    workspace_id: str, error: ErrorFacts, known: FailureType
) -> Mapping[str, Lookup]:
    """Return what must be looked up for a failure: nothing, if a rule has `known` its type."""
    if known != "unknown":
        return {}
    where = {
        "workspace_id": workspace_id,
        "family_branch": branch(error_message(error)),
        "pattern_source": ("rule", "override"),
    }
    return {"neighbours": Lookup("failure_patterns", where, NEIGHBOUR_COLUMNS)}


def recognised(
    error: ErrorFacts, facts: Facts, override: FailureType | None = None
) -> tuple[Classification, Mapping[str, Any]]:
    """Return the kind of a failure, and what to keep of the neighbours that gave it.

    `override` is what the node's author says it is.
    """
    kind = classify(error, override)
    near = facts.get("neighbours", ()) if kind.failure_type == "unknown" else ()
    found = neighbours_of(error_message(error), near) if near else None
    if found is None:
        return kind, {}
    typed = replace(
        kind,
        failure_type=found.failure_type,
        rule_id=RULE_ID,
        root_cause_category=ROOT_CAUSE[found.failure_type],
        source="neighbour",
    )
    return typed, {
        "family": {
            "template": found.template,
            "patterns": found.patterns,
            "occurrences": found.occurrences,
        }
    }


def prior_type(failure_type: FailureType, pattern_source: str) -> FailureType:
    """Return the type whose prior counts: a guess by likeness changes no belief."""
    return "unknown" if pattern_source == "neighbour" else failure_type


def _grown(messages: Mapping[str, str]) -> tuple[Drain, dict[str, int]]:
    """Return a tree grown from messages in the order of their names, and where each one went."""
    drain = Drain(depth=DEPTH, sim_th=SIMILARITY)
    placed: dict[str, int] = {}
    for name in sorted(messages):
        placed[name] = drain.add_log_message(messages[name])[0].cluster_id
    return drain, placed


def _has_digit(word: str) -> bool:
    return any(char.isdigit() for char in word)
