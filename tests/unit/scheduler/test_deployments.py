"""What becomes of a deployment: who serves, what is refused, and which rows say so."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from perdure_common.decider import Recorded, Rejected, Upsert
from perdure_common.ids import sha256_of_json
from perdure_contracts.message import Envelope
from perdure_contracts.scheduler import (
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    DeployWorkflow,
    ReceiveTrigger,
    UndeploymentStarted,
    UndeployWorkflow,
    WorkflowDeployed,
    WorkflowUndeployed,
)
from perdure_contracts.stopping import StopExecutions
from perdure_scheduler.app import deployments, service
from perdure_scheduler.state import Deployment

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKFLOW = "0190f3c0-0000-7000-8000-000000000001"

MANUAL = {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL", "name": "Start"}


def trigger(subtype: str, node_id: str = "start", **parameters: Any) -> dict[str, Any]:
    return {
        "node_id": node_id,
        "node_type": "TRIGGER",
        "node_subtype": subtype,
        "parameters": parameters,
    }


def deploy(*nodes: Any, version: int = 1, **more: Any) -> DeployWorkflow:
    definition = {"name": "triage", "nodes": list(nodes or (MANUAL,)), "connections": []}
    fields: dict[str, Any] = {
        "workflow_id": WORKFLOW,
        "version": version,
        "sha256": sha256_of_json(definition),
        "definition": definition,
        "deployed_by": "ada",
        **more,
    }
    return DeployWorkflow(**fields)


MAILBOX = {"host": "imap.example.com", "user": "orders", "credential": "orders-mailbox"}

UNDEPLOY = UndeployWorkflow(workflow_id=WORKFLOW, undeployed_by="ada")


def decided(
    command: DeployWorkflow | UndeployWorkflow, state: Deployment | None = None
) -> tuple[DeploymentEvent, ...] | Rejected:
    return deployments.decide(state or Deployment(), command, {}, NOW)


def events(
    command: DeployWorkflow | UndeployWorkflow, state: Deployment | None = None
) -> tuple[DeploymentEvent, ...]:
    result = decided(command, state)
    assert not isinstance(result, Rejected), result
    return result


def after(*commands: DeployWorkflow | UndeployWorkflow) -> Deployment:
    state = Deployment()
    for command in commands:
        for event in events(command, state):
            state = deployments.evolve(state, event)
    return state


def rows(*commands: DeployWorkflow | UndeployWorkflow) -> list[Upsert]:
    """The rows that the last of the commands writes."""
    state, version = Deployment(), 0
    written: list[Upsert] = []
    for command in commands:
        written.clear()
        for event in events(command, state):
            state, version = deployments.evolve(state, event), version + 1
            recorded = Recorded(event, "tenant", WORKFLOW, version, NOW)
            written += deployments.project(state, recorded)
    return written


def failure(*nodes: Any) -> DeploymentFailed:
    started, failed = events(deploy(*nodes))
    assert isinstance(started, DeploymentStarted)
    assert isinstance(failed, DeploymentFailed)
    return failed


def refusal(
    command: DeployWorkflow | UndeployWorkflow, state: Deployment | None = None
) -> Rejected:
    result = decided(command, state)
    assert isinstance(result, Rejected)
    assert not result.dead_letter
    return result


def test_the_first_deployment_serves_its_triggers() -> None:
    github = trigger("GITHUB", "issues", repository="acme/shop")
    started, deployed = events(deploy(MANUAL, github))
    assert isinstance(started, DeploymentStarted)
    assert (started.action, started.from_status) == ("DEPLOY", "IDLE")
    assert isinstance(deployed, WorkflowDeployed)
    assert deployed.workflow_name == "triage"
    assert deployed.replaced is None
    assert [(t.node_id, t.subtype, t.index_key, t.position) for t in deployed.triggers] == [
        ("start", "MANUAL", WORKFLOW, 0),
        ("issues", "GITHUB", "acme/shop", 1),
    ]
    assert [log.step for log in deployed.logs] == ["validate", "index", "swap"]


def test_a_deployment_over_a_serving_version_is_an_update_and_retires_its_rows() -> None:
    state = after(deploy())
    started, deployed = events(deploy(trigger("MANUAL", "other"), version=2), state)
    assert isinstance(started, DeploymentStarted)
    assert (started.action, started.from_status) == ("UPDATE", "ACTIVE")
    assert isinstance(deployed, WorkflowDeployed)
    assert deployed.replaced == 1
    assert deployed.retired == ("start",)


def test_a_swap_writes_old_and_new_rows_with_one_event() -> None:
    swapped = [
        (row.key["deployment_version"], row.key["node_id"], row.set["deployment_status"])
        for row in rows(deploy(), deploy(MANUAL, trigger("MANUAL", "b"), version=2))
        if row.table == "trigger_index"
    ]
    assert swapped == [(1, "start", "inactive"), (2, "start", "active"), (2, "b", "active")]


def test_going_back_to_an_earlier_version_activates_its_rows_again() -> None:
    back = rows(deploy(), deploy(MANUAL, trigger("MANUAL", "b"), version=2), deploy(version=1))
    swapped = {
        (row.key["deployment_version"], row.key["node_id"]): row.set["deployment_status"]
        for row in back
        if row.table == "trigger_index"
    }
    assert swapped == {
        (2, "start"): "inactive",
        (2, "b"): "inactive",
        (1, "start"): "active",
    }


def test_an_undeployed_workflow_serves_nothing() -> None:
    written = rows(deploy(), UNDEPLOY)
    assert [r.set["deployment_status"] for r in written if r.table == "trigger_index"] == [
        "inactive"
    ]
    undeployed = after(deploy(), UNDEPLOY)
    assert (undeployed.status, undeployed.serving) == ("IDLE", None)


def test_what_runs_of_each_undeployed_version_is_stopped_by_a_stream_of_its_own() -> None:
    state = after(deploy(version=2))
    command = UndeployWorkflow(workflow_id=WORKFLOW, undeployed_by="ada", cancel_running=True)
    undeployed = events(command, state)[-1]
    sent = deployments.route(state, Recorded(undeployed, "tenant", WORKFLOW, 3, NOW))
    [stop] = [each.message for each in sent if isinstance(each.message, StopExecutions)]
    assert (stop.stream, stop.version) == (f"{WORKFLOW}/stop/2", 2)


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (
            (deploy(),),
            [
                ("DEPLOY", "IDLE", "DEPLOYING"),
                ("DEPLOY_STARTED", "IDLE", "DEPLOYING"),
                ("DEPLOY_COMPLETED", "DEPLOYING", "ACTIVE"),
            ],
        ),
        (
            (deploy(), deploy(version=2)),
            [
                ("UPDATE", "ACTIVE", "DEPLOYING"),
                ("DEPLOY_STARTED", "ACTIVE", "DEPLOYING"),
                ("DEPLOY_COMPLETED", "DEPLOYING", "ACTIVE"),
            ],
        ),
        (
            (deploy(trigger("EMAIL")),),
            [
                ("DEPLOY", "IDLE", "DEPLOYING"),
                ("DEPLOY_STARTED", "IDLE", "DEPLOYING"),
                ("DEPLOY_FAILED", "DEPLOYING", "FAILED"),
            ],
        ),
        (
            (deploy(), deploy(trigger("EMAIL"), version=2)),
            [
                ("UPDATE", "ACTIVE", "DEPLOYING"),
                ("DEPLOY_STARTED", "ACTIVE", "DEPLOYING"),
                ("DEPLOY_FAILED", "DEPLOYING", "ACTIVE"),
            ],
        ),
        (
            (deploy(), UNDEPLOY),
            [
                ("UNDEPLOY", "ACTIVE", "UNDEPLOYING"),
                ("UNDEPLOY_STARTED", "ACTIVE", "UNDEPLOYING"),
                ("UNDEPLOY_COMPLETED", "UNDEPLOYING", "IDLE"),
            ],
        ),
    ],
)
def test_the_history_has_one_row_for_the_command_its_start_and_its_end(
    commands: tuple[DeployWorkflow | UndeployWorkflow, ...], expected: list[tuple[str, str, str]]
) -> None:
    written = [r for r in rows(*commands) if r.table == "workflow_deployment_history"]
    fields = ("deployment_action", "from_status", "to_status")
    assert [tuple(r.set[f] for f in fields) for r in written] == expected
    assert all(r.new for r in written), "rows of the history never change"
    assert len({r.key["id"] for r in written}) == 3
    assert [r.set["completed_at"] for r in written] == [None, None, NOW]


@pytest.mark.parametrize(
    ("cancel_running", "said"), [(True, {"cancel_running": True}), (False, {})]
)
def test_the_history_has_what_was_said_of_an_undeployment(
    cancel_running: bool, said: dict[str, bool]
) -> None:
    command = UndeployWorkflow(
        workflow_id=WORKFLOW, undeployed_by="ada", cancel_running=cancel_running
    )
    written = [r.set for r in rows(deploy(), command) if r.table == "workflow_deployment_history"]
    asked = [row for row in written if row["deployment_action"] in ("UNDEPLOY", "UNDEPLOY_STARTED")]
    assert [row["deployment_config"] for row in asked] == [said, said]


def test_a_failed_update_leaves_the_old_version_serving() -> None:
    state = after(deploy(), deploy(trigger("EMAIL"), version=2))
    assert state.status == "ACTIVE"
    assert state.serving is not None and state.serving.version == 1


def test_after_a_failed_first_deployment_another_can_follow() -> None:
    failed = after(deploy(trigger("EMAIL")))
    assert failed == Deployment("FAILED", attempts=1)
    assert after(deploy(trigger("EMAIL")), deploy(version=2)).status == "ACTIVE"


def test_the_serving_version_again_changes_nothing() -> None:
    assert events(deploy(expected_version=0), after(deploy())) == ()


def test_the_serving_version_with_another_definition_is_refused() -> None:
    refused = refusal(deploy(trigger("MANUAL", "other")), after(deploy()))
    assert refused.code == "unknown_version"


@pytest.mark.parametrize("version", [0, -1, 2**31])
def test_a_version_that_cannot_be_is_refused(version: int) -> None:
    assert refusal(deploy(version=version)).code == "unknown_version"


@pytest.mark.parametrize(("expected", "serving"), [(1, 0), (0, 1), (7, 1)])
def test_of_two_concurrent_deployments_the_second_is_a_conflict(
    expected: int, serving: int
) -> None:
    state = after(deploy()) if serving else Deployment()
    refused = refusal(deploy(version=2, expected_version=expected), state)
    assert refused.code == "conflict"
    assert f"serves version {serving}, not {expected}" in refused.reason


def test_the_expected_version_lets_a_deployment_pass() -> None:
    assert len(events(deploy(version=2, expected_version=1), after(deploy()))) == 2


@pytest.mark.parametrize(
    "begun",
    [
        DeploymentStarted(workflow_id=WORKFLOW, version=1, action="DEPLOY", deployed_by=""),
        UndeploymentStarted(workflow_id=WORKFLOW, version=1, undeployed_by=""),
    ],
)
def test_a_busy_workflow_refuses_every_command(begun: DeploymentEvent) -> None:
    state = deployments.fold([begun])
    assert refusal(deploy(version=2), state).code == "conflict"
    assert refusal(UNDEPLOY, state).code == "conflict"


@pytest.mark.parametrize("state", [Deployment(), Deployment("FAILED"), after(deploy(), UNDEPLOY)])
def test_what_is_not_deployed_cannot_be_undeployed(state: Deployment) -> None:
    assert refusal(UNDEPLOY, state).code == "not_deployed"


@pytest.mark.parametrize("workflow_id", ["triage", "", WORKFLOW.upper(), WORKFLOW + "0"])
def test_a_workflow_id_that_no_table_takes_is_refused(workflow_id: str) -> None:
    assert refusal(deploy(workflow_id=workflow_id)).code == "invalid_workflow_id"


def test_a_definition_that_is_not_the_frozen_one_fails() -> None:
    _, failed = events(deploy(sha256="0" * 64))
    assert isinstance(failed, DeploymentFailed)
    assert failed.code == "sha256_mismatch"


FAULTS: list[tuple[list[Any], str, str]] = [
    ([{"node_id": "a", "node_type": "FLOW"}], "no_trigger", "add one"),
    ([{**MANUAL, "disabled": True}], "no_trigger", "enable one"),
    ([trigger("EMAIL", "mail")], "invalid_parameter", "`address` must be a text"),
    ([trigger("EMAIL", "mail", address="Ann <a@b.c>")], "invalid_parameter", "without a name"),
    ([trigger("EMAIL", "mail", address="a@b.c", mailbox=1)], "invalid_parameter", "an object"),
    (
        [trigger("EMAIL", "mail", address="a@b.c", mailbox={"host": "h", "user": "u"})],
        "invalid_parameter",
        "`mailbox.credential`",
    ),
    (
        [trigger("EMAIL", "mail", address="a@b.c", mailbox={**MAILBOX, "password": "x"})],
        "unknown_parameter",
        "no parameter `mailbox.password`",
    ),
    (
        [trigger("EMAIL", "mail", address="a@b.c", mailbox={**MAILBOX, "poll_s": 1})],
        "invalid_parameter",
        "from 5 to 3,600",
    ),
    ([trigger("KAFKA", "k", topic="perdure.engine.starts.v1")], "own_topic", "perdure's own"),
    ([trigger("KAFKA", "k", topic="__consumer_offsets")], "own_topic", "Kafka's own"),
    ([trigger("KAFKA", "k", topic="a/b")], "invalid_parameter", "letters, digits"),
    ([trigger("KAFKA", "k", type="perdure.trigger.manual")], "reserved_type", "other triggers"),
    ([trigger("KAFKA", "k", topic="a" * 200, type="b" * 60)], "invalid_parameter", "together"),
    ([trigger("PIGEON", "bird")], "unknown_trigger", "node 'bird'"),
    ([trigger("WEBHOOK", "hook")], "invalid_parameter", "`path` must be a text"),
    ([trigger("WEBHOOK", "hook", path="/a?b=c")], "invalid_parameter", "path alone"),
    ([trigger("WEBHOOK", "hook", path="{{ $json.x }}")], "invalid_parameter", "fixed text"),
    ([trigger("WEBHOOK", "hook", path="/" + "a" * 255)], "invalid_parameter", "path"),
    ([trigger("GITHUB", "gh")], "invalid_parameter", "`repository` must be a text"),
    ([trigger("GITHUB", "gh", repository="a/b/c")], "invalid_parameter", "'owner/name'"),
    ([trigger("GITHUB", "gh", repository="*/b")], "invalid_parameter", "'owner/*'"),
    ([trigger("GITHUB", "gh", repository="a", events=[])], "invalid_parameter", "`events`"),
    ([trigger("GITHUB", "gh", repository="a", paths=[1])], "invalid_parameter", "`paths`"),
    (
        [trigger("GITHUB", "gh", repository="a", branch="main")],
        "unknown_parameter",
        "did you mean 'branches'?",
    ),
    ([trigger("MANUAL", "go", filter="{{ $json. }}")], "invalid_filter", "`filter`"),
    ([trigger("MANUAL", "go", filter="$json.x")], "invalid_filter", "one whole expression"),
    ([trigger("MANUAL", "go", filter="{{ $now }}")], "invalid_filter", "$json and $event alone"),
    ([trigger("MANUAL", "go", filter=False)], "invalid_filter", "disable the node"),
    ([trigger("MANUAL", "go", filter=7)], "invalid_filter", "one expression"),
    ([trigger("CRON", "c", expression="@daily", filter="{{ nodes.a }}")], "invalid_filter", ""),
    ([trigger("CRON", "c", expression="@daily", filter=False)], "invalid_filter", "disable"),
    ([{**MANUAL, "parameters": []}], "invalid_definition", "must be an object"),
    ([{**MANUAL, "node_id": ""}], "invalid_definition", "nodes[0]"),
    ([MANUAL, MANUAL], "invalid_definition", "two trigger nodes"),
]


@pytest.mark.parametrize(("nodes", "code", "says"), FAULTS)
def test_a_trigger_that_cannot_serve_fails_with_a_reason_that_names_it(
    nodes: list[Any], code: str, says: str
) -> None:
    failed = failure(*nodes)
    assert failed.code == code
    assert says in failed.reason


def test_every_problem_of_a_definition_is_told_at_once() -> None:
    failed = failure(trigger("EMAIL", "clock"), trigger("WEBHOOK", "hook", auth="none"))
    assert failed.code == "invalid_parameter"
    assert "'clock'" in failed.reason and "'hook'" in failed.reason
    assert [log.ok for log in failed.logs] == [False, False]


@pytest.mark.parametrize("definition", [None, [], {}, {"nodes": {}}, "nodes"])
def test_a_definition_without_nodes_fails(definition: Any) -> None:
    command = deploy(definition=definition, sha256=sha256_of_json(definition))
    _, failed = events(command)
    assert isinstance(failed, DeploymentFailed)
    assert failed.code == "invalid_definition"


@pytest.mark.parametrize(
    ("written", "key"),
    [("orders", "/orders"), ("/orders/", "/orders"), ("/A/b", "/A/b"), ("/", "/")],
)
def test_a_webhook_is_indexed_by_its_path(written: str, key: str) -> None:
    (started,) = events(deploy(trigger("WEBHOOK", path=written, auth="none")))
    assert isinstance(started, DeploymentStarted)
    assert started.triggers[0].index_key == key
    assert [hook.what for hook in started.hooks] == [f"path {key}"]


@pytest.mark.parametrize("repository", ["Acme/Shop", "acme/*", "acme", "*"])
def test_a_repository_is_indexed_in_lower_case_and_its_filters_are_kept(repository: str) -> None:
    parameters: dict[str, Any] = {
        "repository": repository,
        "events": "issues",
        "branches": ["main", "v*"],
    }
    _, deployed = events(deploy(trigger("GITHUB", **parameters)))
    assert isinstance(deployed, WorkflowDeployed)
    assert deployed.triggers[0].index_key == repository.lower()
    assert deployed.triggers[0].config == {"events": ["issues"], "branches": ["main", "v*"]}


def test_a_disabled_trigger_has_no_row() -> None:
    _, deployed = events(deploy(MANUAL, {**trigger("EMAIL", "clock"), "disabled": True}))
    assert isinstance(deployed, WorkflowDeployed)
    assert [t.node_id for t in deployed.triggers] == ["start"]


def test_nobody_can_send_the_scheduler_a_trigger_as_a_command() -> None:
    envelope = Envelope(id="1", source="/me", type="t", tenant_id="t", topic="x")
    forged = ReceiveTrigger(
        tenant_id="t", source="s", event_id="1", event_type="perdure.trigger.manual",
        subject="w", time=None, data=None,
    )  # fmt: skip
    assert service.hear(forged, envelope) is None
    assert service.hear(UNDEPLOY, envelope) is UNDEPLOY


def test_a_deployments_stream_is_its_workflow() -> None:
    assert deployments.stream_of(UNDEPLOY) == WORKFLOW


def test_nobody_is_sent_anything_because_of_a_deployment() -> None:
    event = WorkflowUndeployed(workflow_id=WORKFLOW, version=1, undeployed_by="")
    assert deployments.route(Deployment(), Recorded(event, "t", WORKFLOW, 1, NOW)) == ()


def test_the_state_survives_a_snapshot() -> None:
    state = after(deploy(), deploy(trigger("GITHUB", repository="a", events=["push"]), version=2))
    assert msgspec.json.decode(msgspec.json.encode(state), type=Deployment) == state
