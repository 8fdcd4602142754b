"""What the scheduler hears and says. Owner: services/scheduler.

Streams: the workflow id (deployments), and one stream for each trigger event. What cron triggers
hear and say is in `cron`.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .deployments import Hook, MoreCommand, MoreEvent
from .engine import Mode
from .message import Json, message

Status: TypeAlias = Literal["IDLE", "DEPLOYING", "ACTIVE", "UNDEPLOYING", "FAILED"]
"""Where a workflow's deployment stands; FAILED only while nothing serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedTrigger:
    """A trigger node as it serves: how events find it and what they must fulfil.

    `index_key` is what a trigger event is looked up by, `config` the filters, `position`
    the node's place in the file, from 0.
    """

    node_id: str
    subtype: str
    index_key: str
    config: Json
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One step of a deployment, at the ISO instant `at`."""

    at: str
    step: Literal["validate", "index", "hooks", "swap"]
    ok: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One execution that a trigger event starts, at the trigger node that matched."""

    execution_id: str
    workflow_id: str
    version: int
    node_id: str
    mode: Mode
    triggered_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterFault:
    """A filter of a trigger that failed on an event, or gave neither true nor false."""

    workflow_id: str
    version: int
    node_id: str
    message: str


# Commands ---------------------------------------------------------------------------


@message("scheduler.deploy-workflow.v1")
class DeployWorkflow:
    """Let a frozen version of a workflow serve its triggers.

    `expected_version` is the version that must be serving now (0: none); None asks for no
    check. `definition` is the whole frozen definition; the scheduler keeps its triggers.
    `credentials` are the fields of those credentials that trigger nodes name, as whoever can look
    found them: what is not among them is missing.
    """

    workflow_id: str
    version: int
    sha256: str
    definition: Json
    deployed_by: str = ""
    expected_version: int | None = None
    config: Json = None
    credentials: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


@message("scheduler.undeploy-workflow.v1")
class UndeployWorkflow:
    """Let a workflow's triggers serve no more.

    Running executions finish, or are stopped with `cancel_running`.
    """

    workflow_id: str
    undeployed_by: str = ""
    cancel_running: bool = False


@message("scheduler.receive-trigger.v1")
class ReceiveTrigger:
    """A trigger event that arrived. Made by the scheduler's own ears, never sent.

    `body_sha256` is of the bytes as they came. `trigger_node` is the CloudEvent's extension
    `triggernode`, `extensions` has all of them.

    What came by HTTP or by mail says more: `nodes` are the (workflow, node)s that it is for,
    `versions` which version of each has taken it; `http` has a request's method, query and headers,
    `watch` says that somebody waits for an answer.
    """

    tenant_id: str
    source: str
    event_id: str
    event_type: str
    subject: str
    time: str | None
    data: Json
    body_sha256: str = ""
    trigger_node: str | None = None
    extensions: dict[str, str] = field(default_factory=dict[str, str])
    nodes: tuple[tuple[str, str], ...] | None = None
    versions: tuple[int, ...] = ()
    http: Json = None
    watch: str = ""


@message("scheduler.register-wait.v1")
class RegisterWait:
    """An execution waits for an event; `until` is the instant after which it does no more.

    `register_id` is the register of this name and key, which is the stream.
    """

    register_id: str
    name: str
    key: str
    wait_id: str
    execution_id: str
    until: str | None = None


@message("scheduler.forget-wait.v1")
class ForgetWait:
    """An execution waits for an event no more: it has it, or nobody wants it."""

    register_id: str
    wait_id: str


@message("scheduler.receive-event.v1")
class ReceiveEvent:
    """An event for those who wait for it arrived. Made by the scheduler's own ears, never sent."""

    tenant_id: str
    source: str
    event_id: str
    name: str
    key: str
    payload: Json


@message("scheduler.offer-event.v1")
class OfferEvent:
    """Give an event to all that wait for it, or keep it. `event_id` is unique for each event."""

    register_id: str
    event_id: str
    name: str
    key: str
    payload: Json


# Events -----------------------------------------------------------------------------


@message("scheduler.deployment-started.v1")
class DeploymentStarted:
    """A deployment was accepted and began. `action` is UPDATE when a version serves already.

    One that cannot be done at once says what it waits for, until `deadline` (ISO 8601): for the
    engine, which freezes `version` again (ROLLBACK), or for `hooks`, which the `triggers`
    need outside before they serve. `attempt` counts the deployments of the workflow, from 1;
    it is 0 where paths were not asked for yet. `logs` is what was done before it waits.
    """

    workflow_id: str
    version: int
    action: Literal["DEPLOY", "UPDATE", "ROLLBACK"]
    deployed_by: str
    from_status: Status = "IDLE"
    config: Json = None
    deadline: str = ""
    workflow_name: str = ""
    sha256: str = ""
    triggers: tuple[DeployedTrigger, ...] = ()
    hooks: tuple[Hook, ...] = ()
    credentials: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    attempt: int = 0
    logs: tuple[LogEntry, ...] = ()


@message("scheduler.copy-received.v1")
class CopyReceived:
    """The engine froze `rollback_of` again as `version`; its `triggers` need `hooks` outside.

    `logs` is what was done before it waits for them.
    """

    workflow_id: str
    version: int
    rollback_of: int
    workflow_name: str
    sha256: str
    triggers: tuple[DeployedTrigger, ...]
    hooks: tuple[Hook, ...]
    logs: tuple[LogEntry, ...] = ()


@message("scheduler.workflow-deployed.v1")
class WorkflowDeployed:
    """A version serves; `triggers` are its rows.

    `replaced` is the version that served before, `retired` its trigger nodes, `retired_crons`
    those of them that are CRON. `released` are the paths that it had by deployment
    `released_attempt`.
    """

    workflow_id: str
    workflow_name: str
    version: int
    sha256: str
    triggers: tuple[DeployedTrigger, ...]
    deployed_by: str
    replaced: int | None = None
    retired: tuple[str, ...] = ()
    config: Json = None
    logs: tuple[LogEntry, ...] = ()
    retired_crons: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    released_attempt: int = 0


@message("scheduler.deployment-failed.v1")
class DeploymentFailed:
    """A deployment did not happen; what served before, `serving`, goes on serving.

    `code` is that of the first problem; `reason` tells all of them. `pending` are the trigger
    nodes that had rows already; `released` are paths as in `WorkflowDeployed`, which it asked for.
    """

    workflow_id: str
    version: int
    code: str
    reason: str
    serving: int | None = None
    deployed_by: str = ""
    config: Json = None
    logs: tuple[LogEntry, ...] = ()
    pending: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    released_attempt: int = 0


@message("scheduler.undeployment-started.v1")
class UndeploymentStarted:
    """An undeployment was accepted and began; `cancel_running` as in `WorkflowUndeployed`."""

    workflow_id: str
    version: int
    undeployed_by: str
    cancel_running: bool = False


@message("scheduler.workflow-undeployed.v1")
class WorkflowUndeployed:
    """The version's trigger nodes, `retired`, serve no more.

    With `cancel_running` its open executions are stopped too. `released` are its paths, as in
    `WorkflowDeployed`.
    """

    workflow_id: str
    version: int
    undeployed_by: str
    retired: tuple[str, ...] = ()
    logs: tuple[LogEntry, ...] = ()
    retired_crons: tuple[str, ...] = ()
    cancel_running: bool = False
    released: tuple[str, ...] = ()
    released_attempt: int = 0


@message("scheduler.trigger-accepted.v1")
class TriggerAccepted:
    """A trigger event matched; each trigger node that it matches starts one execution.

    The data is kept in the event because the executions are started from it, again after a
    crash too. An event that matches very many nodes is accepted in several parts. `http` has
    the method, query and headers of what came by HTTP; `watch` says what its sender waits for.
    """

    source: str
    event_id: str
    event_type: str
    subject: str
    time: str | None
    data: Json
    starts: tuple[Start, ...]
    subtype: str = ""
    body_sha256: str = ""
    http: Json = None
    watch: str = ""


@message("scheduler.filter-failed.v1")
class FilterFailed:
    """An event met filters that cannot be evaluated on it; their triggers were not fired."""

    source: str
    event_id: str
    faults: tuple[FilterFault, ...]


TriggerEvent: TypeAlias = TriggerAccepted | FilterFailed


@message("scheduler.event-taken.v1")
class EventTaken:
    """An event for those who wait for it was taken; it goes to the register of its name."""

    event_id: str
    register_id: str
    name: str
    key: str
    payload: Json


@message("scheduler.wait-registered.v1")
class WaitRegistered:
    """An execution waits for an event of this register."""

    register_id: str
    name: str
    key: str
    wait_id: str
    execution_id: str
    until: str | None = None


@message("scheduler.wait-forgotten.v1")
class WaitForgotten:
    """A wait stands in its register no more."""

    register_id: str
    wait_id: str


@message("scheduler.event-kept.v1")
class EventKept:
    """Nobody waited for an event: it is kept until `until`; `dropped` made room for it."""

    register_id: str
    event_id: str
    name: str
    key: str
    payload: Json
    until: str
    dropped: str = ""


@message("scheduler.event-delivered.v1")
class EventDelivered:
    """An event was given to executions: (wait, execution) of each that waited."""

    register_id: str
    event_id: str
    name: str
    key: str
    payload: Json
    waits: tuple[tuple[str, str], ...]


@message("scheduler.events-expired.v1")
class EventsExpired:
    """Events, and waits, of a register whose time is over."""

    register_id: str
    event_ids: tuple[str, ...] = ()
    wait_ids: tuple[str, ...] = ()


RegisterCommand: TypeAlias = RegisterWait | ForgetWait | OfferEvent
RegisterEvent: TypeAlias = (
    WaitRegistered | WaitForgotten | EventKept | EventDelivered | EventsExpired
)
DeploymentCommand: TypeAlias = DeployWorkflow | UndeployWorkflow | MoreCommand
DeploymentEvent: TypeAlias = (
    DeploymentStarted
    | WorkflowDeployed
    | DeploymentFailed
    | UndeploymentStarted
    | WorkflowUndeployed
    | CopyReceived
    | MoreEvent
)
Command: TypeAlias = DeploymentCommand | ReceiveTrigger | ReceiveEvent | RegisterCommand
Event: TypeAlias = DeploymentEvent | TriggerEvent | EventTaken | RegisterEvent
