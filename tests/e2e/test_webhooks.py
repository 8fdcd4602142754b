"""Webhooks on real servers: who may start what, what is answered, nothing lost or doubled."""

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from definitions_for_tests import node
from hook_client import (
    CREDENTIALS_KEY,
    KEY,
    SECRET,
    Hooks,
    as_bytes,
    ended,
    hooked,
    set_credential,
    settled,
    signed,
    started,
)
from outside_world import World
from perdure_common.embedded import Addresses
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import DeploymentFailed
from perdure_scheduler.hooks.serve import SHARED_EVERY_S
from platform_stage import PATIENT, Stage
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELDS = {"hooks": ("secret",)}
ORDER = b'{"order": 7}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """A platform whose scheduler has the key of its credentials."""
    settings = {**PATIENT, "PERDURE_CREDENTIALS_KEY": CREDENTIALS_KEY}
    async with (
        shared_ground(servers) as ground,
        Stage(ground, (f"{world.host}:{world.port}",), settings) as made,
    ):
        await set_credential(made, "hooks", secret=SECRET)
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def hooks(stage: Stage) -> AsyncGenerator[Hooks]:
    """A sender."""
    async with Hooks(stage) as sender:
        yield sender


async def test_a_signed_request_starts_an_execution_once_that_sees_all_of_it(
    stage: Stage, hooks: Hooks
) -> None:
    seen = node(
        "step",
        "ACTION.SET",
        values={
            "order": "{{ $json.order }}",
            "method": "{{ $execution.trigger.http.method }}",
            "query": "{{ $execution.trigger.http.query.q }}",
            "shop": "{{ $execution.trigger.http.headers['x-shop'] }}",
            "proof": "{{ $execution.trigger.http.headers['webhook-signature'] }}",
        },
    )
    workflow_id = await stage.deploy(hooked("/seen", seen, respond="last_node"), FIELDS)
    headers = {**signed(ORDER), "x-shop": "acme"}
    answer = await hooks.post("/seen?q=1", ORDER, headers)
    assert answer.status_code == 200, answer.text
    expected = {"order": 7, "method": "POST", "query": "1", "shop": "acme", "proof": None}
    assert answer.json() == [expected]
    execution_id = answer.headers["x-perdure-execution"]
    row = await ended(stage, execution_id)
    assert (row["mode"], row["triggered_by"]) == ("WEBHOOK", "WEBHOOK:hook")
    again = await hooks.post("/seen?q=1", ORDER, headers)
    assert (again.status_code, again.json()) == (200, [expected]), "it has the first one's answer"
    assert again.headers["x-perdure-execution"] == execution_id
    other = b'{"order": 8}'
    reused = await hooks.post("/seen", other, signed(other, id=headers["webhook-id"]))
    assert (reused.status_code, reused.json()["status"]) == (200, "duplicate")
    assert reused.json()["execution_id"] == execution_id
    lines = stage.log_of("scheduler").read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines if '"hook_id_reused"' in line]
    assert [(each["source"], each["started"]) for each in told] == [("/hooks/seen", [execution_id])]
    assert await settled(stage, workflow_id, 1) == [execution_id]


async def test_what_is_refused_has_the_right_status_and_leaves_a_line_in_the_log(
    stage: Stage, hooks: Hooks
) -> None:
    workflow_id = await stage.deploy(hooked("/strict"), FIELDS)
    counted = "select count(*) as n from scheduler.trigger_receipts where source = '/hooks/strict'"
    good = signed(ORDER)
    twice = [*good.items(), ("webhook-signature", good["webhook-signature"])]
    large = b'"%s"' % (b"x" * 1024 * 1024)
    broken = b'{"order": '
    cases: list[tuple[int, str, Any]] = [
        (404, "no_such_path", hooks.post("/strictly", ORDER, good)),
        (404, "no_such_path", hooks.post("/STRICT", ORDER, good)),
        (404, "no_such_path", hooks.post("/strict%00", ORDER, good)),
        (404, "no_such_path", hooks.post("/strict%ff", ORDER, good)),
        (405, "method_not_allowed", hooks.post("/strict", ORDER, good, method="PUT")),
        (413, "body_too_large", hooks.post("/strict", large, signed(large))),
        (400, "repeated_header", hooks.post("/strict", ORDER, twice)),
        (401, "not_verified", hooks.post("/strict", ORDER, signed(ORDER, key=b"x" * 24))),
        (401, "not_verified", hooks.post("/strict", ORDER + b" ", good)),
        (401, "not_verified", hooks.post("/strict", ORDER)),
        (401, "not_verified", hooks.post("/strict", ORDER, signed(ORDER, at=time.time() - 310))),
        (401, "not_verified", hooks.post("/strict", ORDER, signed(ORDER, at=time.time() + 310))),
        (400, "invalid_body", hooks.post("/strict", broken, signed(broken))),
    ]
    for status, code, sending in cases:
        answer = await sending
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
    request = as_bytes("/strict", ORDER, signed(ORDER))
    cut = await hooks.raw(request[:-3], half_close=True)
    assert cut.startswith(b"HTTP/1.1 400 ") and b"truncated" in cut
    chunked = request.replace(b"content-length: 12", b"transfer-encoding: chunked")
    cut = await hooks.raw(chunked.replace(ORDER, b"5\r\n" + ORDER[:5]), half_close=True)
    assert cut.startswith(b"HTTP/1.1 400 ") and b"truncated" in cut
    kept = chunked.replace(b"connection: close", b"connection: keep-alive")
    endless = kept.replace(ORDER, b"".join([b"20000\r\n" + b"x" * 0x20000 + b"\r\n"] * 9))
    assert (await hooks.first_word(endless)).startswith(b"HTTP/1.1 413 ")
    other = await hooks.post("/strict", ORDER, good, under="hooks-test")
    assert other.status_code == 404
    assert [row["n"] for row in await stage.rows(counted)] == [0]
    assert await started(stage, workflow_id) == []
    lines = stage.log_of("scheduler").read_text(encoding="utf-8").splitlines()
    refused = [json.loads(line) for line in lines if '"hook_refused"' in line]
    told = {each["code"] for each in refused if each["path"].endswith("/strict")}
    assert {code for _, code, _ in cases} - {"no_such_path"} <= told
    assert not any("webhook-signature" in line or "v1," in line for line in lines)


async def test_a_path_takes_six_hundred_requests_a_minute(stage: Stage, hooks: Hooks) -> None:
    definition = hooked("/busy")
    definition["nodes"][0]["parameters"] = {"path": "/busy", "auth": "none"}
    await stage.deploy(definition)
    request = as_bytes("/busy", b"[", {"content-type": "application/json"})
    answers = [await asyncio.gather(*(hooks.raw(request) for _ in range(50))) for _ in range(14)]
    statuses = [answer[9:12] for group in answers for answer in group]
    assert set(statuses) == {b"400", b"429"}
    assert 600 <= statuses.count(b"400") < 700
    limited = next(answer for group in answers for answer in group if answer[9:12] == b"429")
    assert b"retry-after: 1" in limited


async def test_a_trigger_has_limits_of_its_own(stage: Stage, hooks: Hooks) -> None:
    lower = hooked("/narrow", rate_per_minute=3, body_bytes_max=100)
    await stage.deploy(lower, FIELDS)
    large = b'"%s"' % (b"x" * 99)
    answers = [await hooks.post("/narrow", large, signed(large))]
    answers += [await hooks.post("/narrow", ORDER, signed(ORDER)) for _ in range(4)]
    assert [each.status_code for each in answers] == [413, 202, 202, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 21
    higher = hooked("/wide", body_bytes_max=3 * 1024 * 1024)
    workflow_id = await stage.deploy(higher, FIELDS)
    large = b'{"order": 7, "text": "%s"}' % (b"x" * 2 * 1024 * 1024)
    answer = await hooks.post("/wide", large, signed(large))
    assert answer.status_code == 202, answer.text
    await settled(stage, workflow_id, 1)
    greedy = hooked("/greedy", rate_per_minute=6_001, body_bytes_max=8 * 1024 * 1024 + 1)
    with pytest.raises(AssertionError, match="deployment-failed"):
        await stage.deploy(greedy, FIELDS)
    [row] = await stage.rows(
        "select error_message from scheduler.workflow_deployment_history "
        "where deployment_action = 'DEPLOY_FAILED' order by started_at desc limit 1"
    )
    assert row["error_message"].startswith("above_cap: ")
    assert "at most 6,000" in row["error_message"]
    assert "at most 8,388,608" in row["error_message"]


async def test_without_its_secret_nothing_is_deployed_and_nothing_taken(
    stage: Stage, hooks: Hooks
) -> None:
    definition = hooked("/secret", credential="later")
    with pytest.raises(AssertionError, match="deployment-failed"):
        await stage.deploy(definition)
    [row] = await stage.rows(
        "select error_message from scheduler.workflow_deployment_history "
        "where deployment_action = 'DEPLOY_FAILED' order by started_at desc limit 1"
    )
    assert row["error_message"].startswith("secret_missing: ")
    assert NAMES[DeploymentFailed] == "scheduler.deployment-failed.v1"
    await set_credential(stage, "later", secret=SECRET)
    await stage.deploy(definition, {"later": ("secret",)})
    assert (await hooks.post("/secret", ORDER, signed(ORDER))).status_code == 202
    await stage.rows("delete from engine.credentials where handle = 'later'")
    await asyncio.sleep(2.5)
    answer = await hooks.post("/secret", ORDER, signed(ORDER))
    assert (answer.status_code, answer.json()["code"]) == (503, "secret_missing")
    newer = b"n" * 24
    rotated = {"secret": "whsec_" + "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u", "previous_secret": SECRET}
    await set_credential(stage, "later", **rotated)
    await asyncio.sleep(2.5)
    for key, status in ((KEY, 202), (newer, 202), (b"o" * 24, 401)):
        found = await hooks.post("/secret", ORDER, signed(ORDER, key=key))
        assert found.status_code == status


async def test_a_path_belongs_to_the_first(stage: Stage, hooks: Hooks) -> None:
    await stage.deploy(hooked("/owned"), FIELDS)
    with pytest.raises(AssertionError, match="path_taken"):
        await stage.deploy(hooked("/owned"), FIELDS)
    await stage.deploy(hooked("/owned", methods=["PUT"]), FIELDS)
    headers = signed(ORDER)
    answers = [await hooks.post("/owned", ORDER, headers, method=m) for m in ("POST", "PUT")]
    assert [answer.status_code for answer in answers] == [202, 200]  # an id is one of the path


async def test_a_workflow_answers_as_its_respond_node_says(stage: Stage, hooks: Hooks) -> None:
    say = node(
        "say",
        "FLOW.RESPOND",
        status=201,
        headers={"X-Order": "{{ $json.order }}", "content-length": "3"},
        body={"thanks": "{{ $json.order }}"},
    )
    after = node("after", "FLOW.WAIT", seconds=30)
    await stage.deploy(hooked("/respond", say, after, respond="respond_node"), FIELDS)
    answer = await hooks.post("/respond", ORDER, signed(ORDER))
    assert (answer.status_code, answer.json()) == (201, {"thanks": 7})
    assert answer.headers["x-order"] == "7"
    letter = node("w", "ACTION.FILE", operation="write", content="für {{ $json.order }}",
                  file_name="brief ä.html", mime_type="text/html")  # fmt: skip
    sent = node("say", "FLOW.RESPOND", file="data", headers={"X-Order": "7"})
    await stage.deploy(hooked("/file", letter, sent, respond="respond_node"), FIELDS)
    answer = await hooks.post("/file", ORDER, signed(ORDER))
    assert (answer.status_code, answer.content) == (200, "für 7".encode()), answer.text
    told = {name: answer.headers[name] for name in ("content-type", "content-disposition")}
    assert told == {
        "content-type": "text/html",
        "content-disposition": "inline; filename*=UTF-8''brief%20%C3%A4.html",
    }
    assert (answer.headers["content-security-policy"], answer.headers["x-order"]) == (
        "sandbox",
        "7",
    )
    plain = node("say", "FLOW.RESPOND", status=204, body="gone")
    await stage.deploy(hooked("/nothing", plain, respond="respond_node"), FIELDS)
    assert (await hooks.post("/nothing", ORDER, signed(ORDER))).status_code == 204
    silent = hooked("/silent", respond="respond_node")
    await stage.deploy(silent, FIELDS)
    answer = await hooks.post("/silent", ORDER, signed(ORDER))
    assert (answer.status_code, answer.json()) == (200, [{"order": 7, "seen": 7}])


async def test_a_failure_is_answered_without_its_inside(stage: Stage, hooks: Hooks) -> None:
    fails = node("stop", "FLOW.STOP_AND_ERROR", message="the password is swordfish")
    await stage.deploy(hooked("/fails", fails, respond="last_node"), FIELDS)
    answer = await hooks.post("/fails", ORDER, signed(ORDER))
    assert (answer.status_code, answer.json()["code"]) == (500, "execution_failed")
    assert "swordfish" not in answer.text


async def test_after_the_deadline_a_status_url_tells_the_rest(stage: Stage, hooks: Hooks) -> None:
    slow = node("wait", "FLOW.WAIT", seconds=3)
    await stage.deploy(hooked("/slow", slow, respond="last_node", deadline_s=1), FIELDS)
    headers = signed(ORDER)
    answer = await hooks.post("/slow", ORDER, headers)
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    again = await hooks.post("/slow", ORDER, headers)
    assert (again.status_code, again.json()["status"]) == (202, "running")
    assert again.json()["execution_id"] == answer.json()["execution_id"]
    assert again.json()["status_url"] != answer.json()["status_url"]
    url = answer.json()["status_url"]
    assert answer.headers["location"] == url
    assert (await hooks.get(url)).status_code == 202
    assert (await hooks.get(url[:-1])).status_code == 404
    await ended(stage, answer.json()["execution_id"])

    async def told() -> bool:
        return (await hooks.get(url)).status_code == 200

    await stage.until(told, "the answer")
    assert (await hooks.get(url)).json() == [{"order": 7}]
    assert (await hooks.get(again.json()["status_url"])).json() == [{"order": 7}]


async def test_a_large_body_is_kept_apart_and_can_be_fetched(stage: Stage, hooks: Hooks) -> None:
    kept = node("step", "ACTION.SET", values={"url": "{{ $json.payload.url }}"})
    await stage.deploy(hooked("/large", kept, respond="last_node"), FIELDS)
    body = json.dumps([str(n) for n in range(80_000)]).encode()
    answer = await hooks.post("/large", body, signed(body))
    assert answer.status_code == 200, answer.text
    (item,) = answer.json()
    assert item["payload"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert (await hooks.get(item["url"])).content == body


async def test_what_was_answered_survives_a_kill_in_the_same_moment(
    stage: Stage, hooks: Hooks
) -> None:
    workflow_id = await stage.deploy(hooked("/kill"), FIELDS)
    taken: set[str] = set()
    for _ in range(4):
        ids = [uuid.uuid4().hex for _ in range(25)]

        async def send(id: str) -> None:
            request = as_bytes("/kill", ORDER, signed(ORDER, id=id))
            try:
                word = await hooks.first_word(request)
            except OSError:
                return
            if word.startswith(b"HTTP/1.1 202"):
                taken.add(id)
                stage.processes["scheduler"].kill()

        await asyncio.gather(*(send(id) for id in ids))
        stage.processes["scheduler"].wait(10.0)
        stage.begin("scheduler")
        await stage.until_ready(["scheduler"])
        for id in ids:  # a sender that was not answered comes again
            answer = await hooks.post("/kill", ORDER, signed(ORDER, id=id))
            assert answer.status_code in (200, 202), answer.text
            if answer.status_code == 202:
                assert id not in taken
            taken.add(id)
    executions = await settled(stage, workflow_id, len(taken))
    assert len(taken) == 100
    assert len(executions) == 100
    rows = await stage.rows(
        "select r.execution_id, d.executions from scheduler.trigger_receipts r "
        "left join scheduler.trigger_deliveries d on d.source = r.source and d.id = r.event_id "
        "where r.source = '/hooks/kill'"
    )
    assert sorted(row["execution_id"] for row in rows) == executions
    assert sorted(json.loads(row["executions"])[0] for row in rows) == executions


async def test_every_replica_takes_requests_and_knows_what_the_other_took(
    stage: Stage, hooks: Hooks
) -> None:
    stage.begin("scheduler", beside="second")
    await stage.until_ready(["second"])
    workflow_id = await stage.deploy(hooked("/both"), FIELDS)
    async with Hooks(stage, "second") as other:
        ids = [uuid.uuid4().hex for _ in range(30)]
        sending = [
            sender.post("/both", ORDER, signed(ORDER, id=id))
            for id in ids
            for sender in (hooks, other, hooks)
        ]
        answers = await asyncio.gather(*sending)
    assert sorted(answer.status_code for answer in answers) == [200] * 60 + [202] * 30
    told = [{a.json()["execution_id"] for a in answers[at : at + 3]} for at in range(0, 90, 3)]
    assert all(len(each) == 1 for each in told)
    executions = await settled(stage, workflow_id, 30)
    assert executions == sorted(id for each in told for id in each)
    await _the_two_share_what_a_path_takes(stage, hooks)
    assert await stage.end("second") == 0


async def _the_two_share_what_a_path_takes(stage: Stage, hooks: Hooks) -> None:
    definition = hooked("/shared")
    definition["nodes"][0]["parameters"] = {"path": "/shared", "auth": "none"}
    await stage.deploy(definition)
    await asyncio.sleep(SHARED_EVERY_S + 1)  # both have looked how many there are
    request = as_bytes("/shared", b"[", {"content-type": "application/json"})
    async with Hooks(stage, "second") as other:
        statuses = [
            answer[9:12]
            for _ in range(14)
            for answer in await asyncio.gather(
                *(sender.raw(request) for _ in range(25) for sender in (hooks, other))
            )
        ]
    assert set(statuses) == {b"400", b"429"}
    assert 600 <= statuses.count(b"400") < 700, "700 were sent, half of them to each"
