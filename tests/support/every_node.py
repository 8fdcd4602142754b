"""An execution for each kind of trigger, which together run a node of every subtype.

They are the histories `every-<trigger>`. One that is released is never written again; a subtype
that is newer is put into a history of its own (`write`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from perdure_contracts.asking import NoteAnswer
from perdure_contracts.flow import NoteChildEnd, SignalExecution
from perdure_contracts.message import NAMES
from perdure_engine.nodes.base import NodeSpecification
from perdure_engine.nodes.registry import SPECIFICATIONS
from playing import EXECUTION_ID, Play

HISTORIES = Path(__file__).parents[1] / "histories" / "engine" / "execution"
ITEM = {
    "n": 1, "list": [1, 2], "text": "a,b\n1,2\n", "json": '{"a": 1}', "name": "Ada",
    "day": "2026-01-01T00:00:00Z",
}  # fmt: skip
FITTING: dict[str, dict[str, Any]] = {
    "IF": {"condition": "{{ $json.n > 0 }}"},
    "FILTER": {"condition": "{{ $json.n > 0 }}"},
    "SWITCH": {"rules": [{"name": "one", "condition": "{{ $json.n === 1 }}"}]},
    "SPLIT_OUT": {"field": "list"},
    "WAIT": {"event": {"name": "paid"}},
    "LOOP": {},
    "FOREACH": {},
    "JSON": {"operation": "parse", "value": "{{ $json.json }}"},
    "CSV": {"operation": "parse", "value": "{{ $json.text }}"},
    "CRYPTO": {"operation": "hash", "value": "{{ $json.text }}"},
    "SUB_WORKFLOW": {"workflow": "another"},
}
"""Parameters with which a node makes something of the item, where those of its example do not."""


ELSEWHERE = ("STOP_AND_ERROR", "STATIC_DATA")
"""What other histories have: it ends the execution for all, or needs another stream."""


def runs(specification: NodeSpecification) -> bool:
    """Return whether a subtype has runs of its own: what an agent has, has none."""
    return specification.place != "attached"


def groups() -> Iterator[tuple[NodeSpecification, list[NodeSpecification]]]:
    """Return each trigger with its share of all other subtypes."""
    triggers = [each for each in SPECIFICATIONS if each.place == "trigger"]
    others = [
        each
        for each in SPECIFICATIONS
        if runs(each) and each not in triggers and each.subtype not in ELSEWHERE
    ]
    for at, trigger in enumerate(triggers):
        yield trigger, others[at :: len(triggers)]


def workflow_of(trigger: NodeSpecification, others: list[NodeSpecification]) -> dict[str, Any]:
    """Return the workflow in which the trigger leads to each node; what fails goes on."""
    nodes: list[Any] = [_node("t", trigger)]
    connections: list[Any] = []
    for each in others:
        name = each.subtype.lower()
        made = _node(name, each)
        if each.node_type != "HUMAN_IN_THE_LOOP":
            made["error_handling"] = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
        nodes.append(made)
        ports = ("input1", "input2") if each.numbered else ("main",)
        connections += [
            {"source_node_id": "t", "target_node_id": name, "target_port": port} for port in ports
        ]
    return {
        "name": "every node", "nodes": nodes, "connections": connections,
        "settings": {"recovery": "off"},
    }  # fmt: skip


def _node(name: str, specification: NodeSpecification) -> dict[str, Any]:
    return {
        "node_id": name,
        "node_type": specification.node_type,
        "node_subtype": specification.subtype,
        "parameters": FITTING.get(specification.subtype, dict(specification.example)),
    }


def played(trigger: NodeSpecification, others: list[NodeSpecification]) -> Play:
    """Play it to its end: runners, people, memory and children answer, the event comes."""
    play = Play(workflow_of(trigger, others), snapshots=False).start(ITEM)
    for _ in range(100):
        if play.state.status == "NEW":
            play.wake()
        open_runs = [play.state.runs[place] for place in play.state.open]
        if not open_runs:
            return play
        flow = play.state.flow
        waits = {} if flow is None else flow.waits
        asking = [run for run in open_runs if run.dispatch is not None and run.dispatch.token]
        if asking:
            play.answer(asking[0].node_id, {"answer": 1})
            continue
        waiting = next(iter(waits.values()))
        if waiting.kind == "event":
            signal = SignalExecution(
                execution_id=EXECUTION_ID, name="paid", signal_id="s", payload={"paid": True}
            )
            play.give(signal)
        elif waiting.kind == "child":
            play.give(NoteChildEnd(execution_id=EXECUTION_ID, wait_id=waiting.wait_id,
                                   child_execution_id=waiting.child, status="SUCCESS",
                                   result=[{"n": 2}]))  # fmt: skip
        else:
            kind: Any = {"person": "hil", "memory": "memory"}.get(waiting.kind, "engine")
            ports = {"hil": "approved", "memory": "main", "engine": "main"}
            run = next(run for run in open_runs if waits.get(_place(play, run)) is waiting)
            port = ports[kind]
            outputs = play.workflow.by_id[run.node_id].outputs
            play.give(
                NoteAnswer(execution_id=EXECUTION_ID, wait_id=waiting.wait_id, service=kind,
                           outcome="answered", port=port if port in outputs else outputs[0],
                           detail={"data": {}, "number": 1})
            )  # fmt: skip
    raise AssertionError(f"it does not end: {play.statuses()}")


def _place(play: Play, run: Any) -> str:
    return next(place for place, each in play.state.runs.items() if each is run)


def write(play: Play, name: str) -> None:
    """Write the events of a play, and the state that they make, as a history."""
    rows = [
        msgspec.json.encode({"type": NAMES[type(each)], "data": each}).decode()
        for each in play.events
    ]
    (HISTORIES / f"{name}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    state = msgspec.json.encode(play.state).decode()
    (HISTORIES / f"{name}.state").write_text(f"{state}\n", encoding="utf-8")
