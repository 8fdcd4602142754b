"""Random workflows with all that others may say and do, compared with the specification."""

import json
from collections import Counter
from random import Random
from typing import Any

from meaning import difference, still_running
from met_world import winners_of, with_adopted, world_of
from perdure_contracts.engine import (
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    NodeCanceled,
)
from perdure_contracts.executions import RegionEntered
from perdure_contracts.flow import ChildAccepted, WaitEnded
from perdure_engine.definition import validate
from perdure_engine.executions.state import is_open
from playing import EXECUTION_ID, Play
from random_pins import pins_for
from random_story import AGAIN, Story
from random_workflows import data, definition
from specification import Endless, Scope, World, evaluate

ENDS = (ExecutionCompleted, ExecutionFailed, ExecutionCanceled)


def fails(node_id: str, scope: Scope, json: dict[str, Any]) -> str | None:
    """Say how the runner fails an item for good: every sixth, by its number."""
    del scope
    return "lasting" if json["n"] % 6 == int(node_id[1:]) % 6 else None


def compared(random: Random, seen: Counter[str] | None = None) -> str:
    """Make a workflow, play it with all that may happen, and compare; return what differs."""
    called = {"tiny": definition(random, loops=False, calls=())}
    called["small"] = definition(random, races=True, calls=("tiny",))
    made = definition(random, races=True, calls=("small", "tiny"))
    if any(validate(each).workflow is None for each in (made, *called.values())):
        return ""
    items = data(random)
    pins = pins_for(random, made)
    story = Story(made, called, fails, random, seen=Counter() if seen is None else seen)
    try:
        evaluate(made, items, World(fails, pins=pins or {}, workflows=called))
        story.play(items, pins)
        found = [wrong for each in story.plays.values() if (wrong := differing(story, each, items))]
    except Endless:
        return ""
    note(story)
    story.seen["mocked"] += any("fail" in pin for pin in (pins or {}).values())
    story.seen["pinned"] += pins is not None
    if not found:
        return ""
    told = {"workflow": made, "pins": pins, "called": called, "data": items}
    return f"{found[0]}\nin {json.dumps(told)}"


def differing(story: Story, play: Play, items: Any) -> str:
    """Return how an execution of a story differs from what it means."""
    world = world_of(play, story.plays, story.deeds, story.answers_of)
    given = items
    if play.execution_id == AGAIN:
        first = story.plays[EXECUTION_ID]
        old = world_of(first, story.plays, story.deeds, story.answers_of, story.deeds.before)
        world = with_adopted(world, old, first, story.deeds)
    elif play.execution_id != EXECUTION_ID:
        accepted = play.told(ChildAccepted)
        if not accepted or not play.state.runs:
            return ""  # it was stopped before it began
        given = accepted[0].data
    assert not is_open(play.state), f"{play.execution_id} is {play.state.status}"
    meaning = evaluate(play.definition, given, world)
    end = [each for each in play.events if isinstance(each, ENDS)][-1]
    adopted = play.execution_id == AGAIN  # there a race is over before what led to it is walked
    late = "" if adopted else still_running(play, meaning)
    found = late or difference(play.state, end, meaning, ())
    return f"{play.execution_id}: {found}" if found else ""


def note(story: Story) -> None:
    """Count what the story had in it."""
    seen = story.seen
    for play in story.plays.values():
        seen[play.state.status] += 1
        seen.update(type(event).__name__ for event in play.events)
        seen.update(each.kind for each in play.told(RegionEntered))
        seen.update(f"wait ended by {each.by}" for each in play.told(WaitEnded))
        seen["nested"] += any(len(run.scope) > 1 for run in play.state.runs.values())
        seen["race"] += bool(winners_of(play))
        seen["stopped by a race"] += any(each.raced for each in play.told(NodeCanceled))
    seen["children"] += sum(each not in (EXECUTION_ID, AGAIN) for each in story.plays)
