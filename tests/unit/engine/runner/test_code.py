"""Code of authors in its own process: what it makes, and what becomes of it when it runs wild."""

import asyncio
import time
from typing import Any

import psutil
import pytest
from perdure_common.outbound import AllowList
from perdure_contracts.engine import NodeTask
from perdure_engine.nodes.registry import find
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.code.running import run
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.perform import perform
from perdure_engine.runner.tools import Tools

BOTH = ("javascript", "python")
LANGUAGES = pytest.mark.parametrize("language", BOTH)


async def made(language: str, code: str, *items: Any, **more: Any) -> list[Any]:
    """Run code; return what it makes of each item, or the type of its failure."""
    found = await run(BOTH, {"language": language, "code": code, **more}, items)
    return [each.error.type if isinstance(each, Failed) else each for each in found]


async def message(language: str, code: str, **more: Any) -> str:
    [found] = await run(BOTH, {"language": language, "code": code, **more}, [{}])
    assert isinstance(found, Failed)
    return f"{found.error.type}: {found.error.message}"


async def test_javascript_makes_an_item_of_each() -> None:
    code = "const total = item.a + item.b;\nreturn {...item, total};"
    assert await made("javascript", code, {"a": 1, "b": 2}, {"a": "x", "b": "é"}) == [
        {"a": 1, "b": 2, "total": 3},
        {"a": "x", "b": "é", "total": "xé"},
    ]


async def test_python_makes_an_item_of_each() -> None:
    code = '''
import math
import statistics
from decimal import Decimal
from collections import Counter
text = """two
lines"""
assert statistics.mean([1, 3]) == 2 and Decimal("1.1") * 2 == Decimal("2.2")
return {"root": math.sqrt(item["n"]), "counted": dict(Counter(text.split())), "text": text}
'''
    [first, second] = await made("python", code, {"n": 4}, {"n": 9})
    assert first == {"root": 2.0, "counted": {"two": 1, "lines": 1}, "text": "two\nlines"}
    assert second["root"] == 3.0


@LANGUAGES
async def test_nothing_returned_is_null(language: str) -> None:
    assert await made(language, "let a = 1" if language == "javascript" else "a = 1", {}) == [None]


async def test_an_exception_fails_its_item_only_and_is_told_with_its_line() -> None:
    code = "const x = 1;\nif (item.bad) throw new TypeError('no good');\nreturn x;"
    assert await made("javascript", code, {}, {"bad": True}, {}) == [1, "code_failed", 1]
    assert await message("javascript", "\nnull.x") == (
        "code_failed: the code failed in line 2: "
        "TypeError: Cannot read properties of null (reading 'x')"
    )
    code = 'x = 1\nif item.get("bad"):\n    raise ValueError("no good")\nreturn x'
    assert await made("python", code, {}, {"bad": True}, {}) == [1, "code_failed", 1]
    assert await message("python", "\nreturn item['x']") == (
        "code_failed: the code failed in line 2: KeyError: 'x'"
    )


@LANGUAGES
async def test_code_that_is_none_is_told(language: str) -> None:
    assert "SyntaxError" in await message(language, "return (")


async def test_what_is_no_json_is_refused() -> None:
    assert await made("javascript", "return () => 1", {}) == ["code_output"]
    assert await made("python", "return {1, 2}", {}) == ["code_output"]
    assert await made("python", "return float('nan')", {}) == ["code_output"]
    deep = "a = 1\nfor _ in range(DEPTH): a = [a]\nreturn a"
    for code in ("return '\\ud800'", deep.replace("DEPTH", "400"), deep.replace("DEPTH", "980")):
        assert await made("python", code, {}) == ["code_output"]


ENDLESS = {
    "javascript": "while (item.wild) {}\nreturn 1",
    "python": "while item['wild']: pass\nreturn 1",
}
EATING = {
    "javascript": "const a = [];\nwhile (item.wild) a.push(new Array(1000).fill(Math.random()));\n"
    "return 1",
    "python": "a = []\nwhile item['wild']: a.append(bytearray(1_000_000))\nreturn 1",
}


@LANGUAGES
async def test_code_that_never_ends_fails_its_item_and_the_next_one_runs(language: str) -> None:
    wild, tame = {"wild": True}, {"wild": False}
    assert await made(language, ENDLESS[language], tame, wild, tame, timeout_s=0.5) == [
        1, "code_timeout", 1,
    ]  # fmt: skip


@LANGUAGES
async def test_code_that_eats_memory_fails_its_item_and_the_next_one_runs(language: str) -> None:
    wild, tame = {"wild": True}, {"wild": False}
    found = await made(language, EATING[language], tame, wild, tame, timeout_s=20, memory_mb=32)
    assert found == [1, "code_memory", 1]


async def test_python_that_ends_its_process_fails_its_item_only() -> None:
    code = "import os\nif item: os._exit(3)\nreturn 1"
    assert await made("python", code, 0, 1, 0) == [1, "code_crashed", 1]


async def test_an_answer_that_is_too_large_is_refused() -> None:
    assert await made("python", "return 'x' * 6_000_000", {}) == ["response_too_large"]
    assert await made("javascript", "return 'x'.repeat(6_000_000)", {}) == ["response_too_large"]


@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', 1))",
        "import subprocess\nsubprocess.run(['/bin/true'])",
        "import os\nos.system('true')",
        "import os\nos.fork()",
        "return open('/etc/passwd').read()",
        "open('/tmp/perdure-code', 'w')",
        "import ctypes",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1')",
    ],
)
async def test_python_is_kept_from_what_is_outside(code: str) -> None:
    assert "PermissionError" in await message("python", code)


async def test_code_sees_no_environment_and_its_words_go_nowhere() -> None:
    code = "import os\nprint('a line that is no answer')\nreturn sorted(os.environ)"
    [names] = await made("python", code, {})
    assert not {name for name in names if name.startswith("PERDURE")}
    assert set(names) <= {"LANG", "LC_CTYPE", "PATH"}


async def test_javascript_has_the_language_alone() -> None:
    code = "return [typeof fetch, typeof require, typeof process, typeof XMLHttpRequest]"
    assert await made("javascript", code, {}) == [["undefined"] * 4]


@LANGUAGES
async def test_a_run_that_is_cancelled_leaves_no_process(language: str) -> None:
    ours = psutil.Process()
    others = set(ours.children())  # of tests before
    running = asyncio.create_task(made(language, ENDLESS[language], {"wild": True}, timeout_s=60))
    before = time.monotonic()
    while not (children := set(ours.children()) - others) and time.monotonic() - before < 30:
        await asyncio.sleep(0.05)
    assert children
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [each for each in children if each.is_running()] == []


def task(language: str, **more: Any) -> NodeTask:
    parameters = {"language": language, "code": "return item", **more}
    return NodeTask(
        token="t",
        execution_id="e",
        workflow_id="w",
        node_id="n",
        node_type="ACTION",
        node_subtype="CODE",
        parameters=[parameters, parameters],
        items=[{"a": 1}, {"a": 2}],
        effect="pure",
        length="long",
        deadline="2099-01-01T00:00:00+00:00",
        idempotency_key="key",
    )


async def test_code_is_off_until_its_language_is_allowed() -> None:
    async with Clients(1) as http:
        refused = await perform(Tools(http, AllowList()), task("python"), "r")
        assert refused.error is not None
        assert refused.error.type == "code_not_allowed"
        assert "PERDURE_CODE=python" in refused.error.message
        allowed = Tools(http, AllowList(), code_languages=("python",))
        done: Any = await perform(allowed, task("python"), "r")
        assert done.ports["main"] == [{"json": {"a": 1}}, {"json": {"a": 2}}]
        other = await perform(allowed, task("javascript"), "r")
        assert other.error is not None


def test_code_is_claimed_and_pure_so_that_it_runs_again_when_its_runner_dies() -> None:
    specification = find("ACTION", "CODE")
    assert specification is not None
    assert (specification.effect({}), specification.length({}, 1.0)) == ("pure", "long")
