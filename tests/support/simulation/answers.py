"""Answers of people and memory that took effect: each of them was given, to that question."""

from perdure_common.shell import codec
from perdure_contracts.engine import NodeCompleted, NodeErrored, Scope
from perdure_contracts.flow import WaitEnded
from perdure_contracts.message import NAMES

from simulation.others import Others
from simulation.stage import Stage


def count(stage: Stage, others: Others, *, at_rest: bool) -> int:
    """Check the answers that the journal has; return how many there are.

    At rest people have heard of every question that nobody wants an answer to any more.
    """
    found = 0
    for stream, rows in stage.databases["engine"].store.streams.items():
        answered: dict[tuple[str, Scope], str] = {}
        for row in rows:
            if row.type == NAMES[WaitEnded]:
                ended: WaitEnded = codec.event_of(row)
                if ended.by == "answer" and ended.kind in ("person", "memory"):
                    answered[ended.node_id, ended.scope] = ended.wait_id
                    found += 1
                unwanted = ended.kind == "person" and ended.by != "answer"
                if at_rest and unwanted and ended.wait_id not in others.withdrawn:
                    text = f"{stream} {ended.node_id} waits no more, and people do not know"
                    stage.watch.breaks("answer", text)
            elif row.type in (NAMES[NodeCompleted], NAMES[NodeErrored]):
                event: NodeCompleted | NodeErrored = codec.event_of(row)
                wait_id = answered.pop((event.node_id, event.scope), None)
                if wait_id is not None and not _given(others, wait_id, event):
                    text = f"{stream} {event.node_id} ended by an answer that nobody gave"
                    stage.watch.breaks("answer", text)
    return found


def _given(others: Others, wait_id: str, event: NodeCompleted | NodeErrored) -> bool:
    """Tell whether one of the answers to a question makes a run end like this."""
    for answer in others.given.get(wait_id, ()):
        if answer.outcome == "failed":
            if isinstance(event, NodeErrored) or event.error_data is not None:
                return True
        elif isinstance(event, NodeCompleted) and answer.port in event.ports:
            return True
    return False
