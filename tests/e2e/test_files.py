"""Items carry files on real servers: streamed, killed in the middle, given out, purged.

The commands of docs/files.md are typed as they stand there.
"""

import asyncio
import hashlib
import json
import os
import re
import shlex
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from command_line import Said, perdure
from definitions_for_tests import chain, node
from perdure_common import replay
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.embedded import Addresses
from perdure_common.settings import DEFAULT_TENANT
from perdure_common.shell.files import write
from perdure_engine.app import service
from perdure_engine.retention import sweep
from platform_stage import PATIENT, Stage
from promises import what_verify_finds
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = Path(__file__).parents[2] / "docs" / "files.md"
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
]
TYPED: list[str] = []
"""The commands that were typed, to know in the end that each of the page was."""

LARGE = bytes(range(256)) * 4 * 1024 * 24
"""24 MB."""

TABLE = b"n,who\n1,ada\n2,bob\n"
SETTINGS = {**PATIENT, "PERDURE_HAND_OVER": "0", "PERDURE_FILE_BYTES_MAX": str(len(LARGE))}
"""Without hand-over it is the runner that does what is to be killed."""

AGED = """
update engine.workflow_executions
   set end_time = end_time - 864000000,
       id = (lpad(to_hex(
               ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint - 864000000), 12, '0')
             || right(replace(id::text, '-', ''), 20))::uuid
 where execution_id = $1
"""
"""Lets ten days pass for an execution that a purge is to take away."""


@dataclass
class Outside:
    """Gives out files, and keeps what it is sent; it stops in the middle of `/slow` once."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)
    half: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever asked is gone
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        length = re.search(rb"content-length: (\d+)", head.lower())
        if length:
            self.sent[path] = await reader.readexactly(int(length[1]))
        self.asked.append(path)
        kind, body = {
            "/table.csv": ("text/csv", TABLE),
            "/in": ("text/plain", b"thanks"),
            "/larger": ("application/pdf", LARGE + b"x"),
        }.get(path, ("application/pdf", LARGE))
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n".encode()
        )
        middle = len(body) // 2
        writer.write(body[:middle])
        await writer.drain()
        if path == "/slow" and self.asked.count(path) == 1:
            self.half.set()
            await asyncio.sleep(60)
        writer.write(body[middle:])
        await writer.drain()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside() -> AsyncGenerator[Outside]:
    made = Outside()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, outside: Outside) -> AsyncGenerator[Stage]:
    """A platform whose runner alone does what is asked outside."""
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=(f"127.0.0.1:{outside.port}",), settings=SETTINGS) as made,
    ):
        yield made


def get(node_id: str, url: str, **parameters: Any) -> Any:
    return node(node_id, "EXTERNAL_ACTION.HTTP_REQUEST", url=url, response="file", **parameters)


async def run(stage: Stage, definition: Any, data: Any = None) -> tuple[str, str]:
    """Run a workflow to its end; return the execution and its status."""
    await stage.deploy({**definition, "settings": {"recovery": "off"}})
    row = await stage.ended(await stage.trigger(definition["name"], data or {"n": 1}))
    return str(row["execution_id"]), str(row["status"])


async def typed(stage: Stage, begins: str, **words: str) -> Said:
    """Type the command of the page that begins so, with its words in capitals replaced."""
    (line,) = [each for each in COMMANDS if each.startswith(f"perdure {begins}")][:1]
    TYPED.append(line)
    line = re.sub(r"\b(FILE_ID|FILE|ID|PATH)\b", lambda found: words[found[0]], line)
    return await asyncio.to_thread(perdure, *shlex.split(line)[1:], env=stage.environment)


def in_folder(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


async def files_of(stage: Stage, execution_id: str) -> list[Any]:
    sql = "select * from engine.execution_files where execution_id = $1 order by file_name"
    return list(await stage.rows(sql, execution_id))


async def asked(stage: Stage, path: str, tenant_id: str = DEFAULT_TENANT) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        url = f"http://127.0.0.1:{stage.ports['engine']}/v1/workflow_executions/{path}"
        return await client.get(url, headers={"X-Perdure-Tenant": tenant_id})


async def test_a_file_is_downloaded_read_and_sent_on(stage: Stage, outside: Outside) -> None:
    read = node("read", "ACTION.FILE", operation="read", format="csv", **{"as": "rows"})
    split = node("split", "FLOW.SPLIT_OUT", field="rows")
    put = node(
        "put", "EXTERNAL_ACTION.HTTP_REQUEST", method="PUT", url=outside.url("/in"),
        file={"file": "data"}, idempotency_header="Key",
    )  # fmt: skip
    first = node("first", "FLOW.LIMIT", count=1)
    named = node("named", "ACTION.SET", values={"name": "{{ $binary.data.file_name }}"})
    definition = chain(
        "table", get("get", outside.url("/table.csv")), read, split, first, named, put
    )
    execution_id, status = await run(stage, definition)
    assert status == "SUCCESS"
    assert outside.sent["/in"] == TABLE
    nodes = await stage.nodes_of(execution_id)
    assert '"name": "table.csv"' in nodes["named"]["output_data"]
    (row,) = await files_of(stage, execution_id)
    assert row["file_id"] == hashlib.sha256(TABLE).hexdigest()


async def test_a_runner_that_is_killed_in_the_middle_of_a_download_leaves_a_whole_file(
    stage: Stage, outside: Outside
) -> None:
    slow = {**get("get", outside.url("/slow"), timeout_s=30), "max_retries": 3}
    await stage.deploy({**chain("slow", slow), "settings": {"recovery": "off"}})
    event = await stage.trigger("slow", {})
    await asyncio.wait_for(outside.half.wait(), 60)
    parts = (
        "select 1 from engine.file_chunks c join engine.files using (upload) where sha256 is null"
    )
    await stage.until(lambda: stage.rows(parts), "some of it to be kept")
    assert (await stage.kill("runner")).hit
    stage.begin("runner")
    row = await stage.ended(event, 150.0)
    assert row["status"] == "SUCCESS"
    assert outside.asked.count("/slow") == 2
    answer = await asked(stage, f"{row['execution_id']}/files")
    (found,) = answer.json()["items"]
    assert (found["size"], found["file_name"]) == (len(LARGE), "slow")
    whole = await asked(stage, f"{row['execution_id']}/files/{found['file_id']}")
    assert whole.content == LARGE
    left = await stage.rows("select upload from engine.files where sha256 is null")
    assert len(left) == 1, "what the first runner had of it"
    await stage.rows("update engine.files set touched_at = touched_at - interval '2 hours'")
    store = PostgresStore(stage.ground.database_url, "engine")
    try:
        assert await store.files.sweep_files(3_600, 100) == 1
    finally:
        await store.close()
    again = await asked(stage, f"{row['execution_id']}/files/{found['file_id']}")
    assert again.content == LARGE


async def test_a_file_above_the_limit_is_a_typed_error(stage: Stage, outside: Outside) -> None:
    execution_id, status = await run(stage, chain("larger", get("get", outside.url("/larger"))))
    (row,) = await stage.rows(
        "select error_details ->> 'type' as type from engine.workflow_executions"
        " where execution_id = $1",
        execution_id,
    )
    assert (status, row["type"]) == ("ERROR", "response_too_large")
    assert await files_of(stage, execution_id) == []


async def test_a_child_has_the_files_and_another_tenant_or_execution_does_not(
    stage: Stage, outside: Outside
) -> None:
    await stage.deploy(chain("child", node("keep", "FLOW.NOOP")))
    calls = node("call", "FLOW.SUB_WORKFLOW", workflow="child")
    definition = chain("parent", get("get", outside.url("/table.csv")), calls)
    parent, status = await run(stage, definition)
    assert status == "SUCCESS"
    sql = "select execution_id from engine.workflow_executions where parent_execution_id = $1"
    (child,) = await stage.rows(sql, parent)
    (row,) = await files_of(stage, child["execution_id"])
    path = f"{child['execution_id']}/files/{row['file_id']}"
    answer = await asked(stage, path)
    assert (answer.status_code, answer.content) == (200, TABLE)
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''table.csv"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await asked(stage, path, "another")).status_code == 404
    assert (await asked(stage, f"{parent}/files", "another")).status_code == 404
    other, _ = await run(stage, chain("other", node("keep", "FLOW.NOOP")))
    refused = await asked(stage, f"{other}/files/{row['file_id']}")
    assert (refused.status_code, refused.json()["code"]) == (404, "file_not_found")
    for hostile in ("..%2f..%2fetc%2fpasswd", "x" * 64, "%00", "a" * 2_000):
        answer = await asked(stage, f"{child['execution_id']}/files/{hostile}")
        assert answer.status_code == 404, hostile


async def test_a_file_is_sent_to_the_api_and_given_to_an_execution(
    stage: Stage, outside: Outside
) -> None:
    put = node(
        "put", "EXTERNAL_ACTION.HTTP_REQUEST", method="PUT", url=outside.url("/given"),
        file={"file": "letter"}, idempotency_header="Key",
    )  # fmt: skip
    saved = await stage.save(chain("given", put))
    base = f"http://127.0.0.1:{stage.ports['engine']}/v1"
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        kind = {"content-type": "text/plain; charset=utf-8"}
        upload = f"{base}/files?file_name=../letter.txt"
        told = (await client.post(upload, content=b"dear Ada", headers=kind)).json()
        assert (told["file_name"], told["mime_type"], told["size"]) == (
            "letter.txt", "text/plain", 8,
        )  # fmt: skip
        larger = await client.post(f"{base}/files", content=LARGE + b"x")
        assert (larger.status_code, larger.json()["code"]) == (413, "file_too_large")
        order: dict[str, Any] = {"workflow_id": saved, "version": 1, "data": {"n": 1}}
        for files, code in (
            ({"0": {"letter": {"file_id": "0" * 64}}}, "file_not_found"),
            ({"first": {"letter": told}}, "invalid_files"),
            ({"0": {"": told}}, "invalid_files"),
        ):
            refused = await client.post(
                f"{base}/workflow_executions", json={**order, "files": files}
            )
            assert (refused.status_code, refused.json()["code"]) == (422, code)
        lied = {**told, "size": 10**12, "file_name": "x/y"}
        order["files"] = {"0": {"letter": lied}}
        begun = (await client.post(f"{base}/workflow_executions", json=order)).json()

    async def sent() -> bool:
        return "/given" in outside.sent

    await stage.until(sent, "the file to be sent on")
    assert outside.sent["/given"] == b"dear Ada"
    (row,) = [each for each in await files_of(stage, begun["execution_id"]) if each["size"] == 8]
    assert (row["file_name"], row["file_id"]) == ("y", told["file_id"])


async def test_what_a_person_gives_by_hand_has_files_of_that_tenant_alone(stage: Stage) -> None:
    read = node("read", "ACTION.FILE", operation="read", file="letter")
    named = node("named", "ACTION.SET", values={"name": "{{ $binary.letter.file_name }}"})
    definition = {**chain("by-hand", read, named), "settings": {"recovery": "off"}}
    execution_id, status = await run(stage, definition)
    assert status == "ERROR", "it has no file"
    base = f"http://127.0.0.1:{stage.ports['engine']}/v1"
    here = f"{base}/workflow_executions/{execution_id}"
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        upload = f"{base}/files?file_name=a.txt"
        told = (await client.post(upload, content=b"dear Bob")).json()
        hidden = {"file_id": await another_tenants(stage, b"not yours")}
        order = {"input": [{"n": 2}], "files": {"0": {"letter": told}}}
        for bad in (hidden, {"file_id": "0" * 64}):
            files = {"0": {"letter": bad}}
            changed = {"overrides": {**order, "files": files}}
            for path, body in (
                ("retry", changed),
                ("rerun", {"from": "node", "node_id": "read", **changed}),
                ("nodes/read/mark", {"outcome": "done", "data": {"n": 1}, "files": files}),
            ):
                refused = await client.post(f"{here}/{path}", json=body)
                assert (refused.status_code, refused.json()["code"]) == (422, "file_not_found")
        odds: tuple[Any, ...] = ([1], {"7": {"letter": told}})
        for odd in odds:
            refused = await client.post(
                f"{here}/retry", json={"overrides": {**order, "files": odd}}
            )
            assert refused.json()["code"] == "invalid_files", refused.text
        rerun = {"from": "node", "node_id": "read", "overrides": order}
        begun = (await client.post(f"{here}/rerun", json=rerun)).json()
        assert (await client.post(f"{here}/retry", json={"overrides": order})).status_code == 200
        pins: Any = {
            "read": {"ports": {"main": [{"n": 1}]}, "files": {"main": {"0": {"letter": told}}}}
        }
        saved = await stage.save(definition)
        start: Any = {"workflow_id": saved, "version": 1, "pin_data": pins}
        tried = (await client.post(f"{base}/workflow_executions", json=start)).json()
    for id in (execution_id, begun["execution_id"], tried["execution_id"]):

        async def named_it(id: str = id) -> bool:
            output = (await stage.nodes_of(id)).get("named", {}).get("output_data")
            return '"name": "a.txt"' in str(output)

        await stage.until(named_it, f"{id} to have the file")
        assert [row["file_id"] for row in await files_of(stage, id)] == [told["file_id"]]


async def another_tenants(stage: Stage, content: bytes) -> str:
    """Keep a file for another tenant, and return its id."""

    async def source() -> AsyncIterator[bytes]:
        yield content

    store = PostgresStore(stage.ground.database_url, "engine")
    try:
        return (await write(store.files, "another", source(), len(content))).file_id
    finally:
        await store.close()


async def test_the_commands_of_the_page(stage: Stage, outside: Outside, tmp_path: Path) -> None:
    execution_id, _ = await run(stage, chain("shown", get("get", outside.url("/table.csv"))))
    said = await typed(stage, "executions files ID", ID=execution_id)
    file_id = hashlib.sha256(TABLE).hexdigest()
    assert said.code == 0 and file_id[:20] in said.out, said.err
    path = tmp_path / "table.csv"
    words = {"ID": execution_id, "FILE_ID": file_id, "PATH": str(path)}
    said = await typed(stage, "executions file ID FILE_ID --output", **words)
    assert (said.code, path.read_bytes()) == (0, TABLE), said.err
    words["FILE_ID"] = "none"
    said = await typed(stage, "executions file ID FILE_ID --output", **words)
    assert said.code == 1 and "refers to no file" in said.err
    assert in_folder(tmp_path) == {"table.csv": TABLE}, "what is refused changes nothing"
    flow = tmp_path / "run.json"
    told = node("told", "ACTION.SET", values={"name": "{{ $binary.data.file_name }}"})
    flow.write_text(json.dumps({**chain("from-disk", told), "settings": {"recovery": "off"}}))
    said = await typed(stage, "run FILE --file", FILE=str(flow), PATH=str(path))
    assert said.code == 0 and '"name": "table.csv"' in said.out, said
    words["PATH"] = str(tmp_path / "larger.bin")
    (tmp_path / "larger.bin").write_bytes(LARGE + b"x")
    words["FILE"] = str(tmp_path / "never.json")
    (tmp_path / "never.json").write_text(json.dumps(chain("never", told)))
    said = await typed(stage, "run FILE --file", **words)
    assert said.code == 1 and "PERDURE_FILE_BYTES_MAX" in said.err
    assert await stage.rows("select 1 from engine.workflows where name = 'never'") == []
    (line,) = [each for each in COMMANDS if each.endswith("FILE_ID")]
    TYPED.append(line)
    program = [sys.executable, "-c", "from perdure_cli.main import main; main()"]
    words = {"ID": execution_id, "FILE_ID": file_id}
    process = await asyncio.create_subprocess_exec(
        *program, *(words.get(word, word) for word in shlex.split(line)[1:]),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, **stage.environment},
    )  # fmt: skip
    out, _ = await process.communicate()
    assert (process.returncode, out) == (0, TABLE), "on standard output, and nothing else"
    assert sorted({*TYPED}) == sorted(COMMANDS)


async def test_files_go_with_the_last_execution_that_has_them(
    stage: Stage, outside: Outside
) -> None:
    made = chain("gone", node("w", "ACTION.FILE", operation="write", content="{{ $json.text }}"))
    first, status = await run(stage, made, {"text": "only here"})
    assert status == "SUCCESS"
    await stage.ended(await stage.trigger("gone", {"text": "another"}))  # the latest one stays
    (row,) = await files_of(stage, first)
    shown = "select 1 from engine.workflows where latest_execution_id = $1"

    async def not_the_latest() -> bool:
        return not await stage.rows(shown, first)

    await stage.until(not_the_latest, "another one to be the latest")
    await stage.rows(AGED, first)
    words = ("executions", "purge", first, "--older-than", "7")
    said = await asyncio.to_thread(perdure, *words, env=stage.environment)
    assert said.code == 0 and first in said.out, said

    async def swept() -> bool:
        await sweep(stage.ground.database_url, datetime.now(UTC), 0.0, 30.0)
        return not await files_of(stage, first)

    await stage.until(swept, "the purged execution to be swept")
    store = PostgresStore(stage.ground.database_url, "engine")
    there = "select 1 from engine.files where sha256 = $1"
    try:
        assert await store.files.sweep_files(3_600, 100) == 0
        assert await stage.rows(there, row["file_id"]), "for an hour it may be referred to again"
        await stage.rows("update engine.files set unused_since = unused_since - interval '2 hours'")
        unused = await stage.rows("select sha256 from engine.files where unused_since is not null")
        assert row["file_id"] in [each["sha256"] for each in unused]
        assert await store.files.sweep_files(3_600, 100) == len(unused)
    finally:
        await store.close()
    assert not await stage.rows(there, row["file_id"])
    table = hashlib.sha256(TABLE).hexdigest()
    assert await stage.rows(there, table), "others have it"


async def test_every_promise_holds(stage: Stage) -> None:
    assert await what_verify_finds(stage) == []
    report = await replay.check(service, stage.ground.database_url)
    assert report.differences == []
