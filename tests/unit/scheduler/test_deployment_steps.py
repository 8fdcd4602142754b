"""Deployments of more than one step: going back, what is needed outside, hanging, resting."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from perdure_common.decider import Due, Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import sha256_of_json
from perdure_contracts.deployments import (
    DeployCopy,
    PauseEventTrigger,
    ResumeEventTrigger,
    RollbackWorkflow,
    SettleHook,
)
from perdure_contracts.scheduler import (
    DeploymentFailed,
    DeploymentStarted,
    DeployWorkflow,
    UndeployWorkflow,
    WorkflowDeployed,
)
from perdure_contracts.workflows import CopyVersion
from perdure_scheduler.app import deployments
from perdure_scheduler.deploying import HANG
from perdure_scheduler.state import Deployment

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKFLOW = "0190f3c0-0000-7000-8000-000000000001"
MAILBOX = {"host": "imap.example.com", "user": "orders", "credential": "orders-mailbox"}
UNDEPLOY = UndeployWorkflow(workflow_id=WORKFLOW, undeployed_by="ada")


def trigger(subtype: str, node_id: str, **parameters: Any) -> dict[str, Any]:
    return {
        "node_id": node_id,
        "node_type": "TRIGGER",
        "node_subtype": subtype,
        "parameters": parameters,
    }


MANUAL = trigger("MANUAL", "start")
MAIL = trigger("EMAIL", "mail", address="orders@example.com", mailbox=MAILBOX)
MORE = trigger("EMAIL", "more", address="more@example.com", mailbox=MAILBOX)


def definition(*nodes: Any) -> dict[str, Any]:
    return {"name": "orders", "nodes": list(nodes or (MANUAL,))}


def deploy(version: int, *nodes: Any, **more: Any) -> DeployWorkflow:
    whole = definition(*nodes)
    return DeployWorkflow(
        workflow_id=WORKFLOW,
        version=version,
        sha256=sha256_of_json(whole),
        definition=whole,
        deployed_by="ada",
        **more,
    )


def copy(version: int, rollback_of: int, *nodes: Any) -> DeployCopy:
    whole = definition(*nodes)
    return DeployCopy(
        workflow_id=WORKFLOW,
        version=version,
        sha256=sha256_of_json(whole),
        definition=whole,
        rollback_of=rollback_of,
    )


def back(**more: Any) -> RollbackWorkflow:
    return RollbackWorkflow(workflow_id=WORKFLOW, asked_by="bob", **more)


def hook(version: int, node_id: str = "mail", **more: Any) -> SettleHook:
    return SettleHook(workflow_id=WORKFLOW, version=version, node_id=node_id, **more)


class Course:
    """A workflow's deployment as command follows command."""

    def __init__(self, *commands: Any) -> None:
        self.state = Deployment()
        self.now = NOW
        self.version = 0
        self.events: list[Any] = []
        self.rows: list[Upsert] = []
        self.sent: list[Outgoing] = []
        for command in commands:
            assert not isinstance(self.does(command), Rejected)

    def does(self, command: Any) -> Sequence[Any] | Rejected:
        decided = deployments.decide(self.state, command, {}, self.now)
        if isinstance(decided, Rejected):
            return decided
        self.events, self.sent = list(decided), []
        for event in decided:
            self.state = deployments.evolve(self.state, event)
            self.version += 1
            recorded = Recorded(event, "t", WORKFLOW, self.version, self.now)
            self.rows += deployments.project(self.state, recorded)
            self.sent += deployments.route(self.state, recorded)
        return decided

    def refusal(self, command: Any) -> Rejected:
        refused = self.does(command)
        assert isinstance(refused, Rejected)
        return refused

    def triggers(self) -> dict[tuple[object, object], object]:
        """The newest status of each trigger row."""
        return {
            (row.key["deployment_version"], row.key["node_id"]): row.set["deployment_status"]
            for row in self.rows
            if row.table == "trigger_index" and "deployment_status" in row.set
        }

    def history(self) -> list[tuple[object, object, object]]:
        names = ("deployment_action", "to_status", "deployment_version")
        history = [row.set for row in self.rows if row.table == "workflow_deployment_history"]
        return [(row[names[0]], row[names[1]], row[names[2]]) for row in history]


# Going back -------------------------------------------------------------------------------------


def test_going_back_asks_the_engine_for_a_copy_of_the_version_that_served_before() -> None:
    course = Course(deploy(1), deploy(2, trigger("MANUAL", "other")), back())
    [asked] = course.sent
    assert asked.topic == "perdure.engine.commands.v1"
    first = sha256_of_json(definition())
    assert asked.message == CopyVersion(
        workflow_id=WORKFLOW, version=1, sha256=first, asked_by="bob"
    )
    assert course.state.status == "DEPLOYING"
    assert course.triggers()[2, "other"] == "active", "the old version goes on serving"


def test_the_copy_serves_under_its_new_number_and_says_of_what_it_is_one() -> None:
    course = Course(deploy(1), deploy(2, trigger("MANUAL", "other")), back(), copy(3, 1))
    deployed = course.events[-1]
    assert isinstance(deployed, WorkflowDeployed)
    assert (deployed.version, deployed.replaced, deployed.deployed_by) == (3, 2, "bob")
    assert deployed.config == {"rollback_of": 1}
    assert course.history()[-3:] == [
        ("ROLLBACK", "DEPLOYING", 1),
        ("DEPLOY_STARTED", "DEPLOYING", 1),
        ("DEPLOY_COMPLETED", "ACTIVE", 3),
    ]
    assert course.triggers() == {
        (1, "start"): "inactive", (2, "other"): "inactive", (3, "start"): "active",
    }  # fmt: skip


def test_going_back_twice_names_the_version_that_served_before_each_time() -> None:
    course = Course(deploy(1), deploy(2, MAIL | {"disabled": True}, MANUAL), back(), copy(3, 1))
    course.does(back())
    started = course.events[0]
    assert isinstance(started, DeploymentStarted) and started.version == 2


def test_only_a_version_that_served_can_be_gone_back_to() -> None:
    course = Course(deploy(1), deploy(3, trigger("MANUAL", "other")))
    refused = course.refusal(back(to_version=2))
    assert refused.code == "unknown_version" and "served: 1, 3" in refused.reason
    assert Course(deploy(1)).refusal(back()).code == "unknown_version"


def test_going_back_to_what_serves_changes_nothing() -> None:
    course = Course(deploy(1), deploy(2, trigger("MANUAL", "other")))
    assert course.does(back(to_version=2)) == ()


def test_what_is_not_deployed_cannot_go_back() -> None:
    assert Course(deploy(1), UNDEPLOY).refusal(back(to_version=1)).code == "not_deployed"


def test_going_back_minds_the_expected_version() -> None:
    course = Course(deploy(1), deploy(2, trigger("MANUAL", "other")))
    assert course.refusal(back(expected_version=1)).code == "conflict"


def test_meanwhile_everything_else_is_a_conflict_that_says_until_when() -> None:
    course = Course(deploy(1), deploy(2, trigger("MANUAL", "other")), back())
    for command in (back(), deploy(4), UNDEPLOY):
        refused = course.refusal(command)
        assert refused.code == "conflict"
        assert (NOW + HANG).isoformat() in refused.reason


def test_a_copy_that_does_not_come_fails_the_rollback_and_leaves_what_serves() -> None:
    course = Course(deploy(1), deploy(2, trigger("MANUAL", "other")), back())
    assert deployments.wake_at(course.state) == NOW + timedelta(seconds=60)
    assert course.does(Due(WORKFLOW)) == ()
    course.now = NOW + HANG
    course.does(Due(WORKFLOW))
    [failed] = course.events
    assert isinstance(failed, DeploymentFailed)
    assert (failed.code, failed.serving) == ("hook_timeout", 2)
    assert course.state.status == "ACTIVE" and deployments.wake_at(course.state) is None
    assert course.does(copy(3, 1)) == (), "it comes too late"


# What is needed outside -------------------------------------------------------------------------


def test_a_mailbox_must_open_before_its_trigger_serves() -> None:
    course = Course(deploy(1), deploy(2, MAIL))
    assert course.triggers() == {(1, "start"): "active", (2, "mail"): "pending"}
    course.does(hook(2, ok=True, message="opened"))
    assert course.triggers() == {(1, "start"): "inactive", (2, "mail"): "active"}
    deployed = course.events[-1]
    assert isinstance(deployed, WorkflowDeployed)
    assert [log.step for log in deployed.logs] == ["validate", "index", "hooks", "swap"]
    assert all(log.ok for log in deployed.logs)


def test_a_deployment_waits_for_all_that_it_needs() -> None:
    course = Course(deploy(1, MAIL, MORE), hook(1, ok=True))
    assert course.state.status == "DEPLOYING"
    assert course.does(hook(1, ok=True)) == (), "told before"
    course.does(hook(1, "more", ok=True))
    assert course.state.status == "ACTIVE"


def test_a_mailbox_that_does_not_open_fails_the_deployment_with_the_servers_reason() -> None:
    course = Course(deploy(1), deploy(2, MAIL))
    course.does(hook(2, ok=False, message="login refused", code="mailbox_refused"))
    [failed] = course.events
    assert isinstance(failed, DeploymentFailed)
    assert failed.code == "mailbox_refused" and "node 'mail': login refused" in failed.reason
    assert course.triggers() == {(1, "start"): "active", (2, "mail"): "failed"}
    assert course.state.serving is not None and course.state.serving.version == 1


def test_a_first_deployment_that_hangs_has_failed_after_a_minute() -> None:
    course = Course(deploy(1, MAIL))
    course.now = NOW + HANG
    course.does(Due(WORKFLOW))
    assert course.state == Deployment("FAILED", attempts=1)
    assert course.triggers() == {(1, "mail"): "failed"}
    assert course.history()[-1] == ("DEPLOY_FAILED", "FAILED", 1)
    assert "mailbox orders at imap.example.com" in course.events[0].reason
    assert course.does(hook(1, ok=True)) == (), "the answer comes too late"


def test_a_copy_waits_for_what_its_triggers_need_too() -> None:
    course = Course(deploy(1, MAIL), hook(1, ok=True), deploy(2), back(), copy(3, 1, MAIL))
    assert course.state.status == "DEPLOYING"
    assert course.triggers()[3, "mail"] == "pending"
    course.does(hook(3, ok=True))
    assert course.triggers()[3, "mail"] == "active" and course.triggers()[2, "start"] == "inactive"


def log(course: Course) -> list[tuple[str, bool, datetime]]:
    """What the end of a deployment says was done, and when."""
    ended = course.events[-1]
    assert isinstance(ended, WorkflowDeployed | DeploymentFailed)
    return [(each.step, each.ok, datetime.fromisoformat(each.at)) for each in ended.logs]


def test_the_log_says_of_each_step_when_it_was_done() -> None:
    course = Course(deploy(1, MAIL, MORE))
    for later, node_id in ((1, "mail"), (2, "more")):
        course.now = NOW + later * timedelta(seconds=10)
        course.does(hook(1, node_id, ok=True))
    first, last = NOW + timedelta(seconds=10), NOW + timedelta(seconds=20)
    checked = [("validate", True, NOW), ("index", True, NOW)]
    opened = [("hooks", True, first), ("hooks", True, last)]
    assert log(course) == [*checked, *opened, ("swap", True, last)]


def test_the_log_of_what_fails_outside_says_what_was_right_before() -> None:
    course = Course(deploy(1, MAIL))
    course.now = NOW + timedelta(seconds=10)
    course.does(hook(1, ok=False, message="login refused", code="mailbox_refused"))
    checked = [("validate", True, NOW), ("index", True, NOW)]
    assert log(course) == [*checked, ("hooks", False, course.now)]


def test_the_log_of_a_copy_begins_when_it_is_there() -> None:
    course = Course(deploy(1, MAIL), hook(1, ok=True), deploy(2), back())
    there = course.now = NOW + timedelta(seconds=10)
    course.does(copy(3, 1, MAIL))
    course.now = NOW + timedelta(seconds=20)
    course.does(hook(3, ok=True))
    checked = [("validate", True, there), ("index", True, there)]
    assert log(course) == [*checked, ("hooks", True, course.now), ("swap", True, course.now)]


def test_a_copy_that_cannot_serve_any_more_fails() -> None:
    course = Course(deploy(1), deploy(2, trigger("MANUAL", "other")), back())
    course.does(copy(3, 1, trigger("PIGEON", "bird")))
    failed = course.events[-1]
    assert isinstance(failed, DeploymentFailed) and failed.code == "unknown_trigger"
    assert course.state.status == "ACTIVE"


# Resting ----------------------------------------------------------------------------------------

PAUSE = PauseEventTrigger(workflow_id=WORKFLOW, node_id="start", asked_by="ada")
RESUME = ResumeEventTrigger(workflow_id=WORKFLOW, node_id="start", asked_by="ada")


def active(course: Course) -> object:
    """Whether the newest row of `start` says that it fires."""
    shown = [row.set for row in course.rows if row.key.get("node_id") == "start"]
    return [row["is_active"] for row in shown if "is_active" in row][-1]


def test_a_trigger_rests_and_fires_again() -> None:
    course = Course(deploy(1), PAUSE)
    assert active(course) is False
    assert course.does(PAUSE) == ()
    course.does(RESUME)
    assert active(course) is True
    assert course.does(RESUME) == ()


def test_a_pause_outlives_an_update_and_ends_with_an_undeployment() -> None:
    course = Course(deploy(1), PAUSE, deploy(2, MANUAL, MAIL | {"disabled": True}))
    assert active(course) is False
    for command in (UNDEPLOY, deploy(3)):
        course.does(command)
    assert active(course) is True


def test_a_pause_goes_with_its_node() -> None:
    course = Course(deploy(1), PAUSE, deploy(2, trigger("MANUAL", "other")), deploy(3))
    assert active(course) is True


@pytest.mark.parametrize("command", [PAUSE, RESUME])
def test_only_what_serves_can_rest(command: Any) -> None:
    assert Course().refusal(command).code == "not_serving"
    assert Course(deploy(1, MAIL), hook(1, ok=True)).refusal(command).code == "not_serving"


def test_a_clock_rests_by_its_own_command() -> None:
    course = Course(deploy(1, trigger("CRON", "start", expression="@daily")))
    assert course.refusal(PAUSE).code == "wrong_trigger"
