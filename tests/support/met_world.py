"""What an execution met, as the specification must be told it: read from its events and deeds.

Of each run only the last word counts: a run that began again was told something again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from perdure_contracts.control import NodeMarked
from perdure_contracts.engine import ExecutionCanceled, NodeCanceled
from perdure_contracts.executions import AttemptFailed, NodeScheduled
from perdure_contracts.flow import WaitBegun, WaitEnded
from playing import Play
from specification import At, Child, Said, Scope, World
from specification.words import Answers

WORDS = NodeScheduled | AttemptFailed | WaitBegun | WaitEnded | NodeMarked | NodeCanceled
"""Events that say what a run met."""


@dataclass
class Deeds:
    """What others have said and done; the engine's events say only to whom."""

    payloads: dict[tuple[str, str], Any] = field(default_factory=dict)
    """What signals carried, by execution and signal."""

    answers: dict[str, Said] = field(default_factory=dict)
    """What people and memory answered, by the wait."""

    marked: dict[tuple[str, str, Scope, int], Any] = field(default_factory=dict)
    healed: set[At] = field(default_factory=set)
    """Runs that a runner does not fail any more."""

    adopted: tuple[str, ...] = ()
    """What the new execution has adopted: nodes, and loops with all that is in them."""

    before: int = 0
    """Events of the old execution before that."""


def winners_of(play: Play) -> dict[At, int]:
    """Return which connection won each race, by its place in the file."""
    return {
        (run.node_id, run.scope): play.workflow.edges[run.inputs[0][0]].place
        for run in play.state.runs.values()
        if run.status == "SUCCESS"
        and run.inputs
        and play.workflow.by_id[run.node_id].position in play.workflow.races.order
    }


def world_of(
    play: Play,
    plays: Mapping[str, Play],
    deeds: Deeds,
    answers_of: Callable[[Play], Answers],
    upto: int | None = None,
) -> World:
    """Return what an execution met, in its first events."""
    said, marks, children = dict[At, Said](), dict[At, Any](), dict[At, Child]()
    lost = dict[At, list[int]]()
    for event in play.events[:upto]:
        if not isinstance(event, WORDS):
            continue
        at = (event.node_id, event.scope)
        if isinstance(event, NodeScheduled | WaitBegun | NodeCanceled):
            for known in (said, marks, children, lost):
                known.pop(at, None)
        elif isinstance(event, AttemptFailed):
            if event.error.type == "timeout":
                lost[at] = [place for place, _ in event.failed]
        elif isinstance(event, NodeMarked):
            marks[at] = deeds.marked[(play.execution_id, *at, event.run)]
        elif event.by == "child":
            child = plays[event.child]
            met = world_of(child, plays, deeds, answers_of)
            children[at] = Child(met, canceled=bool(child.told(ExecutionCanceled)))
        elif (word := _word(play, event, deeds)) is not None:
            said[at] = word
    given = play.state.given
    return World(
        answers_of(play),
        winners=winners_of(play),
        said=said,
        lost=lost,
        marks=marks,
        pins={} if given is None else given.pins,
        children=children,
        workflows=play.others,
    )


def items_of(payload: Any) -> list[Any]:
    """Return what a payload is as items: a list has one each, anything else is one."""
    return cast("list[Any]", payload) if isinstance(payload, list) else [payload]


def _word(play: Play, event: WaitEnded, deeds: Deeds) -> Said | None:
    match event.by:
        case "event" | "webhook":
            return Said("main", items_of(deeds.payloads[play.execution_id, event.signal_id]))
        case "answer":
            return deeds.answers[event.wait_id]
        case "timeout":
            if event.kind in ("memory", "child"):
                return Said(failure="memory_timeout" if event.kind == "memory" else "timeout")
            return Said("timeout")
        case _:
            return None


def unit_of(node_id: str, scope: Scope) -> str:
    """Return what is adopted whole or not at all: the outermost loop, or the node."""
    return scope[0][0] if scope else node_id


def with_adopted(world: World, old: World, first: Play, deeds: Deeds) -> World:
    """Return the world of an execution that adopted runs: what these met, else its own."""

    def both(ours: Mapping[At, Any], theirs: Mapping[At, Any]) -> dict[At, Any]:
        taken = {at: each for at, each in theirs.items() if unit_of(*at) in deeds.adopted}
        return {**ours, **taken}

    runs = first.state.runs.values()
    pinned = {run.node_id for run in runs if unit_of(run.node_id, run.scope) in deeds.adopted}
    return World(
        world.answers,
        winners=both(world.winners, old.winners),
        said=both(world.said, old.said),
        lost=both(world.lost, old.lost),
        marks=both(world.marks, old.marks),
        pins={node_id: pin for node_id, pin in old.pins.items() if node_id in pinned},
        children=both(world.children, old.children),
        workflows=world.workflows,
    )
