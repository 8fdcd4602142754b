"""A new execution from an old one: from its start, from where it failed, or from a node. Pure.

The old execution decides what is adopted, because it alone knows what it did, and sends it; the
new one waits for all of it, and then runs as any other, only that what was adopted need not.
"""

from perdure_common.decider import Facts, Rejected
from perdure_contracts.control import AdoptRuns, RerunBegun, RerunExecution, RunsAdopted
from perdure_contracts.engine import StartExecution
from perdure_contracts.message import Json

from perdure_engine.definition import InvalidDefinition, Workflow, load

from .adopting import (
    PARTS_MAX,
    Places,
    Prints,
    adoptable,
    fingerprints,
    oversized,
    parts_of,
    places_of,
    trigger_data,
    trigger_files,
    unit_of,
)  # fmt: skip
from .files import files_of_runs
from .overriding import bad_overrides, unfit_overrides, unfit_parameters
from .progress import Progress
from .state import Execution, is_open

ID_LENGTH_MAX = 255


def bad_rerun(
    state: Execution, workflow: Workflow, command: RerunExecution, facts: Facts
) -> Rejected | None:
    """Return why no execution can be begun from this one, None if one can."""
    new = command.new_execution_id
    if not 0 < len(new) <= ID_LENGTH_MAX or "\0" in new or new == command.execution_id:
        return Rejected(
            f"the new execution needs an id of its own with 1 to {ID_LENGTH_MAX} characters",
            "invalid_execution_id",
        )
    if is_open(state) and not command.fork:
        return Rejected(
            f"execution {command.execution_id!r} is {state.status}; wait for its end, or fork it",
            "execution_open",
        )
    target = _target(state, workflow, command, facts)
    if isinstance(target, Rejected):
        return target
    if state.trigger_node_id not in (node.node_id for node in target.triggers):
        return Rejected(
            f"version {command.version} has no trigger {state.trigger_node_id!r} that can fire, "
            "at which the execution was started",
            "trigger_not_found",
        )
    if command.origin == "node" or command.overrides is not None:
        node = target.by_id.get(command.node_id)
        if node is None:
            return Rejected(
                f"there is no node {command.node_id!r} in the version that is to run; name one",
                "node_not_found",
            )
        refused = (
            bad_overrides(command.overrides)
            or unfit_overrides(node, command.overrides)
            or unfit_parameters(node, command.overrides)
        )
        if refused is not None:
            return refused
    adopted = _adopted(state, workflow, target, command, facts)
    places = places_of(state, workflow, adopted)
    large = oversized(state, places)
    if large is not None or len(parts_of(state, places, new)) > PARTS_MAX:
        what = "all its runs together are" if large is None else f"the run {large} is"
        return Rejected(
            f"{what} too large to be taken over; rerun the execution from its start, or from an "
            "earlier node",
            "too_large_to_adopt",
        )
    return None


def rerun(progress: Progress, workflow: Workflow, command: RerunExecution, facts: Facts) -> None:
    """Begin a new execution; `bad_rerun` has found nothing against it."""
    state = progress.state
    target = _target(state, workflow, command, facts)
    assert not isinstance(target, Rejected)
    adopted = _adopted(state, workflow, target, command, facts)
    places = places_of(state, workflow, adopted)
    # The fork of an execution that goes on does what it does once more, on purpose: with the keys
    # of the other one, effects that are under way there would count as its own.
    again = command.origin == "failed" and not is_open(state)
    kept = state.root_execution_id if again else command.new_execution_id
    progress.record(
        RerunBegun(
            execution_id=state.execution_id,
            new_execution_id=command.new_execution_id,
            root_execution_id=kept,
            origin=command.origin,
            version=command.version or state.workflow_version,
            begun_at=progress.at,
            node_id=command.node_id,
            adopted=adopted,
            runs=places.runs,
            ends=places.ends,
            failed=places.failed,
            skipped=places.skipped,
            regions=places.regions,
            parts=len(parts_of(state, places, command.new_execution_id)),
            overrides=command.overrides,
            asked_by=command.asked_by,
        )
    )


def messages(state: Execution, event: RerunBegun) -> list[object]:
    """Return what begins the new execution: its start, then all that it adopts."""
    overrides: Json = event.overrides
    data, files = trigger_data(state), trigger_files(state)
    if event.node_id == state.trigger_node_id and overrides is not None and "input" in overrides:
        data, overrides, files = overrides["input"], None, overrides.get("files")
    start = StartExecution(
        execution_id=event.new_execution_id,
        workflow_id=state.workflow_id,
        version=event.version,
        node_id=state.trigger_node_id,
        mode="RETRY",
        triggered_by=state.triggered_by,
        trigger=state.trigger,
        data=data,
        parent_execution_id=state.execution_id,
        rerun={
            "of": state.execution_id,
            "origin": event.origin,
            "node_id": event.node_id,
            "adopted": len(event.adopted),
            "asked_by": event.asked_by,
        },
        root_execution_id=event.root_execution_id,
        parts=event.parts,
        files=files,
        handles=state.handles,
        overrides=None if overrides is None else {event.node_id: overrides},
    )
    places = Places(event.runs, event.ends, event.failed, event.skipped, event.regions)
    return [start, *parts_of(state, places, event.new_execution_id)]


def _target(
    state: Execution, workflow: Workflow, command: RerunExecution, facts: Facts
) -> Workflow | Rejected:
    """Return the version that is to run."""
    if command.version in (None, state.workflow_version):
        return workflow
    rows = facts.get("target", ())
    if not rows:
        return Rejected(
            f"there is no version {command.version} of workflow {state.workflow_id!r}",
            "version_not_found",
        )
    try:
        return load(rows[0]["definition"], rows[0]["sha256"])
    except InvalidDefinition as error:
        return Rejected(str(error), "invalid_definition")


def _adopted(
    state: Execution, workflow: Workflow, target: Workflow, command: RerunExecution, facts: Facts
) -> tuple[str, ...]:
    if command.origin == "start":
        return ()
    prints: tuple[Prints, Prints] | None = None
    if target is not workflow:
        old, new = facts["version"][0]["definition"], facts["target"][0]["definition"]
        prints = fingerprints(old), fingerprints(new)
    without = ""
    if command.origin == "node":
        without = unit_of(target, target.by_id[command.node_id])
    return adoptable(state, workflow, target, prints, without)


# In the new execution ---------------------------------------------------------------------


def bad_adoption(state: Execution, command: AdoptRuns) -> Rejected | None:
    """Return why runs are not adopted, None if they are."""
    if is_open(state) and state.given is not None and state.given.parts:
        return None
    return Rejected(
        f"execution {command.execution_id!r} waits for no runs of {command.of!r} any more",
        "stale_runs",
    )


def adopt(progress: Progress, command: AdoptRuns) -> None:
    """Know runs of another execution from now on."""
    progress.record(
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
        progress.record(event)
