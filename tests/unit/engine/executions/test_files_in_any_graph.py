"""In random workflows a file stays with the item that it came with, wherever that goes.

Each item of the trigger has the name of its file in its data. Wherever that name came along, the
file must have too.
"""

import hashlib
from collections import Counter
from itertools import count
from random import Random
from typing import Any

from perdure_contracts.engine import NodeResult
from perdure_engine.definition import validate
from perdure_engine.executions.state import is_open, wake_at
from playing import Play
from random_workflows import data, definition

EXECUTIONS = 250


def id_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def file_of(name: str) -> Any:
    return {"file_id": id_of(name), "file_name": name, "mime_type": "text/plain", "size": 1}


def answer(done: Play, node_id: str) -> NodeResult:
    """Return the answer of a runner that gives each item as it came, with its files."""
    task = done.task(node_id)
    files = task.files or {}
    made = [
        {"json": json, **({"binary_ref": files[str(at)]} if str(at) in files else {})}
        for at, json in enumerate(task.items)
    ]
    return NodeResult(
        execution_id=task.execution_id,
        token=task.token,
        outcome="completed",
        ports={"main": made},
    )


def played(seed: int) -> Play | None:
    """Play a random workflow to its end, None where its definition is refused."""
    random = Random(seed)
    made = definition(random, loops=True, races=seed % 2 == 0)
    items = data(random)
    if validate(made).workflow is None:
        return None
    marked = [{**json, "file": f"f{at}"} for at, json in enumerate(items)]
    files = {str(at): {"data": file_of(f"f{at}")} for at in range(len(items))}
    done = Play(made, snapshots=False).start(marked, files=files)
    for _ in range(2_000):
        if not is_open(done.state):
            return done
        places = sorted(done.state.tokens.values())
        if places:
            place = random.choice(places)
            done.give(answer(done, place))
        elif wake_at(done.state) is not None:
            done.wake()
        else:
            raise AssertionError("it waits for nothing")
    raise AssertionError("it does not end")


def test_a_file_goes_wherever_the_data_goes_that_it_came_with() -> None:
    seeds, seen = count(), Counter[str]()
    for _ in range(EXECUTIONS):
        while (done := played(seed := next(seeds))) is None:
            continue
        nodes = {node.node_id: node.node_subtype for node in done.workflow.nodes}
        for place, run in done.state.runs.items():
            for port, items in run.ports.items():
                for item in items:
                    ids = {ref["file_id"] for ref in item.get("binary_ref", {}).values()}
                    json: Any = item["json"]
                    mark: Any = json.get("file")
                    assert mark is None or id_of(mark) in ids, (seed, place, port, item)
                    seen[nodes[run.node_id]] += bool(ids)
    kinds = {kind for kind, times in seen.items() if times}
    assert {"IF", "FOREACH", "LOOP", "MERGE", "SET", "HTTP_REQUEST", "RACE"} <= kinds, seen
