"""A child that is asked for again, because its parent has forgotten its end. Pure.

A parent asks once, and messages are heard once; only a restore from a backup makes it ask again.
"""

from collections.abc import Callable
from typing import Any

from perdure_common.decider import Facts, Rejected
from perdure_contracts.files import FilesByItem, FilesReferred
from perdure_contracts.flow import ChildAccepted, ChildEndTold, ChildRefused, StartChild
from perdure_contracts.message import Json

from .children import accept
from .ending import result_of
from .queueing import admission_of
from .state import Execution, is_open
from .version_of import pinned


def asked_for(
    state: Execution,
    command: StartChild,
    facts: Facts,
    at: str,
    happen: Callable[[ChildAccepted | ChildRefused | ChildEndTold | FilesReferred], Execution],
) -> Rejected | None:
    """Let a child be accepted that its parent asks for, or answer one that asks again."""
    if state.execution_id:
        return told_again(state, command, facts, happen)
    accept(command, facts, at, happen)
    return None


def told_again(
    state: Execution,
    command: StartChild,
    facts: Facts,
    happen: Callable[[ChildEndTold], Execution],
) -> Rejected | None:
    """Let a child that has ended tell its end again; one that goes on will tell it."""
    parent = None if state.flow is None else state.flow.parent
    ended = not is_open(state) and state.status != "NEW" and admission_of(state) is None
    if parent is None or not parent.wait or not ended or parent.wait_id != command.wait_id:
        return Rejected(f"child execution {command.execution_id!r} is there already", "duplicate")
    status: Any = state.status
    result: Json = None
    cut = False
    files: FilesByItem | None = None
    if state.status == "SUCCESS":
        workflow = pinned(state, facts)
        if isinstance(workflow, Rejected):
            return workflow
        result, cut, files = result_of(state, workflow)
    happen(
        ChildEndTold(
            execution_id=state.execution_id,
            status=status,
            result=result,
            result_cut=cut,
            files=files,
        )
    )
    return None
