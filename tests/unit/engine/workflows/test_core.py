"""Definitions become versions; deployments are noted; the draft is shown."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from perdure_common.decider import Recorded, Rejected, Upsert
from perdure_common.ids import sha256_of_json
from perdure_common.settings import DEFAULT_WORKSPACE
from perdure_common.shell import codec
from perdure_contracts.engine import SaveWorkflow, StartExecution
from perdure_contracts.message import Envelope
from perdure_contracts.scheduler import (
    DeploymentFailed,
    DeploymentStarted,
    TriggerAccepted,
    UndeploymentStarted,
    WorkflowDeployed,
    WorkflowUndeployed,
)
from perdure_contracts.workflows import DeploymentNoted, Event, NoteDeployment, WorkflowSaved
from perdure_engine.hear import hear
from perdure_engine.workflows.decide import WARNINGS_MAX
from perdure_engine.workflows.decider import decider

ID = "0198c0de-0000-7000-8000-000000000001"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENVELOPE = Envelope(id="1", source="/scheduler/0", type="t", tenant_id="t", topic="x")
START = {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL"}
SET = {
    "node_id": "set",
    "node_type": "ACTION",
    "node_subtype": "SET",
    "parameters": {"values": {"a": "{{ $json.b }}"}},
}


def definition(*nodes: dict[str, Any], **rest: Any) -> dict[str, Any]:
    connections = [{"source_node_id": "start", "target_node_id": n["node_id"]} for n in nodes]
    return {"name": "w", "nodes": [START, *nodes], "connections": connections, **rest}


def decided(body: Any, *past: Event, workflow_id: str = ID) -> tuple[Event, ...] | Rejected:
    command = SaveWorkflow(workflow_id=workflow_id, definition=body, saved_by="ann")
    return decider.decide(decider.fold(past), command, {}, NOW)


def saved(body: Any, *past: Event) -> WorkflowSaved:
    events = decided(body, *past)
    assert not isinstance(events, Rejected), events.reason
    (event,) = events
    assert isinstance(event, WorkflowSaved)
    return event


def rows(table: str, *past: Event) -> list[Upsert]:
    recorded = Recorded(
        event=past[-1], tenant_id="t", stream=ID, version=len(past), recorded_at=NOW
    )
    found = decider.project(decider.fold(past), recorded)
    return [upsert for upsert in found if upsert.table == table]


def test_a_valid_definition_becomes_the_next_version() -> None:
    first = saved(definition())
    assert first == WorkflowSaved(
        workflow_id=ID,
        workspace_id=DEFAULT_WORKSPACE,
        name="w",
        version=1,
        sha256=sha256_of_json(definition()),
        definition=definition(),
        saved_by="ann",
    )
    assert saved(definition(SET), first).version == 2


def test_the_newest_version_saved_again_makes_no_other() -> None:
    first = saved(definition())
    second = saved(definition(SET), first)
    reordered = dict(reversed(definition(SET).items()))
    assert decided(reordered, first, second) == ()
    assert saved(definition(), first, second).version == 3


def test_an_invalid_definition_is_refused_with_every_problem_located() -> None:
    broken = definition({**SET, "node_subtype": "SETT"}, owner="me")
    refused = decided(broken)
    assert isinstance(refused, Rejected)
    assert refused.code == "invalid_definition"
    assert [line.split(" ")[0].rstrip(":") for line in refused.reason.splitlines()] == [
        "owner",
        "nodes[1].node_subtype",
    ]


@pytest.mark.parametrize("body", [None, [], float("nan"), {"nodes": {1, 2}}])
def test_what_is_no_definition_is_refused(body: Any) -> None:
    first = saved(definition())
    for past in ((), (first,)):
        refused = decided(body, *past)
        assert isinstance(refused, Rejected)
        assert refused.code == "invalid_definition"


def test_a_workflow_is_named_by_a_uuid() -> None:
    refused = decided(definition(), workflow_id="triage")
    assert isinstance(refused, Rejected)
    assert refused.code == "invalid_workflow_id"


def test_warnings_are_kept_with_the_version() -> None:
    lost = {"node_id": "lost", "node_type": "FLOW", "node_subtype": "NOOP"}
    body = {**definition(), "nodes": [START, lost]}
    event = saved(body)
    assert [(each.code, each.path) for each in event.warnings] == [("never_runs", "nodes[1]")]
    (row,) = rows("workflow_versions", event)
    (warning,) = cast("list[dict[str, Any]]", row.set["warnings"])
    assert warning["node_id"] == "lost"


def test_the_draft_is_the_rows_of_the_newest_version() -> None:
    first = saved(definition(SET))
    second = saved(definition({**SET, "node_id": "other"}), first)
    (workflow,) = rows("workflows", first, second)
    assert workflow.key == {"id": ID}
    assert (workflow.set["newest_version"], workflow.set["version"]) == (2, "2")
    assert "deployment_status" not in workflow.set
    assert "created_at" not in workflow.set
    nodes = rows("nodes", first, second)
    assert [row.key["node_id"] for row in nodes] == ["start", "other"]
    assert {row.set["workflow_version"] for row in nodes} == {2}
    assert ["created_at" in row.set for row in nodes] == [False, True]
    (connection,) = rows("node_connections", first, second)
    assert connection.set["target_node_id"] == "other"
    (version,) = rows("workflow_versions", first, second)
    assert version.new
    assert version.key == {"workflow_id": ID, "version": 2}


def test_a_connection_keeps_its_row_from_version_to_version() -> None:
    first = saved(definition(SET))
    second = saved(definition(SET, description="new"), first)
    (before,), (after,) = rows("node_connections", first), rows("node_connections", first, second)
    assert before.key == after.key


@pytest.mark.parametrize(
    ("message", "noted"),
    [
        (
            DeploymentStarted(workflow_id=ID, version=2, action="DEPLOY", deployed_by="ann"),
            {"deployment_status": "DEPLOYING"},
        ),
        (
            WorkflowDeployed(
                workflow_id=ID, workflow_name="w", version=2, sha256="", triggers=(),
                deployed_by="ann", config={"a": 1},
            ),
            {
                "deployment_status": "ACTIVE", "deployment_version": 2, "deployed_by": "ann",
                "deployed_at": NOW, "undeployed_at": None, "deployment_config": {"a": 1},
            },
        ),
        (  # whatever the deployment before had: of a rollback, for one
            WorkflowDeployed(
                workflow_id=ID, workflow_name="w", version=3, sha256="", triggers=(),
                deployed_by="ann",
            ),
            {
                "deployment_status": "ACTIVE", "deployment_version": 3, "deployed_by": "ann",
                "deployed_at": NOW, "undeployed_at": None, "deployment_config": {},
            },
        ),
        (
            DeploymentFailed(workflow_id=ID, version=2, code="c", reason="r"),
            {"deployment_status": "FAILED"},
        ),
        (
            DeploymentFailed(workflow_id=ID, version=2, code="c", reason="r", serving=1),
            {"deployment_status": "ACTIVE", "deployment_version": 1},
        ),
        (
            UndeploymentStarted(workflow_id=ID, version=2, undeployed_by="ann"),
            {"deployment_status": "UNDEPLOYING"},
        ),
        (
            WorkflowUndeployed(workflow_id=ID, version=2, undeployed_by="ann"),
            {"deployment_status": "IDLE", "undeployed_at": NOW},
        ),
    ],
)  # fmt: skip
def test_what_the_scheduler_says_of_deployments_is_shown(
    message: object, noted: dict[str, Any]
) -> None:
    command = hear(message, ENVELOPE)
    assert isinstance(command, NoteDeployment)
    assert decider.stream_of(command) == ID
    first = saved(definition())
    events = decider.decide(decider.fold([first]), command, {}, NOW)
    assert not isinstance(events, Rejected)
    (row,) = rows("workflows", first, *events)
    assert row.set == noted
    assert decider.fold([first, *events]).deployment_status == noted["deployment_status"]


def test_a_deployment_of_an_unknown_workflow_is_refused() -> None:
    command = NoteDeployment(workflow_id=ID, status="ACTIVE")
    refused = decider.decide(decider.initial, command, {}, NOW)
    assert isinstance(refused, Rejected)
    assert refused.code == "unknown_workflow"


def test_the_engine_hears_its_own_commands_and_passes_other_messages_over() -> None:
    start = StartExecution(
        execution_id="e", workflow_id=ID, version=1, node_id="start", mode="MANUAL",
        triggered_by="MANUAL:start", trigger={}, data={},
    )  # fmt: skip
    assert hear(start, ENVELOPE) is start
    accepted = TriggerAccepted(
        source="/s", event_id="1", event_type="perdure.trigger.manual", subject="w", time=None,
        data={}, starts=(),
    )  # fmt: skip
    assert hear(accepted, ENVELOPE) is None


def test_saving_sends_no_messages() -> None:
    event = saved(definition())
    recorded: Recorded[Event] = Recorded(
        event=event, tenant_id="t", stream=ID, version=1, recorded_at=NOW
    )
    assert decider.route(decider.fold([event]), recorded) == ()
    noted = DeploymentNoted(workflow_id=ID, status="ACTIVE", version=1)
    assert decider.fold([event, noted]).deployment_version == 1


def test_the_largest_definition_fits_into_the_message_that_freezes_it() -> None:
    def of(count: int) -> dict[str, Any]:
        notes = {"notes": "x" * 19_000}  # nothing leads to these nodes, which is warned of
        return {**definition(), "nodes": [START, *({**SET, **notes, "node_id": f"n{at}"}
                                                   for at in range(count))]}  # fmt: skip

    large = saved(of(45))
    assert len(large.warnings) == WARNINGS_MAX
    assert len(codec.encode_body(large)) > 0.9 * codec.MESSAGE_BYTES_MAX
    assert len(codec.encode_body(large)) < codec.MESSAGE_BYTES_MAX
    refused = decided(of(47))
    assert isinstance(refused, Rejected)
    assert "at most 880,000 are allowed" in refused.reason
