"""GITHUB and SLACK by HTTP, test URLs, the API, and the commands of the pages, on real servers."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from command_line import Said, perdure
from hook_client import (
    CREDENTIALS_KEY,
    SECRET,
    Hooks,
    by_github,
    by_slack,
    ended,
    environment,
    hooked,
    set_credential,
    settled,
    signed,
    started,
)
from outside_world import World
from perdure_common.embedded import Addresses
from platform_stage import PATIENT, Stage
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
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


async def test_triggers_of_github_verify_each_for_itself(stage: Stage, hooks: Hooks) -> None:
    for handle in ("gh-a", "gh-b"):
        await set_credential(stage, handle, secret=f"{handle} secret")
    fields = {"gh-a": ("secret",), "gh-b": ("secret",)}
    settings: dict[str, Any] = {"kind": "GITHUB", "repository": "acme/*", "events": ["issues"]}
    first = await stage.deploy(hooked("a", credential="gh-a", **settings), fields)
    second = await stage.deploy(hooked("b", credential="gh-b", **settings), fields)
    body = json.dumps({"action": "opened", "repository": {"full_name": "Acme/Shop"}}).encode()
    sent = await hooks.post("/github", body, by_github(body, "issues", "gh-a secret"))
    assert (sent.status_code, sent.json()["status"]) == (202, "accepted")
    assert len(await settled(stage, first, 1)) == 1
    assert await started(stage, second) == []
    again = await hooks.post("/github", body, by_github(body, "issues", "gh-a secret"))
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert again.json()["executions"] == await started(stage, first)
    other = await hooks.post("/github", body, by_github(body, "issues", "gh-b secret"))
    assert (other.status_code, other.json()["status"]) == (202, "accepted")
    assert len(await settled(stage, second, 1)) == 1
    forged = await hooks.post("/github", body, by_github(body, "issues", "nobody's"))
    assert forged.status_code == 401
    pushed = await hooks.post("/github", body, by_github(body, "push", "gh-a secret"))
    assert pushed.json()["status"] == "ignored"
    assert len(await started(stage, first)) == 1


async def test_slack_is_answered_at_once_and_its_own_messages_start_nothing(
    stage: Stage, hooks: Hooks
) -> None:
    await set_credential(stage, "slack", secret="slack secret")
    settings: dict[str, Any] = {"kind": "SLACK", "credential": "slack"}
    workflow_id = await stage.deploy(hooked("s", **settings), {"slack": ("secret",)})
    ask = json.dumps({"type": "url_verification", "challenge": "c1"}).encode()
    assert (await hooks.post("/slack", ask, by_slack(ask, "wrong"))).status_code == 401
    answer = await hooks.post("/slack", ask, by_slack(ask, "slack secret"))
    assert (answer.status_code, answer.json()) == (200, {"challenge": "c1"})
    event = {"type": "message", "channel": "C1", "user": "U1", "text": "hi"}
    whole = {
        "type": "event_callback",
        "team_id": "T1",
        "api_app_id": "A1",
        "event_id": "Ev1",
        "event": event,
    }
    own = {**whole, "event_id": "Ev2", "event": {**event, "app_id": "A1"}}
    for said in (whole, whole, own):
        body = json.dumps(said).encode()
        answer = await hooks.post("/slack", body, by_slack(body, "slack secret"))
        assert (answer.status_code, answer.content) == (200, b"")
    command = b"command=%2Fdeploy&team_id=T1&channel_id=C1&user_id=U1&trigger_id=1.2.3"
    form = "application/x-www-form-urlencoded"
    answer = await hooks.post("/slack", command, by_slack(command, "slack secret", form))
    assert answer.status_code == 200
    assert len(await settled(stage, workflow_id, 2)) == 2


async def test_triggers_that_share_a_path_have_limits_each_of_its_own(
    stage: Stage, hooks: Hooks
) -> None:
    for handle in ("gh-small", "gh-wide", "gh-alone"):
        await set_credential(stage, handle, secret="one's own" if "alone" in handle else "shared")
    settings: dict[str, Any] = {"kind": "GITHUB", "repository": "acme/*"}

    async def serve(handle: str, **limits: Any) -> str:
        made = hooked("/limited", credential=handle, **settings, **limits)
        return await stage.deploy(made, {handle: ("secret",)})

    small = await serve("gh-small", rate_per_minute=2, body_bytes_max=200)
    wide = await serve("gh-wide", body_bytes_max=2 * 1024 * 1024)
    alone = await serve("gh-alone", rate_per_minute=1, body_bytes_max=100)

    async def send(n: int, secret: str, padding: int = 0) -> httpx.Response:
        whole = {"repository": {"full_name": "acme/shop"}, "n": n, "text": "x" * padding}
        body = json.dumps(whole).encode()
        return await hooks.post("/limited", body, by_github(body, "push", secret))

    strangers = [await send(0, "nobody's") for _ in range(3)]
    assert {each.status_code for each in strangers} == {401}, "and none of them uses up a rate"
    answers = [await send(n, "shared") for n in range(3)] + [await send(3, "shared", 1_500_000)]
    assert [each.status_code for each in answers] == [202] * 4, [each.text for each in answers]
    refused = await send(4, "one's own", 100)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    answers = [await send(n, "one's own") for n in (5, 6)]
    assert [each.status_code for each in answers] == [202, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert len(await settled(stage, wide, 4)) == 4
    assert len(await settled(stage, small, 2)) == 2
    assert len(await settled(stage, alone, 1)) == 1
    lines = stage.log_of("scheduler").read_text(encoding="utf-8").splitlines()
    [told] = [json.loads(line) for line in lines if '"hook_left_out"' in line]
    assert told["nodes"] == [[small, "hook"]]


async def test_a_slack_trigger_with_a_rate_is_still_asked_whether_it_is_there(
    stage: Stage, hooks: Hooks
) -> None:
    await set_credential(stage, "slack-rate", secret="slow")
    limits: dict[str, Any] = {"rate_per_minute": 1, "body_bytes_max": 200}
    made = hooked("/slow", kind="SLACK", credential="slack-rate", **limits)
    workflow_id = await stage.deploy(made, {"slack-rate": ("secret",)})
    form = "application/x-www-form-urlencoded"

    async def said(body: bytes, kind: str = form) -> int:
        return (await hooks.post("/slow", body, by_slack(body, "slow", kind))).status_code

    command = b"command=%2Fdeploy&team_id=T1&user_id=U1&trigger_id="
    assert [await said(command + n) for n in (b"1", b"2")] == [200, 429]
    assert await said(b'{"type": "url_verification", "challenge": "c"}', "application/json") == 200
    assert await said(command + b"3" * 200) == 413
    assert len(await settled(stage, workflow_id, 1)) == 1


async def typed(stage: Stage, *words: str) -> Said:
    """Type a command, pointed at a stage."""
    return await asyncio.to_thread(perdure, *words, env=environment(stage))


async def test_a_test_url_starts_the_draft_once_by_hand(stage: Stage, hooks: Hooks) -> None:
    definition = hooked("/draft", respond="last_node")
    workflow_id = await stage.save(definition)
    asking = asyncio.create_task(typed(stage, "triggers", "test", workflow_id, "--json"))

    async def opened() -> bool:
        return bool(await stage.rows("select 1 from scheduler.trigger_tests where path = '/draft'"))

    await stage.until(opened, "the test URL")
    assert (await hooks.post("/draft", ORDER, signed(ORDER))).status_code == 404
    forged = signed(ORDER, key=b"x" * 24)
    assert (await hooks.post("/draft", ORDER, forged, under="hooks-test")).status_code == 401
    answer = await hooks.post("/draft", ORDER, signed(ORDER), under="hooks-test")
    assert (answer.status_code, answer.json()) == (200, [{"order": 7, "seen": 7}])
    said = await asking
    assert said.code == 0, said
    execution_id = answer.headers["x-perdure-execution"]
    assert f'"execution_id": "{execution_id}"' in said.out
    row = await ended(stage, execution_id)
    assert (row["mode"], row["triggered_by"], row["workflow_version"]) == (
        "MANUAL", "WEBHOOK:hook", 1,
    )  # fmt: skip
    again = await hooks.post("/draft", ORDER, signed(ORDER), under="hooks-test")
    assert again.status_code == 404
    assert await started(stage, workflow_id) == [execution_id]


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("trigger-webhook", '{"confirmed": 7}'),
        ("trigger-github", '"status":"accepted"'),
        ("trigger-slack", "200"),
    ],
)
async def test_the_commands_at_the_end_of_a_page_work(stage: Stage, page: str, says: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    (*_, block) = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert text.rstrip().endswith("```")
    port = stage.hooks_port()
    script = block.replace("127.0.0.1:8745", f"127.0.0.1:{port}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    made = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-e", "-c", script],
        cwd=ROOT,
        env={**os.environ, **environment(stage), "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert made.returncode == 0, made
    if page == "trigger-webhook":
        assert made.stdout.splitlines()[-2] == "413", made
    assert made.stdout.rstrip().endswith(says) or says in made.stdout.splitlines()[-1], made


async def test_a_deployment_by_the_api_knows_which_secrets_are_there(
    stage: Stage, hooks: Hooks
) -> None:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as api:
        for path, handle, status, sent in (
            ("/api", "hooks", 200, 202),
            ("/lost", "lost", 422, 404),
        ):
            workflow_id = await stage.save(hooked(path, credential=handle))
            url = f"http://127.0.0.1:{stage.ports['engine']}/v1/workflows/{workflow_id}/deploy"
            answer = await api.post(url, json={})
            assert answer.status_code == status, answer.text
            assert (await hooks.post(path, ORDER, signed(ORDER))).status_code == sent
