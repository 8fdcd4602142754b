"""The engine against the specification: which files each item of each run has."""

import hashlib
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from meaning import NAMED, difference, with_ids
from met_world import winners_of
from perdure_contracts.engine import ExecutionCompleted
from perdure_engine.definition import validate
from perdure_engine.executions.state import wake_at
from playing import Play, failed
from random_workflows import data, definition
from specification import Endless, Scope, World, evaluate

EXECUTIONS = 120
STEPS_MAX = 600


def id_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def ref(file_id: str) -> Any:
    return {"file_id": file_id, "file_name": "a.txt", "mime_type": "text/plain", "size": 3}


def refs(ids: Any) -> Any:
    return {name: ref(file_id) for name, file_id in ids.items()}


def fails(node_id: str, scope: Scope, json: dict[str, Any]) -> str | None:
    """Say how the runner fails an item for good: every sixth, by its number."""
    del scope
    return "lasting" if json["n"] % 6 == int(node_id[1:]) % 6 else None


def makes(node_id: str, item: dict[str, Any]) -> dict[str, str]:
    """Say what files the runner gives an item: none, one of its own, or one beside those it had."""
    made = {"page": id_of(f"{node_id}/{item['n']}")}
    had: dict[str, str] = item.get("files", {})
    ways: list[dict[str, str]] = [{}, made, {**had, **made}]
    return ways[int(item["n"]) % 3]


def given(random: Random) -> list[dict[str, Any]]:
    """Return the data of a trigger event, most of it with a file or two."""
    names = ("data", "more")
    return [
        {**json, "files": {name: id_of(f"{at}/{name}") for name in names[:count]}}
        if (count := random.choice((0, 1, 1, 2)))
        else json
        for at, json in enumerate(data(random))
    ]


def played(made: dict[str, Any], items: list[dict[str, Any]], order: Random) -> Play:
    """Play an execution to its end; `order` chooses what is answered first."""
    bare = [{"n": item["n"]} for item in items]
    files = {str(at): refs(item["files"]) for at, item in enumerate(items) if "files" in item}
    play = Play(made, snapshots=False).start(bare, files=files)
    for _ in range(STEPS_MAX):
        if play.state.status != "RUNNING":
            return play
        places = sorted(play.state.tokens.values())
        if places:
            answer(play, order.choice(places))
        else:
            assert wake_at(play.state) is not None, "it waits for nothing"
            play.wake()
    raise AssertionError("the execution does not end")


def answer(play: Play, place: str) -> None:
    """Answer the attempt under way at a place as the items say, with files."""
    task, scope = play.task(place), play.state.runs[place].scope
    bad = [at for at, json in enumerate(task.items) if fails(task.node_id, scope, json)]
    errors = {at: failed("lasting", retryable=task.attempt < 2) for at in bad}
    result = play.result(place, errors=errors)
    entries: list[Any] = []
    for at, entry in enumerate(result.ports["main"]):
        had = (task.files or {}).get(str(at), {})
        ids = {name: each["file_id"] for name, each in had.items()}
        if entry is not None and (new := makes(task.node_id, {**entry["json"], "files": ids})):
            entry = {**entry, "binary_ref": refs(new)}
        entries.append(entry)
    play.give(replace(result, ports={"main": entries}))


def ended(play: Play) -> Any:
    """Return the event with which an execution ended, its result with the ids of its files."""
    end = play.events[-1]
    if not isinstance(end, ExecutionCompleted):
        return end
    files = end.files or {}
    items = [
        with_ids({"json": json, "binary_ref": files.get(str(at), {})})
        for at, json in enumerate(end.result)
    ]
    return replace(end, result=items)


@pytest.mark.parametrize("races", [False, True])
@pytest.mark.parametrize("loops", [False, True])
def test_an_item_has_the_files_that_the_specification_says(loops: bool, races: bool) -> None:
    compared, seen = list[int](), Counter[str]()
    for seed in range(10 * EXECUTIONS):
        if len(compared) == EXECUTIONS:
            break
        random = Random(f"{seed} {loops} {races}")
        made, items = definition(random, loops=loops, races=races), given(random)
        if validate(made).workflow is None:
            continue
        world = World(fails, makes=makes)
        try:
            meaning = evaluate(made, items, world)
            play = played(made, items, random)
            if races:
                world = World(fails, winners_of(play), makes=makes)
                meaning = evaluate(made, items, world)
        except Endless:
            continue
        compared.append(seed)
        named = () if races else NAMED
        assert difference(play.state, ended(play), meaning, named) == "", (seed, made, items)
        kept = {row["file_id"] for row in play.table("execution_files")}
        subtypes = {node.node_id: node.node_subtype for node in play.workflow.nodes}
        for run in play.state.runs.values():
            for item in (each for port in run.ports.values() for each in port):
                ids = {each["file_id"] for each in item.get("binary_ref", {}).values()}
                assert ids <= kept, (seed, run)
                seen[subtypes[run.node_id]] += bool(ids)
    kinds = {kind for kind, times in seen.items() if times}
    assert len(compared) == EXECUTIONS
    assert {"IF", "SET", "NOOP", "MERGE", "HTTP_REQUEST"} <= kinds, seen
    assert not loops or {"LOOP", "FOREACH"} <= kinds, seen
