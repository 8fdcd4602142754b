"""The beginning of an execution: its version is pinned, its trigger emits, and it goes on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias, cast

from perdure_common.decider import Due, Facts, Rejected
from perdure_contracts.admission import ExecutionRefused, GatePassed, NoteSlot
from perdure_contracts.control import AdoptRuns, RunsAdopted
from perdure_contracts.engine import CancelExecution, ExecutionStarted, StartExecution
from perdure_contracts.executions import ExamineExecution, ExecutionCommand, ExecutionEvent
from perdure_contracts.files import FilesByItem
from perdure_contracts.message import Json

from perdure_engine.definition import InvalidDefinition, Node, Workflow, load
from perdure_engine.definition.graph import reached_from
from perdure_engine.definition.pins import pin_faults, pins_of
from perdure_engine.nodes.base import Inputs, Item
from perdure_engine.nodes.errors import Arranged

from .asking import note_left
from .canceling import end_cancel
from .children import canceled_before, cannot_start, start_of
from .ending import end_if_done, new_deadline
from .files import files_of_runs, refer_files, with_files
from .finishing import Ended, complete
from .given_files import files_fault
from .items import as_items
from .overriding import bad_overrides
from .pausing import keep_ready
from .progress import Progress
from .queueing import (
    admission_of,
    begun_error,
    code_of,
    frozen_values,
    gate_asked,
    held_back,
    refused_by_gate,
    stale_slot,
    waited_too_long,
)
from .racing import note_late
from .resuming import make_url
from .running import advance
from .state import Execution, place_of
from .terms import Terms

ID_LENGTH_MAX = 255
"""Characters of an execution's id; it is a key of tables."""

Happen: TypeAlias = Callable[[ExecutionEvent], Execution]


def carry_on(progress: Progress) -> None:
    """Run what is ready, and end the execution if nothing is left; while paused, keep it.

    While it is being cancelled nothing runs.
    An execution that adopts runs of another one begins when all of them have come.
    """
    if progress.state.flow is not None and progress.state.flow.stopping is not None:
        end_cancel(progress)
        return
    given = progress.state.given
    if given is not None and not given.begun:
        if given.parts or progress.state.status != "RUNNING":
            return
        _fire(progress, given.data, given.files)
    if progress.state.status == "RUNNING":
        advance(progress)
    elif progress.state.status == "PAUSED":
        note_late(progress)
        keep_ready(progress)
    end_if_done(progress)
    note_left(progress)


def start(
    state: Execution,
    command: StartExecution,
    facts: Facts,
    now: datetime,
    happen: Happen,
    terms: Terms,
    *,
    accepted: bool = False,
) -> Rejected | None:
    """Let an execution begin, or return why it does not.

    Who starts an execution again is answered with the one that there is: keys may be chosen. With
    `accepted` it is there, and has not begun: a child, or one that waited for its turn.
    """
    if state.execution_id and not accepted:
        return _again(state, command)
    if not 0 < len(command.execution_id) <= ID_LENGTH_MAX or "\0" in command.execution_id:
        return Rejected(
            f"an execution's id must have 1 to {ID_LENGTH_MAX} characters and no NUL",
            "invalid_execution_id",
            dead_letter=True,
        )
    if len(command.parent_execution_id or "") > ID_LENGTH_MAX:
        text = f"the parent's id has more than {ID_LENGTH_MAX} characters"
        return Rejected(text, "invalid_execution_id", dead_letter=True)
    if not isinstance(command.overrides, dict | None):
        text = "overrides must be an object: what is changed, by node"
        return Rejected(text, "invalid_overrides", dead_letter=True)
    found = _version_of(command, facts)
    if isinstance(found, Rejected):
        return found
    workflow, workspace_id = found
    trigger = workflow.trigger_to_run(command.node_id or None)
    if trigger is None:
        return _no_trigger(workflow, command)
    refused = _bad_pins(workflow, command)
    if refused is not None:
        return refused
    pins = pins_of(workflow, command.pin_data) if command.mode == "MANUAL" else {}
    data = _pinned(pins, trigger, command.data)
    if data is not command.data and command.files is None:
        files = pins[trigger.node_id].get("files", {}).get(trigger.outputs[0])
        command = replace(command, files=files)
    refused = None if accepted else _bad_files(data, command)
    if refused is not None:
        return refused
    progress = Progress(state, workflow, now, terms.verdict_wait_s, happen, terms.output_bytes_max)
    admission = admission_of(state)
    if admission is None:
        held = held_back(progress, command, data, workspace_id, terms.limits)
        if isinstance(held, Rejected):
            return held
        if held is not None:
            progress.record(held)
            _refer_given(progress, trigger.node_id, command, pins)
            return None
    begun = _begun(progress, command, trigger, workspace_id)
    if pins or command.parts:
        late = (data, command.files) if command.parts else (None, None)
        begun = replace(begun, pins=pins or None, data=late[0], files=late[1])
    if admission is not None and admission.reads:
        begun = replace(begun, **frozen_values(workflow, facts, admission.reads))
    progress.record(begun)
    _refer_given(progress, trigger.node_id, command, pins)
    if terms.urls is not None:
        make_url(progress, terms.urls)
    if not command.parts:
        _fire(progress, data, command.files)
    carry_on(progress)
    return None


def _begun(
    progress: Progress, command: StartExecution, trigger: Node, workspace_id: str
) -> ExecutionStarted:
    """Return the event with which an execution begins at a trigger."""
    workflow = progress.workflow
    root = progress.state.root_execution_id or command.root_execution_id or command.execution_id
    unfired = [node for node in workflow.all_triggers if node is not trigger]
    return ExecutionStarted(
        execution_id=command.execution_id,
        root_execution_id=root,
        workflow_id=command.workflow_id,
        workflow_name=workflow.name,
        workflow_version=command.version,
        sha256=workflow.sha256,
        workspace_id=workspace_id,
        node_id=trigger.node_id,
        mode=command.mode,
        triggered_by=command.triggered_by,
        trigger=command.trigger,
        started_at=progress.at,
        steps_total=_steps_total(workflow, trigger.node_id),
        dead=tuple(edge.index for node in unfired for edge in workflow.out_edges(node)),
        deadline=new_deadline(progress),
        parent_execution_id=command.parent_execution_id,
        log_level=workflow.settings.log_level,
        rerun=command.rerun,
        parts=command.parts,
        overrides=command.overrides,
        error_workflow=workflow.settings.error_workflow or "",
        handles=command.handles,
        watched_by=command.watched_by,
    )


def _version_of(command: StartExecution, facts: Facts) -> tuple[Workflow, str] | Rejected:
    """Return the frozen version that is to run, and its workspace."""
    rows = facts.get("version", ())
    if not rows:
        return Rejected(
            f"there is no version {command.version} of workflow {command.workflow_id!r}; "
            "save the workflow first",
            "workflow_not_found",
            dead_letter=True,
        )
    try:
        workflow = load(rows[0]["definition"], rows[0]["sha256"])
    except InvalidDefinition as error:
        return Rejected(str(error), "invalid_definition", dead_letter=True)
    return workflow, str(rows[0]["workspace_id"])


def before_start(
    state: Execution,
    command: ExecutionCommand | Due,
    facts: Facts,
    now: datetime,
    happen: Happen,
    terms: Terms,
) -> Rejected | None:
    """Let what was accepted or queued begin, or be stopped before it does."""
    admission = admission_of(state)
    given = (facts, now, happen, terms)
    match command:
        case CancelExecution():
            happen(canceled_before(state, command))
        case AdoptRuns() if state.given is not None and state.given.parts:
            happen(
                RunsAdopted(
                    execution_id=command.execution_id,
                    of=command.of,
                    part=command.part,
                    runs=command.runs,
                    failed=command.failed,
                    skipped=command.skipped,
                    regions=command.regions,
                )
            )
            for event in files_of_runs(command):
                happen(event)
        case NoteSlot() if stale_slot(state, command) is not None:
            return stale_slot(state, command)
        case NoteSlot() if command.outcome == "refused":
            happen(refused_by_gate(state, command.reason, code_of(command)))
        case NoteSlot():
            state = happen(GatePassed(execution_id=state.execution_id, kind=command.kind))
            _begin_if_let_in(state, *given)
        case Due() | ExamineExecution() if admission is None:
            refused = start(state, start_of(state), *given, accepted=True)
            if refused is not None:
                happen(cannot_start(state, refused))
        case Due() | ExamineExecution() if admission is not None:
            asked = gate_asked(admission)
            if asked is not None and admission.until is not None and admission.until <= now:
                happen(waited_too_long(state, admission))
            elif asked is None:
                _begin_if_let_in(state, *given)
        case _:
            text = f"execution {state.execution_id!r} has not begun yet; try again"
            return Rejected(text, "not_begun")
    return None


def _begin_if_let_in(
    state: Execution,
    facts: Facts,
    now: datetime,
    happen: Happen,
    terms: Terms,
) -> None:
    """Let an execution begin of which all gates are passed; what it lacks then refuses it."""
    admission = admission_of(state)
    if admission is None or admission.start is None or gate_asked(admission) is not None:
        return
    refused = start(state, admission.start, facts, now, happen, terms, accepted=True)
    if refused is not None:
        happen(
            ExecutionRefused(
                execution_id=state.execution_id,
                workflow_id=state.workflow_id,
                error=begun_error(refused),
            )
        )


def _no_trigger(workflow: Workflow, command: StartExecution) -> Rejected:
    known = ", ".join(repr(node.node_id) for node in workflow.triggers) or "none"
    return Rejected(
        f"{command.node_id!r} is no trigger of {workflow.name!r} version {command.version} "
        f"that can fire; there are: {known}",
        "trigger_not_found",
        dead_letter=True,
    )


def _fire(progress: Progress, data: Json, files: FilesByItem | None) -> None:
    """Let the trigger emit: from here on nodes are ready."""
    workflow = progress.workflow
    trigger = workflow.by_id[progress.state.trigger_node_id]
    items = items_of_trigger(data)
    if files is not None:
        items = with_files(items, files)
    ended = Ended(trigger, (), 1, Inputs({}, ()), ())
    complete(progress, ended, Arranged({trigger.outputs[0]: items} if items else {}), None)
    progress.all_resolved((node for node in workflow.all_triggers if node is not trigger), ())
    enqueue_unreachable(progress)


def _bad_pins(workflow: Workflow, command: StartExecution) -> Rejected | None:
    """Return why nodes cannot be mocked as a start asks for, None if they can."""
    if command.pin_data is None:
        return None
    if command.mode != "MANUAL":
        return Rejected(
            f"nodes are mocked in MANUAL runs only, not in {command.mode}; leave pin_data out",
            "mocks_not_allowed",
        )
    fault = next(iter(pin_faults(workflow, command.pin_data)), None)
    if fault is None:
        return _bad_files_of_pins(pins_of(workflow, command.pin_data))
    return Rejected(f"pin_data{fault.path}: {fault.message}", "invalid_pin_data")


def _bad_files(data: Json, command: StartExecution) -> Rejected | None:
    """Return what is wrong with files that a start gives, None if nothing is."""
    if command.files is None:
        return None
    fault = files_fault(command.files, len(as_items(data)))
    return None if fault is None else Rejected(fault, "invalid_files")


def _refer_given(
    progress: Progress, node_id: str, command: StartExecution, pins: Mapping[str, Json]
) -> None:
    """Record that the execution refers to all files that its start gives, wherever it does."""
    refer_files(progress, node_id, command.files)
    for pinned, pin in pins.items():
        for files in pin.get("files", {}).values():
            refer_files(progress, pinned, files)
    changed = cast("dict[str, Any]", command.overrides or {})
    for given, overrides in changed.items():
        if overrides is not None and bad_overrides(overrides) is None:
            refer_files(progress, given, overrides.get("files"))


def _bad_files_of_pins(pins: Mapping[str, Json]) -> Rejected | None:
    for node_id, pin in pins.items():
        given = pin.get("files", {})
        if not isinstance(given, dict):
            return Rejected(f"pin_data.{node_id}.files must be by ports", "invalid_files")
        for port, files in cast("dict[str, Json]", given).items():
            fault = files_fault(files, len(pin.get("ports", {}).get(port, ())))
            if fault is not None:
                return Rejected(f"pin_data.{node_id}.files.{port}: {fault}", "invalid_files")
    return None


def _pinned(pins: Mapping[str, Json], trigger: Node, data: Json) -> Json:
    """Return what the trigger emits: its pinned data where the run brings none."""
    pin = pins.get(trigger.node_id)
    if pin is None or data not in (None, {}):
        return data
    return pin.get("ports", {}).get(trigger.outputs[0], data)


def _again(state: Execution, command: StartExecution) -> Rejected | None:
    """Answer a second start: nothing happens, unless the key is another workflow's."""
    if state.workflow_id == command.workflow_id:
        return None
    return Rejected(
        f"execution {command.execution_id!r} is one of workflow {state.workflow_id}; choose "
        f"another key for workflow {command.workflow_id}",
        "execution_key_taken",
    )


def enqueue_unreachable(progress: Progress) -> None:
    """Enqueue the nodes to which nothing leads: they are SKIPPED (rule 5)."""
    runs = progress.state.runs
    for node in progress.workflow.unreachable:
        if place_of(node.node_id, ()) not in runs:
            progress.enqueue(node, ())


def items_of_trigger(data: Json) -> list[Item]:
    """Return a trigger event's data as items (rule 2)."""
    return [{"json": json} for json in as_items(data)]


@lru_cache(maxsize=200)
def _steps_total(workflow: Workflow, trigger_id: str) -> int:
    """Return how many nodes the trigger leads to, itself among them."""
    return len(reached_from(workflow, trigger_id))
