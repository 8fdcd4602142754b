"""Which version of a workflow serves, and which executions a trigger event starts. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

from perdure_common.decider import Facts, Rejected, Row
from perdure_common.ids import canonical_json, derived, sha256_of_json, time_ordered
from perdure_contracts.engine import Mode
from perdure_contracts.scheduler import (
    DeployedTrigger,
    DeploymentCommand,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    DeployWorkflow,
    LogEntry,
    ReceiveTrigger,
    Start,
    TriggerAccepted,
    UndeploymentStarted,
    UndeployWorkflow,
    WorkflowDeployed,
    WorkflowUndeployed,
)

from .definition import UUID, Problem, read_triggers
from .hook_rules import hook_problems
from .match import SUBTYPES, matches
from .state import Deployment, Trigger

MODES: Mapping[str, Mode] = {"MANUAL": "MANUAL", "WEBHOOK": "WEBHOOK"}
"""The mode of an execution by the subtype of the event; every other one is TRIGGER."""

KEY_EXTENSION = "executionkey"
"""The extension of a trigger event with the key of the execution that it starts."""

STARTS_MAX = 500
"""Executions that one event of ours starts; below what the shell lets an event send."""


# Deployments ------------------------------------------------------------------------


def decide_deployment(
    state: Deployment, command: DeploymentCommand, facts: Facts, now: datetime
) -> tuple[DeploymentEvent, ...] | Rejected:
    """Return what becomes of a deployment, or why nothing does.

    A definition that cannot serve is no refusal: it is a deployment that failed, and what
    served before goes on.
    """
    if state.status in ("DEPLOYING", "UNDEPLOYING"):
        return Rejected(
            f"workflow {command.workflow_id} is busy ({state.status}); "
            "wait for the end and send the command again",
            "conflict",
        )
    match command:
        case DeployWorkflow():
            return _deploy(state, command, facts, now)
        case UndeployWorkflow():
            return _undeploy(state, command, now)
        case _:
            assert_never(command)


def _deploy(
    state: Deployment, command: DeployWorkflow, facts: Facts, now: datetime
) -> tuple[DeploymentEvent, ...] | Rejected:
    refused = _refusal(state, command)
    if refused is not None:
        return refused
    serving = state.serving
    if serving is not None and serving.version == command.version:
        return ()  # unchanged
    started = DeploymentStarted(
        workflow_id=command.workflow_id,
        version=command.version,
        action="DEPLOY" if serving is None else "UPDATE",
        deployed_by=command.deployed_by,
        from_status=state.status,
        config=command.config,
    )
    triggers, problems = _checked(command, facts)
    if problems:
        return (started, _failed(state, command, problems, now))
    return (started, _deployed(state, command, triggers, now))


def _refusal(state: Deployment, command: DeployWorkflow) -> Rejected | None:
    """Return why a deployment cannot even begin, if so."""
    name, version = f"workflow {command.workflow_id}", command.version
    if not UUID.fullmatch(command.workflow_id):
        return Rejected(
            f"{command.workflow_id!r} is no workflow id; it is a UUID in lower case",
            "invalid_workflow_id",
        )
    if not 1 <= version < 2**31:
        return Rejected(f"{name} has no version {version}; they count from 1", "unknown_version")
    serving = state.serving
    if serving is not None and serving.version == version:
        if serving.sha256 == command.sha256:
            return None
        return Rejected(
            f"version {version} of {name} is frozen as {serving.sha256}, not {command.sha256}; "
            "save the changed definition, which makes a new version, and deploy that",
            "unknown_version",
        )
    now_serving = serving.version if serving is not None else 0
    if command.expected_version not in (None, now_serving):
        return Rejected(
            f"{name} serves version {now_serving}, not {command.expected_version} as expected; "
            "somebody else deployed meanwhile: look at it and deploy again",
            "conflict",
        )
    return None


def _checked(
    command: DeployWorkflow, facts: Facts
) -> tuple[tuple[DeployedTrigger, ...], tuple[Problem, ...]]:
    """Return the triggers of the command's definition, and what is wrong with it."""
    found = sha256_of_json(command.definition)
    if found != command.sha256:
        reason = (
            f"the definition's sha256 is {found}, not {command.sha256} as the command says; "
            "send the definition as the engine froze it"
        )
        return (), (Problem("sha256_mismatch", reason),)
    triggers, problems = read_triggers(command.workflow_id, command.definition)
    return triggers, problems or hook_problems(command, triggers, facts)


def _failed(
    state: Deployment, command: DeployWorkflow, problems: Sequence[Problem], now: datetime
) -> DeploymentFailed:
    at = now.isoformat()
    return DeploymentFailed(
        workflow_id=command.workflow_id,
        version=command.version,
        code=problems[0].code,
        reason="; ".join(problem.reason for problem in problems),
        serving=state.serving.version if state.serving is not None else None,
        deployed_by=command.deployed_by,
        config=command.config,
        logs=tuple(
            LogEntry(at=at, step="validate", ok=False, message=f"{p.code}: {p.reason}")
            for p in problems
        ),
    )


def _deployed(
    state: Deployment,
    command: DeployWorkflow,
    triggers: tuple[DeployedTrigger, ...],
    now: datetime,
) -> WorkflowDeployed:
    at, serving = now.isoformat(), state.serving
    listed = ", ".join(f"{t.subtype} {t.index_key}" for t in triggers)
    swap = f"version {command.version} serves"
    if serving is not None:
        swap += f" instead of {serving.version}"
    return WorkflowDeployed(
        workflow_id=command.workflow_id,
        workflow_name=_name_of(command),
        version=command.version,
        sha256=command.sha256,
        triggers=triggers,
        deployed_by=command.deployed_by,
        replaced=serving.version if serving is not None else None,
        retired=serving.node_ids if serving is not None else (),
        retired_crons=serving.crons if serving is not None else (),
        config=command.config,
        logs=(
            LogEntry(at=at, step="validate", ok=True, message=f"triggers: {len(triggers)}"),
            LogEntry(at=at, step="index", ok=True, message=listed),
            LogEntry(at=at, step="swap", ok=True, message=swap),
        ),
    )


def _name_of(command: DeployWorkflow) -> str:
    name = command.definition.get("name")
    return name if isinstance(name, str) and name else command.workflow_id


def _undeploy(
    state: Deployment, command: UndeployWorkflow, now: datetime
) -> tuple[DeploymentEvent, ...] | Rejected:
    serving = state.serving
    if serving is None:
        return Rejected(
            f"workflow {command.workflow_id} is not deployed, so there is nothing to undeploy",
            "not_deployed",
        )
    message = f"version {serving.version} serves no more; running executions finish"
    return (
        UndeploymentStarted(
            workflow_id=command.workflow_id,
            version=serving.version,
            undeployed_by=command.undeployed_by,
        ),
        WorkflowUndeployed(
            workflow_id=command.workflow_id,
            version=serving.version,
            undeployed_by=command.undeployed_by,
            retired=serving.node_ids,
            retired_crons=serving.crons,
            logs=(LogEntry(at=now.isoformat(), step="swap", ok=True, message=message),),
        ),
    )


# Trigger events ---------------------------------------------------------------------


def decide_trigger(
    state: Trigger, command: ReceiveTrigger, facts: Facts, now: datetime
) -> tuple[TriggerAccepted, ...] | Rejected:
    """Return the executions that a trigger event starts, nothing when it matches nothing."""
    del now  # ids follow from the event alone, so that a redelivery gives the same ones
    if state.executions:
        return Rejected(
            f"event {command.event_id!r} of {command.source!r} came before and started "
            f"{', '.join(state.executions)}; give a new event a new id",
            "duplicate_trigger",
        )
    subtype = SUBTYPES[command.event_type]
    if subtype == "MANUAL":
        row = _named(command, facts)
        if isinstance(row, Rejected):
            return row
        rows: Sequence[Row] = (row,)
    else:
        rows = [row for row in facts["by_key"] if matches(subtype, row, command)]
    starts = [_start(command, subtype, row) for row in sorted(rows, key=_place)]
    return tuple(
        _accepted(command, subtype, starts[first : first + STARTS_MAX])
        for first in range(0, len(starts), STARTS_MAX)
    )


def _named(command: ReceiveTrigger, facts: Facts) -> Row | Rejected:
    """Return the trigger of the workflow that a manual event names.

    The workflow's first MANUAL trigger fires, else its first trigger, or the one that the
    event asks for.
    """
    rows = facts.get("by_id") or facts["by_name"]
    workflows = sorted({str(row["workflow_id"]) for row in rows})
    if not workflows:
        return Rejected(
            f"no deployed workflow has the id or name {command.subject!r}; deploy it, or name "
            "one that is, then send the event again",
            "workflow_not_found",
            dead_letter=True,
        )
    if len(workflows) > 1:
        return Rejected(
            f"{len(workflows)} deployed workflows are called {command.subject!r}; give the id "
            f"of the one that you mean as the subject: {_some(workflows)}",
            "ambiguous_subject",
            dead_letter=True,
        )
    wanted = command.trigger_node
    if wanted is not None:
        for row in rows:
            if row["node_id"] == wanted:
                return row
        known = _some(str(row["node_id"]) for row in sorted(rows, key=_place))
        return Rejected(
            f"workflow {command.subject!r} serves no trigger node {wanted!r}; it has {known}",
            "trigger_node_not_found",
            dead_letter=True,
        )
    return min(rows, key=lambda row: (row["trigger_subtype"] != "MANUAL", row["position"]))


def _start(command: ReceiveTrigger, subtype: str, row: Row) -> Start:
    workflow_id, node_id = str(row["workflow_id"]), str(row["node_id"])
    return Start(
        execution_id=execution_id(command, workflow_id, node_id),
        workflow_id=workflow_id,
        version=row["deployment_version"],
        node_id=node_id,
        mode=MODES.get(subtype, "TRIGGER"),
        triggered_by=f"{subtype}:{node_id}",
    )


def execution_id(command: ReceiveTrigger, workflow_id: str, node_id: str) -> str:
    """Return the id of the execution that an event starts at a trigger node.

    It begins with the event's own time (0 when it has none), and is the same however often
    the event is delivered. A caller may choose a key instead (extension `executionkey`): then it
    is the same for every event with that key, at this trigger.
    """
    key = command.extensions.get(KEY_EXTENSION)
    if key:
        return derived("execution-key", command.tenant_id, workflow_id, node_id, key)
    parts = [command.tenant_id, command.source, command.event_id, workflow_id, node_id]
    return time_ordered(_milliseconds(command.time), canonical_json(parts).decode())


def _milliseconds(time: str | None) -> int:
    """Return an RFC 3339 instant in milliseconds since 1970, 0 when there is none."""
    try:
        at = datetime.fromisoformat((time or "").upper())
    except ValueError:
        return 0
    return max(0, int(at.timestamp() * 1000)) if at.tzinfo is not None else 0


def _accepted(command: ReceiveTrigger, subtype: str, starts: Sequence[Start]) -> TriggerAccepted:
    return TriggerAccepted(
        source=command.source,
        event_id=command.event_id,
        event_type=command.event_type,
        subject=command.subject,
        time=command.time,
        data=command.data,
        starts=tuple(starts),
        subtype=subtype,
        body_sha256=command.body_sha256,
        http=command.http,
        watch=command.watch,
    )


def _place(row: Row) -> tuple[str, int]:
    position: Any = row["position"]
    return str(row["workflow_id"]), position


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:10]) + (" …" if len(listed) > 10 else "")
