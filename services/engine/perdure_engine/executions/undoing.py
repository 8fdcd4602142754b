"""Undoing what a node did: the compensation that it declares, as one more attempt of its run. Pure.

Recovery asks for it by an override. What is undone is what may have happened: items whose effect is
done or in doubt and, where the node's failure ends the execution, those that had succeeded. The
attempt's answer completes nothing: the node is given up with the errors that it had.
"""

from dataclasses import replace

from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json
from perdure_contracts.undoing import COMPENSATE, IN_DOUBT, UNDO_STAGE, NodeCompensated

from perdure_engine.definition import Node, Workflow

from .finishing import stops
from .progress import Progress
from .state import Dispatch, Execution, Run, place_of


def undoable(workflow: Workflow, node: Node, known: Dispatch) -> tuple[int, ...]:
    """Return the items of a run about which there is something to undo, by index."""
    mending = node.specification.mending
    undo = None if mending is None else mending.undo
    if undo is None:
        return ()
    places = {each for each, error in known.failed.items() if error.effect_state in IN_DOUBT}
    if stops(workflow, node):
        places.update(known.done)
    sets = known.parameters
    return tuple(
        sorted(int(each) for each in places if each in sets and undo(sets[each]) is not None)
    )


def asks_to_undo(known: Dispatch) -> bool:
    """Tell whether the next attempt of a run is to undo what the others did.

    Once that has begun it goes on, whatever else is said: what the run holds to be sent by then is
    the compensation, and its answer is nobody's output.
    """
    return known.undoes or (known.overrides is not None and COMPENSATE in known.overrides)


def overrides_of(known: Dispatch) -> Json:
    """Return what the next attempt of a run changes."""
    if not asks_to_undo(known):
        return known.overrides
    changed: dict[str, Json] = {**(known.overrides or {}), COMPENSATE: True}
    return changed


def note_undone(progress: Progress, run: Run, known: Dispatch) -> None:
    """Record that the compensation was carried out."""
    progress.record(
        NodeCompensated(
            execution_id=progress.state.execution_id,
            node_id=run.node_id,
            scope=run.scope,
            run=run.run,
            attempt=run.attempt,
            token=known.token,
            failure_id=known.failure_id,
            indexes=known.indexes,
            compensated_at=progress.at,
        )
    )


def told_as(error: ErrorFacts) -> ErrorFacts:
    """Return a failure of the compensation as recovery and people are told of it."""
    return replace(error, stage=UNDO_STAGE, message=f"the compensation failed: {error.message}")


def compensated(state: Execution, event: NodeCompensated) -> None:
    """Remember that a node's effects are undone: a later run makes others (evolve's arm)."""
    place = place_of(event.node_id, event.scope)
    before = state.undone or {}
    state.undone = {**before, place: before.get(place, 0) + 1}
