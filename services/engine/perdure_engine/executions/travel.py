"""An execution as it stood at a version of its stream, as data, and what lies between two. Pure.

For people who look back: the statuses of node runs, which edges were resolved and how, the
items, and what was waited for.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from perdure_engine.definition import Workflow

from .state import Execution, Live, Run
from .why import why

Seen: TypeAlias = dict[str, Any]
"""An execution as it stood, as JSON."""

ITEMS_SHOWN = 20
"""Items of one port that are shown unless more are asked for; all of them are counted."""


def seen(state: Execution, workflow: Workflow, items_shown: int = ITEMS_SHOWN) -> Seen:
    """Return an execution as it stands, as JSON.

    `runs` are keyed by place (`region.0@node`), `edges` by index and scope in the same way;
    an edge that is not there is not resolved.
    """
    return {
        "execution_id": state.execution_id,
        "workflow_id": state.workflow_id,
        "workflow_version": state.workflow_version,
        "status": state.status,
        "steps": state.steps,
        "steps_total": state.steps_total,
        "runs": {place: _run(run, items_shown) for place, run in state.runs.items()},
        "edges": _edges(state, workflow),
        "ready": list(state.ready),
        "loops": {
            place: {"iterations": rounds.begun, "open": sorted(rounds.pending)}
            for place, rounds in state.rounds.items()
        },
        "waits_for": [
            {"waits_for": each.waits_for, "node_id": each.node_id, "until": _text(each.until)}
            for each in why(state, workflow)
        ],
    }


def _text(instant: Any) -> str | None:
    return None if instant is None else instant.isoformat()


def _run(run: Run, items_shown: int) -> Seen:
    return {
        "node_id": run.node_id,
        "scope": [list(each) for each in run.scope],
        "run": run.run,
        "status": run.status,
        "attempt": run.attempt,
        "ports": {
            port: {"count": len(items), "items": [item["json"] for item in items[:items_shown]]}
            for port, items in run.ports.items()
        },
    }


def _edges(state: Execution, workflow: Workflow) -> dict[str, Seen]:
    """Return the resolved edges, in the order in which they were resolved."""
    found: dict[str, Seen] = {}
    for key, live in state.edges.items():
        path, _, index = key.rpartition("@")
        edge = workflow.edges[int(index)]
        found[key] = {
            "source": workflow.nodes[edge.source].node_id,
            "source_port": edge.source_port,
            "target": workflow.nodes[edge.target].node_id,
            "target_port": edge.target_port,
            "scope": path,
            "state": "DEAD" if live is None else "LIVE",
            "items": 0 if live is None else _count(state, live),
        }
    return found


def _count(state: Execution, live: Live) -> int:
    count = 0
    for part in live.flat():
        if part.picks is not None:
            count += len(part.picks)
        elif part.source in state.runs:
            count += len(state.runs[part.source].ports.get(part.port, ()))
    return count


# What lies between ------------------------------------------------------------------------


def difference(before: Seen, after: Seen) -> Seen:
    """Return what is different in `after`: new and changed runs and edges, and the status."""
    fields = ("status", "steps", "ready", "loops", "waits_for")
    return {
        "execution_id": after["execution_id"],
        "fields": {
            name: {"before": before[name], "after": after[name]}
            for name in fields
            if before[name] != after[name]
        },
        "runs": dict(
            _changed(before["runs"], after["runs"], ("run", "status", "attempt", "ports"))
        ),
        "edges": dict(_changed(before["edges"], after["edges"], ("state", "items"))),
    }


def _changed(
    before: Mapping[str, Seen], after: Mapping[str, Seen], fields: Sequence[str]
) -> Iterable[tuple[str, Seen]]:
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            yield key, {"before": old, "after": new}
            continue
        which = [name for name in fields if old[name] != new[name]]
        if which:
            yield (
                key,
                {
                    "before": {name: old[name] for name in which},
                    "after": {name: new[name] for name in which},
                },
            )
