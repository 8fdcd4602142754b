"""Random workflows with all that others may say and do, compared with the specification."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import yaml
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
from perdure_engine.executions.state import is_open
from playing import EXECUTION_ID, Play, validated
from random_pins import pins_for
from random_story import AGAIN, DEEDS, Story
from random_workflows import data, definition
from specification import Endless, Scope, World, evaluate
from specification.words import number

ENDS = (ExecutionCompleted, ExecutionFailed, ExecutionCanceled)


@dataclass(frozen=True)
class Case:
    """A workflow and those that it calls, its pins and its data, and how the story goes.

    Of `deeds` (random_story.py) those that may happen do as the random numbers of `seed` say.
    """

    workflow: Mapping[str, Any]
    called: Mapping[str, Mapping[str, Any]]
    pins: Mapping[str, Any] | None
    data: list[dict[str, Any]]
    seed: int
    deeds: frozenset[str] = frozenset(DEEDS)

    @property
    def pinned(self) -> Mapping[str, Any]:
        """The workflow with its pins in it."""
        return {**self.workflow, "pin_data": self.pins} if self.pins else self.workflow

    @property
    def valid(self) -> bool:
        """Tell whether the engine takes its workflow with its pins, and all that are called."""
        if validated(self.pinned).workflow is None:
            return False
        waiting, seen = [self.workflow], list[str]()
        while waiting:
            made = waiting.pop()
            if validated(made).workflow is None:
                return False
            names = [e["parameters"].get("workflow") for e in made["nodes"] if "parameters" in e]
            names = [name for name in names if name in self.called and name not in seen]
            seen += names
            waiting += [self.called[name] for name in names]
        return True

    def told(self, found: str) -> str:
        """Return the case as a document of a workflow, with what is wrong as its comment."""
        comments = [
            *found.splitlines(),
            f"data: {json.dumps(self.data)}",
            f"seed of the story: {self.seed}, with {', '.join(sorted(self.deeds)) or 'no deeds'}",
            *(f"called as {name}: {json.dumps(each)}" for name, each in self.called.items()),
        ]
        whole = json.loads(json.dumps(self.pinned))
        text = yaml.safe_dump(whole, sort_keys=False, width=100)
        return "".join(f"# {line}\n" for line in comments) + text


def case_of(seed: int) -> Case:
    """Return the case of a seed; the engine may refuse its workflows."""
    random = Random(seed)
    called = {"tiny": definition(random, loops=False, lists=True, calls=())}
    called["small"] = definition(random, races=True, lists=True, calls=("tiny",))
    made = definition(random, races=True, lists=True, calls=("small", "tiny"))
    return Case(made, called, pins_for(random, made), data(random, wide=True), seed)


def fails(node_id: str, scope: Scope, json: dict[str, Any]) -> str | None:
    """Say how the runner fails an item for good: every sixth, by its number."""
    del scope
    return "lasting" if number(json) % 6 == int(node_id[1:]) % 6 else None


def wrong(case: Case, seen: Counter[str] | None = None) -> str:
    """Play a case with all that may happen; return how it differs from what it means.

    Empty where it does not, or is not worth comparing. What the engine may not do at all (an event
    of a kind of its own, an answer that is taken twice, no end) is told as well.
    """
    if not case.valid:
        return ""
    seen = Counter() if seen is None else seen
    story = Story(case.workflow, case.called, fails, Random(case.seed), seen, allowed=case.deeds)
    try:
        evaluate(
            case.workflow, case.data, World(fails, pins=case.pins or {}, workflows=case.called)
        )
        story.play(case.data, case.pins)
        found = [
            different
            for each in story.plays.values()
            if (different := differing(story, each, case.data))
        ]
    except Endless:
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    note(story)
    seen["mocked"] += any("fail" in pin for pin in (case.pins or {}).values())
    seen["pinned"] += case.pins is not None
    return found[0] if found else ""


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
        ran = {run.node_id for run in play.state.runs.values() if run.status == "SUCCESS"}
        seen.update(play.workflow.by_id[node_id].node_subtype for node_id in ran)
    seen["children"] += sum(each not in (EXECUTION_ID, AGAIN) for each in story.plays)
