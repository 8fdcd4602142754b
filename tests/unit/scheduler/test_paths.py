"""Who gets a path of the HTTP listener, in whatever order deployments and paths hear each other."""

import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from path_stage import TENANT, PathStage, deploy, hook, undeploy, workflow
from perdure_common.decider import Due, Recorded
from perdure_contracts.deployments import DeployCopy, Hook, RollbackWorkflow, SettleHook
from perdure_contracts.paths import PathClaim, PathEvent, PathGranted, PathReleased, ReleasePath
from perdure_contracts.scheduler import DeployedTrigger, DeploymentStarted, WorkflowDeployed
from perdure_scheduler.app import paths
from perdure_scheduler.deploying import HANG
from perdure_scheduler.paths import Path, PathJudge, path_id, project_path

PATH = path_id(TENANT, "/orders")
W1, W2 = workflow(1), workflow(2)


def stage(*commands: Any) -> PathStage:
    made = PathStage()
    made.does(*commands)
    made.check()
    return made


def test_a_deployment_serves_when_its_path_is_granted() -> None:
    made = PathStage()
    made.tell(deploy(1, 1, hook("/orders")))
    assert made.status(1) == "DEPLOYING" and made.listening() == []
    made.settle()
    assert made.status(1) == "ACTIVE"
    assert made.listening() == [("/orders", "POST", W1, 1)]
    made.check()


def test_of_two_deployments_in_one_instant_exactly_one_gets_the_path() -> None:
    made = PathStage()
    made.tell(deploy(1, 1, hook("/orders")))
    made.tell(deploy(2, 1, hook("/orders")))
    made.deliver((W2, PATH))
    made.settle()
    assert (made.status(1), made.status(2)) == ("FAILED", "ACTIVE")
    failed = made.last(1)
    assert failed.code == "path_taken"
    assert "POST /orders belongs to node 'hook' (WEBHOOK) of w2" in failed.reason and W2 in (
        failed.reason
    )
    made.check()


@pytest.mark.parametrize(
    ("theirs", "free"),
    [
        (hook("/orders"), False),
        (hook("/orders/"), False),
        (hook("/orders", methods=["PUT", "POST"]), False),
        (hook("/orders", methods="PUT"), True),
        (hook("/other"), True),
        (hook("/Orders"), True),
        (hook("/orders", subtype="GITHUB"), False),
    ],
)
def test_a_path_has_one_owner_for_each_method(theirs: Any, free: bool) -> None:
    made = stage(deploy(1, 1, theirs), deploy(2, 1, hook("/orders")))
    assert made.status(2) == ("ACTIVE" if free else "FAILED")


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [("GITHUB", "GITHUB", True), ("SLACK", "SLACK", True), ("GITHUB", "SLACK", False)],
)
def test_triggers_of_github_share_a_path_and_of_slack_but_not_both(
    ours: str, theirs: str, both: bool
) -> None:
    made = PathStage()
    for number, subtype in ((1, ours), (2, theirs)):
        made.tell(deploy(number, 1, hook("/apps", subtype=subtype)))
        made.settle()
    assert made.status(2) == ("ACTIVE" if both else "FAILED")
    assert len(made.path("/apps").holders) == (2 if both else 1)


def test_what_is_undeployed_gives_its_path_back() -> None:
    made = stage(deploy(1, 1, hook("/orders")), undeploy(1))
    assert made.path("/orders") == Path()
    assert made.grants[TENANT, "/orders", W1, 1]["released_at"] is not None
    made.does(deploy(2, 1, hook("/orders")))
    assert made.status(2) == "ACTIVE"
    made.check()


def test_whoever_is_gone_is_not_waited_for_even_if_his_word_is_late() -> None:
    made = stage(deploy(1, 1, hook("/orders")))
    made.tell(undeploy(1))
    made.tell(deploy(2, 1, hook("/orders")))
    made.deliver((W2, PATH))
    assert list(made.path("/orders").holders) == [f"{W2}/1"]
    made.settle()  # what the first gives back now is not what the second has
    assert made.status(2) == "ACTIVE" and list(made.path("/orders").holders) == [f"{W2}/1"]
    made.check()


def test_an_update_has_its_path_twice_until_it_has_ended() -> None:
    made = stage(deploy(1, 1, hook("/orders")))
    made.tell(deploy(1, 2, hook("/orders", methods=["POST", "PUT"]), hook("/new", "new")))
    made.deliver((W1, PATH))
    assert list(made.path("/orders").holders) == [f"{W1}/1", f"{W1}/2"]
    assert made.listening() == [("/orders", "POST", W1, 1)], "what served goes on"
    made.settle()
    assert list(made.path("/orders").holders) == [f"{W1}/2"]
    assert len(made.listening()) == 3
    made.does(deploy(1, 3, hook("/new", "new")))
    assert made.path("/orders") == Path()
    made.check()


def test_an_update_that_fails_keeps_what_served_and_gives_back_what_it_got() -> None:
    made = stage(deploy(1, 1, hook("/orders")), deploy(2, 1, hook("/taken")))
    made.does(deploy(1, 2, hook("/orders"), hook("/new", "new"), hook("/taken", "taken")))
    assert made.last(1).code == "path_taken" and made.status(1) == "ACTIVE"
    assert made.listening() == [("/orders", "POST", W1, 1), ("/taken", "POST", W2, 1)]
    assert list(made.path("/orders").holders) == [f"{W1}/1"] and made.path("/new") == Path()
    made.check()


def test_a_path_that_does_not_answer_fails_the_deployment_and_gets_its_release() -> None:
    made = PathStage()
    made.tell(deploy(1, 1, hook("/orders")))
    made.now += HANG
    made.tell(Due(W1))
    assert made.last(1).code == "hook_timeout" and "path /orders" in made.last(1).reason
    made.settle()
    assert made.path("/orders") == Path() and made.status(1) == "FAILED"
    made.check()


def test_what_an_earlier_attempt_was_granted_is_no_grant_for_a_later_one() -> None:
    made = PathStage()
    made.tell(deploy(1, 1, hook("/orders")))
    made.deliver((W1, PATH))
    made.now += HANG
    made.tell(Due(W1))
    made.deliver((W1, PATH))
    made.tell(deploy(2, 1, hook("/orders")))
    made.deliver((W2, PATH))
    made.deliver((PATH, W2))
    made.tell(deploy(1, 1, hook("/orders")))
    late = made.deliver((PATH, W1))
    assert isinstance(late, SettleHook) and late.ok
    assert made.status(1) == "DEPLOYING", "the answer was to the deployment before"
    made.settle()
    assert (made.status(1), made.status(2)) == ("FAILED", "ACTIVE")
    made.check()


def test_no_edge_can_grant_a_path() -> None:
    made = PathStage()
    made.tell(deploy(1, 1, hook("/orders")))
    forged = SettleHook(workflow_id=W1, version=1, node_id="hook", ok=True)
    assert made.tell(forged) == ()
    assert made.status(1) == "DEPLOYING"


def test_a_claim_that_comes_again_is_answered_again_and_changes_nothing() -> None:
    made = PathStage()
    made.tell(deploy(1, 1, hook("/orders")))
    claim = made.deliver((W1, PATH), times=2)
    made.settle()
    assert made.status(1) == "ACTIVE" and len(made.path("/orders").holders) == 1
    made.does(undeploy(1))
    made.tell(claim)  # much too late: nobody is kept away by it
    made.settle()
    made.does(deploy(2, 1, hook("/orders")))
    assert made.status(2) == "ACTIVE"
    made.check()


def test_a_rollback_asks_for_the_paths_of_the_version_it_goes_back_to() -> None:
    made = stage(deploy(1, 1, hook("/orders")), deploy(1, 2, hook("/new")))
    assert made.path("/orders") == Path()
    old = deploy(1, 1, hook("/orders"))
    made.tell(RollbackWorkflow(workflow_id=W1))
    started = made.last(1)
    assert isinstance(started, DeploymentStarted) and started.attempt == 3
    made.does(DeployCopy(
        workflow_id=W1, version=3, sha256=old.sha256, definition=old.definition, rollback_of=1
    ))  # fmt: skip
    assert made.listening() == [("/orders", "POST", W1, 3)] and made.path("/new") == Path()
    made.check()


# From before the change ---------------------------------------------------------------------


def before(number: int, path: str = "/orders") -> tuple[DeploymentStarted, WorkflowDeployed]:
    """Return what stands in the journal of a workflow that served before paths were asked for."""
    trigger = DeployedTrigger(
        node_id="hook",
        subtype="WEBHOOK",
        index_key=path,
        config={"path": path, "auth": "none"},
        position=0,
    )
    who = workflow(number)
    return (
        DeploymentStarted(workflow_id=who, version=1, action="DEPLOY", deployed_by="ada"),
        WorkflowDeployed(
            workflow_id=who,
            workflow_name=f"w{number}",
            version=1,
            sha256="0" * 64,
            triggers=(trigger,),
            deployed_by="ada",
        ),
    )


def test_what_served_before_the_change_keeps_its_path() -> None:
    made = PathStage()
    made.happened(W1, *before(1))
    assert made.listening() == [("/orders", "POST", W1, 0)]
    made.does(deploy(2, 1, hook("/orders")))
    assert made.last(2).code == "path_taken" and "of w1" in made.last(2).reason
    made.does(deploy(1, 2, hook("/orders")))
    assert made.status(1) == "ACTIVE" and made.listening() == [("/orders", "POST", W1, 1)]
    made.check()
    made.does(undeploy(1), deploy(2, 2, hook("/orders")))
    assert made.listening() == [("/orders", "POST", W2, 2)]
    made.check()


def test_a_deployment_that_waits_since_before_the_change_has_to_be_asked_for_again() -> None:
    made = PathStage()
    mailbox = {"mailbox": {"user": "orders", "host": "imap.example.com"}}
    mail = DeployedTrigger(
        node_id="mail", subtype="EMAIL", index_key="a@b.c", config=mailbox, position=1
    )
    _, deployed = before(1)
    started = DeploymentStarted(
        workflow_id=W1, version=1, action="DEPLOY", deployed_by="ada",
        deadline=(made.now + HANG).isoformat(), workflow_name="w1", sha256="0" * 64,
        triggers=(*deployed.triggers, mail), hooks=(Hook(node_id="mail", what="mailbox"),),
    )  # fmt: skip
    made.happened(W1, started)
    made.does(SettleHook(workflow_id=W1, version=1, node_id="mail", ok=True))
    assert made.last(1).code == "path_not_granted" and "deploy again" in made.last(1).reason
    assert made.listening() == []


# All orders ---------------------------------------------------------------------------------


def a_command(chance: random.Random, made: PathStage) -> Any:
    number = chance.randint(1, 3)
    what = chance.random()
    if what < 0.2:
        return undeploy(number)
    if what < 0.3 and made.status(number) == "DEPLOYING":
        made.now += HANG + timedelta(seconds=1)
        return Due(workflow(number))
    nodes = [
        hook(path, f"n{at}", methods=chance.choice(["POST", "PUT", ["PUT", "POST"]]))
        for at, path in enumerate(chance.sample(["/a", "/b", "/c"], chance.randint(1, 2)))
    ]
    return deploy(number, chance.randint(1, 9), *nodes)


@pytest.mark.parametrize("seed", range(150))
def test_in_whatever_order_messages_come_nobody_serves_what_another_serves(seed: int) -> None:
    """Messages of a stream to another keep their order, some come twice; all else is chance."""
    chance, made = random.Random(seed), PathStage()
    granted = refused = 0
    for _ in range(120):
        if made.on_the_way and chance.random() < 0.7:
            way = chance.choice(sorted(made.on_the_way))
            made.deliver(way, times=2 if chance.random() < 0.2 else 1)
        else:
            made.tell(a_command(chance, made))
        made.check()
    made.settle()
    made.check()
    waiting = [number for number in (1, 2, 3) if made.status(number) == "DEPLOYING"]
    assert waiting == [], "everybody was answered"
    for path in ("/a", "/b", "/c"):
        serve = {f"{who}/{attempt}" for at, _, who, attempt in made.listening() if at == path}
        assert set(made.path(path).holders) == serve
    for past in made.history.values():
        granted += sum(isinstance(each, WorkflowDeployed) for each in past)
        refused += sum(getattr(each, "code", "") == "path_taken" for each in past)
    assert granted and refused


# The journal's judge ------------------------------------------------------------------------


def granted(number: int, **more: Any) -> PathGranted:
    claim = PathClaim(node_id="hook", subtype="WEBHOOK", methods=("POST",))
    fields: dict[str, Any] = {
        "path_id": PATH, "path": "/orders", "workflow_id": workflow(number),
        "workflow_name": f"w{number}", "version": 1, "attempt": 1, "nodes": (claim,),
    }  # fmt: skip
    return PathGranted(**{**fields, **more})


def judged(*events: Any) -> list[str]:
    judge = PathJudge()
    return [text for event in events for _, _, text in judge.see(event)]


def test_the_judge_finds_a_path_that_was_given_twice_or_given_back_by_another() -> None:
    back = PathReleased(path_id=PATH, path="/orders", workflow_id=W1, attempt=1)
    assert judged(granted(1), granted(1, again=True), back, granted(2)) == []
    assert judged(granted(1), granted(2)) == [f"{W2} was granted POST, which {W1} has"]
    assert judged(granted(1), granted(2, dropped=((W1, 1),))) == []
    assert judged(back) == [f"{W1} gave back what it had not"]
    assert judged(granted(1, again=True)) == [f"{W1} was told of a path that it has not"]


def test_the_state_of_a_path_survives_a_snapshot_and_shows_no_row_twice() -> None:
    state = paths.fold([granted(1), granted(2, dropped=((W1, 1),))])
    assert msgspec.json.decode(msgspec.json.encode(state), type=Path) == state
    told_again = Recorded[PathEvent](granted(2, again=True), TENANT, PATH, 3, PathStage().now)
    assert project_path(state, told_again) == ()


def test_a_release_of_what_nobody_has_changes_nothing() -> None:
    made = stage(deploy(1, 1, hook("/orders")), undeploy(1))
    again = ReleasePath(path_id=PATH, path="/orders", workflow_id=W1, attempt=1)
    assert made.tell(again) == ()
