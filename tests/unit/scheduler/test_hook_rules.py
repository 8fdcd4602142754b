"""What trigger nodes may say about HTTP, who owns a path, what Slack's filters mean, and rates."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from perdure_common.ids import sha256_of_json
from perdure_common.settings import Settings
from perdure_contracts.answers import AnswerKept, NoteAnswer, answer_stream, watches
from perdure_contracts.scheduler import (
    DeploymentFailed,
    DeploymentStarted,
    DeployWorkflow,
    ReceiveTrigger,
    TriggerAccepted,
    WorkflowDeployed,
)
from perdure_scheduler.answering import Answered, decide_answer, evolve_answer
from perdure_scheduler.caps import caps_of
from perdure_scheduler.decide import decide_trigger
from perdure_scheduler.definition import read_triggers
from perdure_scheduler.deploying import decide_deployment
from perdure_scheduler.hook_event import nodes_in, versions_in
from perdure_scheduler.hook_settings import UNCAPPED, HookCaps
from perdure_scheduler.hooks.asked import Asked
from perdure_scheduler.hooks.document import described
from perdure_scheduler.hooks.limits import Rates
from perdure_scheduler.hooks.receipts import Entry, Outcome
from perdure_scheduler.hooks.routes import Route
from perdure_scheduler.hooks.taking import take_webhook
from perdure_scheduler.slack_match import slack_fulfils, team_of
from perdure_scheduler.state import Deployment, Trigger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKFLOW = str(uuid.UUID(int=7))
OTHER = str(uuid.UUID(int=8))
SECRET = {"hooks": ("secret",)}


def node(subtype: str, node_id: str = "hook", **parameters: Any) -> dict[str, Any]:
    return {
        "node_id": node_id,
        "node_type": "TRIGGER",
        "node_subtype": subtype,
        "parameters": parameters,
    }


def problems(subtype: str, **parameters: Any) -> list[str]:
    _, found = read_triggers(WORKFLOW, {"nodes": [node(subtype, **parameters)]})
    return [problem.code for problem in found]


def config(subtype: str, **parameters: Any) -> Any:
    triggers, found = read_triggers(WORKFLOW, {"nodes": [node(subtype, **parameters)]})
    assert not found
    return triggers[0].config


def deployed(
    *nodes: Any,
    credentials: Mapping[str, tuple[str, ...]] = SECRET,
    caps: HookCaps = UNCAPPED,
) -> Any:
    """Return what a deployment leads to at once: it has failed, or waits for its paths."""
    definition = {"name": "w", "nodes": list(nodes)}
    command = DeployWorkflow(
        workflow_id=WORKFLOW,
        version=1,
        sha256=sha256_of_json(definition),
        definition=definition,
        credentials=dict(credentials),
    )
    found = decide_deployment(Deployment(), command, {}, NOW, caps)
    assert isinstance(found, tuple)
    return found[-1]


def test_none_must_be_written() -> None:
    assert problems("WEBHOOK", path="/orders") == ["missing_auth"]
    assert problems("WEBHOOK", path="/orders", auth="none") == []


@pytest.mark.parametrize(
    "more",
    [
        {"auth": "None"},
        {"auth": ["none"]},
        {"auth": "none", "credential": "hooks"},
        {"auth": "bearer"},
        {"auth": "hmac", "credential": "hooks"},
        {"auth": "hmac", "credential": "hooks", "signature_header": "X Y"},
        {"auth": "hmac", "credential": "hooks", "signature_header": "X-Prüfung"},
        {"auth": "none", "delivery_header": "X-٣"},
        {"auth": "hmac", "credential": "hooks", "signature_header": "X", "algorithm": "md5"},
        {"auth": "hmac", "credential": "hooks", "signature_header": "X", "encoding": "hexa"},
        {"auth": "hmac", "credential": "hooks", "signature_header": "X", "prefix": 7},
        {"auth": "none", "signature_header": "X-Signature"},
        {"auth": "none", "methods": ["BREW"]},
        {"auth": "none", "methods": []},
        {"auth": "none", "respond": "later"},
        {"auth": "none", "deadline_s": 5},
        {"auth": "none", "respond": "last_node", "deadline_s": 301},
        {"auth": "none", "respond": "last_node", "deadline_s": True},
        {"auth": "none", "respond": "last_node", "deadline_s": 0},
        {"auth": "none", "rate_per_minute": 0},
        {"auth": "none", "rate_per_minute": 60_001},
        {"auth": "none", "rate_per_minute": True},
        {"auth": "none", "rate_per_minute": "60"},
        {"auth": "none", "rate_per_minute": None},
        {"auth": "none", "body_bytes_max": 0},
        {"auth": "none", "body_bytes_max": 1e6},
        {"auth": "none", "body_bytes_max": 64 * 1024 * 1024 + 1},
        {"auth": "none", "path": "/a%20b"},
        {"auth": "none", "path": "/a b"},
    ],
)
def test_what_cannot_be_meant_is_refused(more: dict[str, Any]) -> None:
    assert problems("WEBHOOK", **{"path": "/orders", **more}) == ["invalid_parameter"]


def test_what_is_kept_of_a_webhook_has_no_defaults() -> None:
    assert config("WEBHOOK", path="orders/", auth="none", methods="post") == {
        "path": "/orders",
        "auth": "none",
    }
    found = config("WEBHOOK", path="/o", auth="standard", credential="hooks", respond="last_node")
    assert found == {
        "path": "/o",
        "auth": "standard",
        "credential": "hooks",
        "respond": "last_node",
        "deadline_s": 30,
    }


def test_a_trigger_that_asks_for_more_than_the_installation_gives_is_not_deployed() -> None:
    asks = node("WEBHOOK", path="/o", auth="none", rate_per_minute=700, body_bytes_max=2_000)
    assert isinstance(deployed(asks), DeploymentStarted)
    assert isinstance(deployed(asks, caps=HookCaps(700, 2_000)), DeploymentStarted)
    failed = deployed(asks, caps=HookCaps(699, 1_999))
    assert isinstance(failed, DeploymentFailed)
    assert failed.code == "above_cap"
    assert "`rate_per_minute` is 700" in failed.reason and "at most 1,999" in failed.reason


@pytest.mark.parametrize("name", ["triggers.v1", "engine.events.v1", "triggers.v1.dlt"])
def test_a_topic_of_ours_under_the_prefix_of_the_installation_is_refused(name: str) -> None:
    """Its records would come to our own topic, and be read from there again, without end."""
    read = node("KAFKA", topic=f"acme.{name}")
    failed = deployed(read, caps=HookCaps(topic_prefix="acme"))
    assert isinstance(failed, DeploymentFailed)
    assert failed.code == "own_topic" and f"'acme.{name}'" in failed.reason
    assert isinstance(deployed(read), DeploymentStarted), "it is another's topic elsewhere"
    orders = node("KAFKA", topic="acme.orders")
    assert isinstance(deployed(orders, caps=HookCaps(topic_prefix="acme")), DeploymentStarted)
    own = deployed(node("KAFKA", type="shop.paid"), caps=HookCaps(topic_prefix="acme"))
    assert isinstance(own, WorkflowDeployed), "events on our own topic are asked for by its name"


def test_what_holds_for_all_may_be_asked_for_and_lowered_caps_hold_at_once() -> None:
    def caps(**env: str) -> HookCaps:
        servers = {"PERDURE_DATABASE_URL": "postgresql:///x", "PERDURE_KAFKA_BOOTSTRAP": "x:1"}
        said = {f"PERDURE_{name}": value for name, value in env.items()}
        return caps_of(Settings.read("scheduler", {**servers, **said}))

    assert caps() == HookCaps(6_000, 8 * 1024 * 1024)
    assert caps(HOOKS_PER_MINUTE="9000", HOOKS_BYTES_MAX="9000000") == HookCaps(9_000, 9_000_000)
    assert caps(HOOKS_PER_MINUTE="0").rate_per_minute == 0
    assert caps(HOOKS_PER_MINUTE_CAP="0").rate_per_minute == 0
    assert caps(TOPIC_PREFIX="acme").topic_prefix == "acme"
    wants = {"rate_per_minute": 500, "body_bytes_max": 5_000}
    assert HookCaps(100, 1_000).rate_of(wants) == 100
    assert HookCaps(100, 1_000).body_bytes_of(wants) == 1_000
    assert HookCaps(0, 9_000).rate_of(wants) == 500
    assert HookCaps(0, 9_000).body_bytes_of(wants) == 5_000
    assert HookCaps().rate_of({}) is HookCaps().body_bytes_of({}) is None


def test_github_listens_on_http_if_it_has_a_credential() -> None:
    assert config("GITHUB", repository="a/b") == {}
    found = config("GITHUB", repository="a/b", credential="hooks")
    assert found == {"path": "/github", "auth": "github", "credential": "hooks"}
    assert problems("GITHUB", repository="a/b", path="/gh") == ["missing_parameter"]


@pytest.mark.parametrize("subtype", ["GITHUB", "SLACK"])
def test_triggers_that_share_a_path_have_limits_of_their_own(subtype: str) -> None:
    more: dict[str, Any] = {"credential": "hooks"}
    if subtype == "GITHUB":
        more["repository"] = "acme/shop"
    limits: dict[str, Any] = {"rate_per_minute": 700, "body_bytes_max": 2_000}
    kept = config(subtype, **more, **limits)
    assert kept.items() >= limits.items()
    assert not config(subtype, **more).keys() & limits.keys()
    for wrong in ({"rate_per_minute": 0}, {"rate_per_minute": "60"}, {"body_bytes_max": 1e6}):
        assert problems(subtype, **more, **wrong) == ["invalid_parameter"]
    failed = deployed(node(subtype, **more, **limits), caps=HookCaps(600, 1_999))
    assert isinstance(failed, DeploymentFailed)
    assert "`rate_per_minute` is 700" in failed.reason and "at most 1,999" in failed.reason


def test_limits_without_requests_to_limit_are_refused() -> None:
    found = problems("GITHUB", repository="acme/shop", rate_per_minute=5)
    assert found == ["missing_parameter"], "without a credential it does not listen on HTTP"


def test_slack_needs_its_secret_and_takes_every_team_unless_one_is_named() -> None:
    assert problems("SLACK") == ["missing_parameter"]
    triggers, _ = read_triggers(WORKFLOW, {"nodes": [node("SLACK", credential="hooks")]})
    assert triggers[0].index_key == "*"
    assert config("SLACK", credential="hooks", team="T1", events="message") == {
        "path": "/slack",
        "auth": "slack",
        "credential": "hooks",
        "events": ["message"],
    }


@pytest.mark.parametrize(
    ("credentials", "says"),
    [
        ({}, "is not there"),
        ({"hooks": ("token",)}, "has no `secret`"),
        ({"other": ("secret",)}, "is not there"),
    ],
)
def test_a_deployment_fails_whose_secret_is_missing(
    credentials: dict[str, tuple[str, ...]], says: str
) -> None:
    hook = node("WEBHOOK", path="/o", auth="standard", credential="hooks")
    failed = deployed(hook, credentials=credentials)
    assert isinstance(failed, DeploymentFailed)
    assert failed.code == "secret_missing"
    assert says in failed.reason
    assert isinstance(deployed(hook), DeploymentStarted)


def test_two_triggers_of_a_workflow_cannot_have_one_path_and_method() -> None:
    hook = node("WEBHOOK", path="/orders", auth="none")
    twice = deployed(hook, node("WEBHOOK", "second", path="orders", auth="none"))
    assert isinstance(twice, DeploymentFailed)
    assert twice.code == "path_taken"
    assert "POST /orders" in twice.reason and "'hook'" in twice.reason
    put = node("WEBHOOK", "second", path="/orders", auth="none", methods="PUT")
    assert isinstance(deployed(hook, put), DeploymentStarted)


async def test_a_request_says_which_version_took_it() -> None:
    entries: list[Entry] = []

    async def put(entry: Entry) -> Outcome:
        entries.append(entry)
        return Outcome(duplicate=False, event_id=entry.event_id)

    def stored(subtype: str, *, duplicate: bool) -> None:
        assert (subtype, duplicate) == ("WEBHOOK", False)

    metrics = SimpleNamespace(stored=stored)
    tools: Any = SimpleNamespace(
        intake=SimpleNamespace(put=put), metrics=metrics, bodies_url="http://bodies/"
    )
    route = Route(WORKFLOW, "w", 3, "hook", "WEBHOOK", "/o", {"auth": "none"}, ("POST",))
    reply = await take_webhook(tools, Asked("POST", "/o", (), {}), route)
    assert reply.status == 202
    said = entries[0].extensions
    assert nodes_in(said["nodes"]) == ((WORKFLOW, "hook"),)
    assert versions_in(said["versions"]) == (3,)


@pytest.mark.parametrize("junk", ["{}", "[true]", '["1"]', "[1.5]", "[[1]]", "1", "["])
def test_versions_that_are_none_of_ours_are_refused(junk: str) -> None:
    with pytest.raises(ValueError, match=r"`versions`|unexpected|EOF|end of"):
        versions_in(junk)


def test_an_event_of_http_starts_only_what_it_has_proved_itself_to() -> None:
    rows = [
        {
            "workflow_id": each,
            "workflow_name": "w",
            "deployment_version": 1,
            "node_id": "hook",
            "trigger_subtype": "GITHUB",
            "trigger_config": {"events": ["push"]},
            "position": 0,
        }
        for each in (WORKFLOW, OTHER)
    ]
    fields: dict[str, Any] = {
        "tenant_id": "t",
        "source": "/hooks/github",
        "event_id": "e",
        "event_type": "perdure.trigger.github",
        "subject": "a/b",
        "time": None,
        "data": {"payload": {}},  # too large: what is here cannot be matched
    }
    command = ReceiveTrigger(**fields, nodes=((OTHER, "hook"),), http={"method": "POST"})
    found = decide_trigger(Trigger(), command, {"by_key": rows}, NOW)
    assert isinstance(found, tuple)
    (accepted,) = found
    assert isinstance(accepted, TriggerAccepted)
    assert [start.workflow_id for start in accepted.starts] == [OTHER]
    assert accepted.http == {"method": "POST"}
    nobody = ReceiveTrigger(**fields, nodes=())
    assert decide_trigger(Trigger(), nobody, {"by_key": rows}, NOW) == ()


# Slack ------------------------------------------------------------------------------


def said(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event": event, **more}


MESSAGE = {"type": "message", "channel": "C1", "user": "U1", "text": "hi"}
COMMAND = {"command": "/deploy", "team_id": "T1", "channel_id": "C1", "user_id": "U1"}
CLICK = {
    "type": "block_actions",
    "team": {"id": "T1"},
    "channel": {"id": "C1"},
    "user": {"id": "U1"},
}


@pytest.mark.parametrize(
    ("settings", "data", "right"),
    [
        ({}, said(MESSAGE), True),
        ({"events": ["message"]}, said(MESSAGE), True),
        ({"events": ["app_mention"]}, said(MESSAGE), False),
        ({"channels": ["C1"], "users": ["U1"]}, said(MESSAGE), True),
        ({"channels": ["C2"]}, said(MESSAGE), False),
        ({"users": ["U2"]}, said(MESSAGE), False),
        ({"channels": ["C1"]}, said({"type": "reaction_added", "item": {"channel": "C1"}}), True),
        ({"events": ["slash_command"], "commands": ["/deploy"]}, COMMAND, True),
        ({"commands": ["/other"]}, COMMAND, False),
        ({"channels": ["C1"], "users": ["U1"]}, COMMAND, True),
        ({"events": ["block_actions"], "channels": ["C1"], "users": ["U1"]}, CLICK, True),
        ({"commands": ["/deploy"]}, said(MESSAGE), False),
        ({}, {"type": "url_verification", "challenge": "x"}, False),
        ({}, {}, False),
        ({}, [], False),
    ],
)
def test_every_given_filter_must_hold(settings: dict[str, Any], data: Any, right: bool) -> None:
    assert slack_fulfils(settings, data) is right


@pytest.mark.parametrize(
    "data",
    [
        said(MESSAGE | {"app_id": "A1"}),
        said(MESSAGE | {"bot_profile": {"app_id": "A1"}}),
        said({"type": "message", "subtype": "message_changed", "message": {"app_id": "A1"}}),
        said(MESSAGE, authorizations=[{"user_id": "U1", "is_bot": True}]),
    ],
)
def test_what_the_app_says_itself_starts_nothing(data: Any) -> None:
    assert not slack_fulfils({}, data)
    assert slack_fulfils({}, said(MESSAGE, authorizations=[{"user_id": "U1", "is_bot": False}]))
    assert slack_fulfils({}, said(MESSAGE | {"app_id": "A2"}))


def test_the_workspace_is_found_wherever_it_stands() -> None:
    assert [team_of(each) for each in (said(MESSAGE), COMMAND, CLICK, {}, None)] == [
        "T1", "T1", "T1", "", "",
    ]  # fmt: skip


# Answers and rates ------------------------------------------------------------------


def test_the_document_of_the_api_tells_of_the_listener() -> None:
    app = FastAPI()
    described(app, "https://hooks.example")
    document = app.openapi()
    hook = document["paths"]["/hooks/{tenant}/{path}"]
    assert hook["servers"] == [{"url": "https://hooks.example"}]
    assert {"202", "200", "401", "413", "429", "503"} <= hook["post"]["responses"].keys()
    assert "/hooks-status/{tenant}/{execution_id}" in document["paths"]


def test_the_first_answer_counts() -> None:
    note = NoteAnswer(watcher="e/answer", execution_id="e", status=201, body=1, responded=True)
    end = NoteAnswer(watcher="e/answer", execution_id="e", status=200, body=[], ended="SUCCESS")
    (kept,) = decide_answer(Answered(), note, {}, NOW)
    assert kept == AnswerKept(execution_id="e", status=201, body=1)
    assert decide_answer(evolve_answer(Answered(), kept), end, {}, NOW) == ()


def test_a_stream_says_what_it_waits_for() -> None:
    assert watches(answer_stream("e", "answer")) == "answer"
    assert watches(answer_stream("e", "result")) == "result"
    assert watches("w/cron/answer") == ""  # a CRON node may be called so
    assert watches("") == ""


def test_a_path_takes_so_many_requests_a_minute_in_a_burst_or_spread_out() -> None:
    rates = Rates(600)
    assert [rates.wait_s("/a", 100.0) for _ in range(600)] == [0.0] * 600
    assert rates.wait_s("/a", 100.0) == pytest.approx(0.1)
    assert rates.wait_s("/b", 100.0) == 0.0
    assert rates.wait_s("/a", 100.05) > 0
    assert rates.wait_s("/a", 100.11) == 0.0
    taken = sum(rates.wait_s("/a", 100.2 + n / 100) == 0.0 for n in range(6_000))
    assert taken == pytest.approx(600, abs=2)
    assert Rates(0).wait_s("/a", 1.0) == 0.0
    assert [rates.wait_s("/own", 1.0, 2) for _ in range(3)] == [0.0, 0.0, pytest.approx(30.0)]


def test_schedulers_share_what_a_path_takes() -> None:
    both = [Rates(600, sharers=2) for _ in range(2)]
    taken = sum(each.wait_s("/a", 100.0) == 0.0 for each in both for _ in range(500))
    assert taken == 600
    both[0].sharers = 1  # the other has gone
    assert [both[0].wait_s("/a", 160.0) for _ in range(600)] == [0.0] * 600
    few = Rates(1, sharers=3)
    assert (few.wait_s("/a", 1.0), few.wait_s("/a", 61.1)) == (0.0, 0.0)
    assert few.wait_s("/a", 61.2) > 0
