"""Which version of a workflow serves. Pure.

Some deployments are over in the batch that takes them. Others take longer: a rollback waits for
the engine, which freezes the old version under a new number, a trigger that listens on HTTP
waits until its path is granted (paths.py), and one that needs something outside (a mailbox, say)
until that is there. Meanwhile what served goes on serving, and after `HANG` the deployment has
failed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from perdure_common.decider import Due, Facts, Rejected
from perdure_common.ids import sha256_of_json
from perdure_contracts.deployments import (
    DeployCopy,
    Hook,
    HookSettled,
    PauseEventTrigger,
    ResumeEventTrigger,
    RollbackWorkflow,
    SettleHook,
)
from perdure_contracts.message import Json
from perdure_contracts.scheduler import (
    CopyReceived,
    DeployedTrigger,
    DeploymentCommand,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    DeployWorkflow,
    LogEntry,
    UndeploymentStarted,
    UndeployWorkflow,
    WorkflowDeployed,
    WorkflowUndeployed,
)

from .definition import UUID, hooks_of, read_triggers
from .hook_rules import claims_of, hook_problems
from .hook_settings import UNCAPPED, HookCaps, path_of
from .parameters import Problem
from .resting import rest
from .state import Deployment, Pending, Served

HANG = timedelta(seconds=60)
"""After so long a deployment that waits for somebody has failed."""

Decided = tuple[DeploymentEvent, ...] | Rejected


@dataclass(frozen=True)
class Candidate:
    """A version that is to serve: what was found in its definition, and who asked for it."""

    workflow_id: str
    version: int
    sha256: str
    name: str
    triggers: tuple[DeployedTrigger, ...]
    hooks: tuple[Hook, ...]
    deployed_by: str
    config: Json
    logs: tuple[LogEntry, ...] = ()


def decide_deployment(
    state: Deployment,
    command: DeploymentCommand | Due,
    facts: Facts,
    now: datetime,
    caps: HookCaps = UNCAPPED,
) -> Decided:
    """Return what becomes of a deployment, or why nothing does.

    A definition that cannot serve is no refusal: it is a deployment that failed, and what
    served before goes on. `caps` are the most that its triggers may ask for.
    """
    del facts  # whether others listen where this one wants to, its paths know
    match command:
        case Due():
            return _hangs(state, command.stream, now)
        case DeployCopy():
            return _copied(state, command, now, caps)
        case SettleHook():
            return _hook(state, command, now)
        case PauseEventTrigger() | ResumeEventTrigger():
            return rest(state, command)
        case DeployWorkflow() | UndeployWorkflow() | RollbackWorkflow():
            return _busy(state, command) or _asked(state, command, now, caps)


def wake_at(state: Deployment) -> datetime | None:
    """Return when a deployment that waits has failed."""
    return None if state.pending is None else state.pending.deadline


def _busy(
    state: Deployment, command: DeployWorkflow | UndeployWorkflow | RollbackWorkflow
) -> Rejected | None:
    if state.status not in ("DEPLOYING", "UNDEPLOYING"):
        return None
    until = ""
    if state.pending is not None:
        until = f", at the latest until {state.pending.deadline.isoformat()}"
    return Rejected(
        f"workflow {command.workflow_id} is busy ({state.status}{until}); "
        "wait for the end and send the command again",
        "conflict",
    )


def _asked(
    state: Deployment,
    command: DeployWorkflow | UndeployWorkflow | RollbackWorkflow,
    now: datetime,
    caps: HookCaps,
) -> Decided:
    match command:
        case DeployWorkflow():
            return _deploy(state, command, now, caps)
        case UndeployWorkflow():
            return _undeploy(state, command, now)
        case RollbackWorkflow():
            return _rollback(state, command, now)


# Deploying --------------------------------------------------------------------------


def _deploy(state: Deployment, command: DeployWorkflow, now: datetime, caps: HookCaps) -> Decided:
    refused = _refusal(state, command)
    if refused is not None:
        return refused
    serving = state.serving
    if serving is not None and serving.version == command.version:
        return ()  # unchanged
    triggers, problems = _checked(command, command.credentials, caps)
    found = Candidate(
        workflow_id=command.workflow_id,
        version=command.version,
        sha256=command.sha256,
        name=_name_of(command.definition, command.workflow_id),
        triggers=triggers,
        hooks=() if problems else hooks_of(triggers),
        deployed_by=command.deployed_by,
        config=command.config,
        logs=() if problems else _validated(triggers, now),
    )
    started = DeploymentStarted(
        workflow_id=command.workflow_id,
        version=command.version,
        action="DEPLOY" if serving is None else "UPDATE",
        deployed_by=command.deployed_by,
        from_status=state.status,
        config=command.config,
        attempt=state.attempts + 1,
        **(_waits(found, now) if found.hooks else {}),
    )
    if problems:
        return (started, _failed(state, found, problems, "validate", now))
    if found.hooks:
        return (started,)
    return (started, _deployed(state, found, now))


def _waits(found: Candidate, now: datetime) -> dict[str, Any]:
    """Return what a deployment says that waits for what its triggers need outside."""
    return {
        "deadline": (now + HANG).isoformat(),
        "workflow_name": found.name,
        "sha256": found.sha256,
        "triggers": found.triggers,
        "hooks": found.hooks,
        "logs": found.logs,
    }


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
    return _unexpected(state, command)


def _unexpected(state: Deployment, command: DeployWorkflow | RollbackWorkflow) -> Rejected | None:
    """Return why a command is refused that was meant for another serving version, if it was."""
    serving = state.serving.version if state.serving is not None else 0
    if command.expected_version in (None, serving):
        return None
    return Rejected(
        f"workflow {command.workflow_id} serves version {serving}, not "
        f"{command.expected_version} as expected; "
        "somebody else deployed meanwhile: look at it and deploy again",
        "conflict",
    )


def _checked(
    command: DeployWorkflow | DeployCopy,
    credentials: Mapping[str, tuple[str, ...]],
    caps: HookCaps,
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
    return triggers, problems or hook_problems(credentials, triggers, caps)


def _validated(triggers: Sequence[DeployedTrigger], now: datetime) -> tuple[LogEntry, ...]:
    """Return what is noted of a definition in the instant in which nothing was wrong with it."""
    at = now.isoformat()
    listed = ", ".join(f"{each.subtype} {each.index_key}" for each in triggers)
    return (
        LogEntry(at=at, step="validate", ok=True, message=f"triggers: {len(triggers)}"),
        LogEntry(at=at, step="index", ok=True, message=listed),
    )


def _failed(
    state: Deployment, found: Candidate, problems: Sequence[Problem], step: Any, now: datetime
) -> DeploymentFailed:
    at = now.isoformat()
    waits = state.pending
    waited = tuple(each.node_id for each in waits.triggers) if waits is not None else ()
    asked = tuple(claims_of(waits.triggers)) if waits is not None and waits.attempt else ()
    return DeploymentFailed(
        workflow_id=found.workflow_id,
        version=found.version,
        code=problems[0].code,
        reason="; ".join(problem.reason for problem in problems),
        serving=state.serving.version if state.serving is not None else None,
        deployed_by=found.deployed_by,
        config=found.config,
        logs=(
            *found.logs,
            *(
                LogEntry(at=at, step=step, ok=False, message=f"{p.code}: {p.reason}")
                for p in problems
            ),
        ),
        pending=waited,
        released=asked,
        released_attempt=waits.attempt if waits is not None and asked else 0,
    )


def _deployed(state: Deployment, found: Candidate, now: datetime) -> WorkflowDeployed:
    serving = state.serving
    swap = f"version {found.version} serves"
    if serving is not None:
        swap += f" instead of {serving.version}"
    return WorkflowDeployed(
        workflow_id=found.workflow_id,
        workflow_name=found.name,
        version=found.version,
        sha256=found.sha256,
        triggers=found.triggers,
        deployed_by=found.deployed_by,
        replaced=serving.version if serving is not None else None,
        retired=serving.node_ids if serving is not None else (),
        retired_crons=serving.crons if serving is not None else (),
        released=serving.paths if serving is not None else (),
        released_attempt=serving.attempt if serving is not None else 0,
        config=found.config,
        logs=(
            *found.logs,
            LogEntry(at=now.isoformat(), step="swap", ok=True, message=swap),
        ),
    )


def _name_of(definition: Json, workflow_id: str) -> str:
    fields = cast("dict[str, Json]", definition) if isinstance(definition, dict) else {}
    name = fields.get("name")
    return name if isinstance(name, str) and name else workflow_id


# Going back -------------------------------------------------------------------------


def _rollback(state: Deployment, command: RollbackWorkflow, now: datetime) -> Decided:
    """Ask the engine for a copy of a version that served; `route` does the asking."""
    serving, name = state.serving, f"workflow {command.workflow_id}"
    if serving is None:
        return Rejected(
            f"{name} is not deployed, so there is nothing to go back from; deploy a version",
            "not_deployed",
        )
    refused = _unexpected(state, command)
    if refused is not None:
        return refused
    target = _target(state, command)
    if target is None:
        known = ", ".join(str(each.version) for each in state.served)
        wanted = "before" if command.to_version is None else f"as {command.to_version}"
        return Rejected(
            f"no version of {name} served {wanted}; versions that served: {known}. "
            "One that never served is deployed instead",
            "unknown_version",
        )
    if target.version == serving.version:
        return ()  # unchanged
    config = cast("dict[str, Json]", command.config) if isinstance(command.config, dict) else {}
    return (
        DeploymentStarted(
            workflow_id=command.workflow_id,
            version=target.version,
            action="ROLLBACK",
            deployed_by=command.asked_by,
            from_status=state.status,
            config={**config, "rollback_of": target.version},
            deadline=(now + HANG).isoformat(),
            credentials=command.credentials,
            attempt=state.attempts + 1,
        ),
    )


def _target(state: Deployment, command: RollbackWorkflow) -> Served | None:
    """Return the version to go back to: the one that is named, or that served before."""
    if command.to_version is None:
        return state.served[-2] if len(state.served) > 1 else None
    return next((each for each in state.served if each.version == command.to_version), None)


def target_sha256(state: Deployment, version: int) -> str:
    """Return the hash of a version that served."""
    return next((each.sha256 for each in state.served if each.version == version), "")


def _copied(state: Deployment, command: DeployCopy, now: datetime, caps: HookCaps) -> Decided:
    waits = state.pending
    if waits is None or waits.sha256 or waits.rollback_of != command.rollback_of:
        return ()  # it came too late: the rollback has failed meanwhile
    triggers, problems = _checked(command, waits.credentials, caps)
    problems = problems or _unasked(waits, triggers)
    logs = () if problems else _validated(triggers, now)
    received = CopyReceived(
        workflow_id=command.workflow_id,
        version=command.version,
        rollback_of=command.rollback_of,
        workflow_name=_name_of(command.definition, command.workflow_id),
        sha256=command.sha256,
        triggers=triggers,
        hooks=() if problems else hooks_of(triggers),
        logs=logs,
    )
    found = Candidate(
        workflow_id=command.workflow_id,
        version=command.version,
        sha256=command.sha256,
        name=received.workflow_name,
        triggers=triggers,
        hooks=received.hooks,
        deployed_by=waits.deployed_by,
        config=waits.config,
        logs=logs,
    )
    if problems:
        return (received, _failed(state, found, problems, "validate", now))
    return (received,) if found.hooks else (received, _deployed(state, found, now))


# What is needed outside -------------------------------------------------------------


def _hook(state: Deployment, command: SettleHook, now: datetime) -> Decided:
    waits = state.pending
    open_hooks = {hook.node_id for hook in waits.hooks} if waits is not None else set[str]()
    if waits is None or waits.version != command.version or command.node_id not in open_hooks:
        return ()  # of an earlier deployment, or told before
    if _listens(waits, command.node_id) and command.attempt != waits.attempt:
        return ()  # what an earlier deployment was granted it has given back
    candidate = _candidate(command.workflow_id, waits)
    if not command.ok:
        reason = f"node {command.node_id!r}: {command.message}"
        problem = Problem(command.code or "hook_failed", reason)
        return (_failed(state, candidate, (problem,), "hooks", now),)
    settled = HookSettled(
        workflow_id=command.workflow_id,
        version=command.version,
        node_id=command.node_id,
        at=now.isoformat(),
        message=command.message,
    )
    if len(open_hooks) > 1:
        return (settled,)
    done = LogEntry(at=settled.at, step="hooks", ok=True, message=command.message)
    candidate = _candidate(command.workflow_id, waits, (*waits.logs, done))
    problems = _unasked(waits, waits.triggers)
    if problems:
        return (settled, _failed(state, candidate, problems, "hooks", now))
    return (settled, _deployed(state, candidate, now))


def _listens(waits: Pending, node_id: str) -> bool:
    """Return whether a trigger waits for a path."""
    return any(each.node_id == node_id and path_of(each.config) for each in waits.triggers)


def _unasked(waits: Pending, triggers: Sequence[DeployedTrigger]) -> tuple[Problem, ...]:
    """Return why a deployment cannot end that began before paths had to be asked for."""
    paths = claims_of(triggers)
    if waits.attempt or not paths:
        return ()
    reason = f"it began before an upgrade and has not asked for {', '.join(paths)}; deploy again"
    return (Problem("path_not_granted", reason),)


def _hangs(state: Deployment, workflow_id: str, now: datetime) -> Decided:
    """Let a deployment fail that nobody has answered."""
    waits = state.pending
    if waits is None or now < waits.deadline:
        return ()
    whom = ", ".join(f"node {hook.node_id!r} ({hook.what})" for hook in waits.hooks)
    reason = (
        f"{whom or 'the engine, which freezes the version again,'} did not answer within "
        f"{HANG.total_seconds():.0f} s; look whether it can be reached, and deploy again"
    )
    problem = Problem("hook_timeout", reason)
    return (_failed(state, _candidate(workflow_id, waits), (problem,), "hooks", now),)


def _candidate(
    workflow_id: str, waits: Pending, logs: tuple[LogEntry, ...] | None = None
) -> Candidate:
    return Candidate(
        workflow_id=workflow_id,
        version=waits.version,
        sha256=waits.sha256,
        name=waits.workflow_name,
        triggers=waits.triggers,
        hooks=waits.hooks,
        deployed_by=waits.deployed_by,
        config=waits.config,
        logs=waits.logs if logs is None else logs,
    )


# Undeploying ------------------------------------------------------------------------


def _undeploy(state: Deployment, command: UndeployWorkflow, now: datetime) -> Decided:
    serving = state.serving
    if serving is None:
        return Rejected(
            f"workflow {command.workflow_id} is not deployed, so there is nothing to undeploy",
            "not_deployed",
        )
    then = "are stopped" if command.cancel_running else "finish"
    message = f"version {serving.version} serves no more; running executions {then}"
    return (
        UndeploymentStarted(
            workflow_id=command.workflow_id,
            version=serving.version,
            undeployed_by=command.undeployed_by,
            cancel_running=command.cancel_running,
        ),
        WorkflowUndeployed(
            workflow_id=command.workflow_id,
            version=serving.version,
            undeployed_by=command.undeployed_by,
            retired=serving.node_ids,
            retired_crons=serving.crons,
            released=serving.paths,
            released_attempt=serving.attempt,
            cancel_running=command.cancel_running,
            logs=(LogEntry(at=now.isoformat(), step="swap", ok=True, message=message),),
        ),
    )
