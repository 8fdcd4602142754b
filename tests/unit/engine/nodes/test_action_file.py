"""ACTION FILE: what it reads of a file, what it writes, what it refuses, what fails."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nodes_for_tests import refused
from perdure_common.adapters.memory_files import MemoryFiles
from perdure_common.shell.files import read
from perdure_engine.nodes.action_file import BYTES_MAX
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.file import run
from perdure_engine.runner.files import ItemFiles, Made

KIND = "ACTION.FILE"
PAGE = (
    b'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body><table>\n'
    b"<tr><th>&lt;a&gt;</th></tr>\n<tr><td>&lt;script&gt;</td></tr>\n</table></body></html>\n"
)
"""What is written of a table in which something looks like markup."""


async def item(content: bytes, name: str = "data", json: Any = None) -> ItemFiles:
    """Return an item with a file."""
    empty = ItemFiles(MemoryFiles(), "tenant")

    async def source() -> AsyncIterator[bytes]:
        yield content

    ref = await empty.keep(source(), "a.txt", "text/plain")
    return ItemFiles(empty.store, "tenant", {name: ref}, {"n": 1} if json is None else json)


async def was_read(content: bytes, **parameters: Any) -> Any:
    made = await run({"operation": "read", **parameters}, await item(content))
    assert isinstance(made, Made), made
    assert list(made.files) == ["data"], "the file stays with the item"
    return made.json


async def fails(content: bytes, **parameters: Any) -> str:
    made = await run({"operation": "read", **parameters}, await item(content))
    assert isinstance(made, Failed), made
    return made.error.type


@pytest.mark.parametrize(
    ("content", "parameters", "value"),
    [
        (b"hello", {}, "hello"),
        (b"\xef\xbb\xbfhello", {}, "hello"),
        ("naïve".encode("latin-1"), {"encoding": "latin-1"}, "naïve"),
        (b"\x00\xff", {"format": "base64"}, "AP8="),
        (b'{"a": [1, null]}', {"format": "json"}, {"a": [1, None]}),
        (b"null", {"format": "json"}, None),
        (b"true", {"format": "json"}, True),
        (b"a,b\r\n1,\"x,y\"\r\n\r\n2,z\n", {"format": "csv"},
         [{"a": "1", "b": "x,y"}, {"a": "2", "b": "z"}]),
        (b"a;b\n1;2\n", {"format": "csv", "delimiter": ";"}, [{"a": "1", "b": "2"}]),
        (b"", {"format": "csv"}, []),
        (b"1,2\n3\n", {"format": "csv", "header": False},
         [{"column1": "1", "column2": "2"}, {"column1": "3"}]),
        (b"<p>x<table><tr><th>a<th>b<tr><td>1 &amp;<td><table><tr><td>in</table><tr><td>2<td>3<td>4"
         b"</table><table><tr><td>no</table>", {"format": "html"},
         [{"a": "1 &", "b": "in"}, {"a": "2", "b": "3", "column3": "4"}]),
        (b"<table><tr><td>a<td>a<td></tr><tr><td>1</table>", {"format": "html"},
         [{"a": "1", "column2": None, "column3": None}]),
    ],
)  # fmt: skip
async def test_what_stands_in_a_file_is_read_into_a_field(
    content: bytes, parameters: dict[str, Any], value: Any
) -> None:
    assert await was_read(content, **parameters) == {"n": 1, "data": value}
    deep = await was_read(content, **parameters, **{"as": "x.y"})
    assert deep == {"n": 1, "x": {"y": value}}


@pytest.mark.parametrize(
    ("content", "parameters", "code"),
    [
        (b"\xff\xfe\xff", {}, "file_not_text"),
        (b"x", {"encoding": "klingon"}, "file_not_text"),
        (b"{", {"format": "json"}, "file_not_json"),
        (b"[NaN]", {"format": "json"}, "file_not_json"),
        (b"[" * 100_000, {"format": "json"}, "file_not_json"),
        (b"[" * 200 + b"]" * 200, {"format": "json"}, "data_too_deep"),
        (b"-9a" * 3, {"encoding": "punycode"}, "file_not_text"),
        (b"+2AA-", {"encoding": "utf-7"}, "file_not_text"),
        (b"a,b\n1\n", {"format": "csv"}, "file_not_csv"),
        (b"a,a\n1,2\n", {"format": "csv"}, "file_not_csv"),
        (b"no table", {"format": "html"}, "file_not_html"),
        (b"<div>" * 300, {"format": "html"}, "data_too_deep"),
        (b"x" * 300_001, {"format": "html"}, "file_too_large"),
        (b"a\n" + b"1\n" * 50_001, {"format": "csv"}, "too_many_items"),
        (b"x" * (BYTES_MAX + 1), {}, "file_too_large"),
        (b"x", {"file": "other"}, "file_not_found"),
        (b"x", {"file": ["data"]}, "file_not_found"),
    ],
)
async def test_a_file_that_is_not_what_it_is_to_be_read_as_fails_its_item(
    content: bytes, parameters: dict[str, Any], code: str
) -> None:
    assert await fails(content, **parameters) == code


@pytest.mark.parametrize(
    ("parameters", "content", "mime"),
    [
        ({"content": "naïve"}, "naïve".encode(), "text/plain"),
        ({"content": "naïve", "encoding": "latin-1"}, b"na\xefve", "text/plain"),
        ({"content": "AP8=", "format": "base64"}, b"\x00\xff", "application/octet-stream"),
        ({"content": {"a": 1}, "format": "json"}, b'{\n  "a": 1\n}', "application/json"),
        ({"content": "x", "mime_type": "text/csv"}, b"x", "text/csv"),
        (
            {"content": [{"a": 1, "b": "x,y"}, {"b": None, "c": [2]}], "format": "csv"},
            b'a,b,c\r\n1,"x,y",\r\n,,[2]\r\n',
            "text/csv",
        ),
        (
            {"content": [{"a": 1}], "format": "csv", "header": False, "delimiter": ";"},
            b"1\r\n",
            "text/csv",
        ),
        ({"content": [{"<a>": "<script>"}], "format": "html"}, PAGE, "text/html"),
    ],
)
async def test_a_value_is_written_into_a_file_beside_those_that_there_are(
    parameters: dict[str, Any], content: bytes, mime: str
) -> None:
    given = await item(b"old")
    wanted = {"operation": "write", "file": "new", "file_name": "dir/new.txt", **parameters}
    made = await run(wanted, given)
    assert isinstance(made, Made), made
    ref = made.files["new"]
    kept = b"".join([c async for c in await read(given.store, "tenant", ref["file_id"])])
    assert (kept, ref["mime_type"], ref["file_name"]) == (content, mime, "new.txt")
    assert (made.json, list(made.files)) == ({"n": 1}, ["data", "new"])


@pytest.mark.parametrize(
    "parameters",
    [
        {"content": 1},
        {"content": "é", "encoding": "ascii"},
        {"content": "no base64!", "format": "base64"},
        {"content": "x", "file": 7},
        {"content": "a,b", "format": "csv"},
        {"content": [{"a": 1}, 2], "format": "html"},
    ],
)
async def test_what_cannot_be_written_fails_its_item(parameters: dict[str, Any]) -> None:
    made = await run({"operation": "write", **parameters}, await item(b"x"))
    assert isinstance(made, Failed) and made.error.type == "invalid_input"


async def test_what_was_written_is_read_again() -> None:
    text = base64.b64encode(bytes(range(256))).decode()
    made = await run(
        {"operation": "write", "content": text, "format": "base64"}, given := await item(b"x")
    )
    assert isinstance(made, Made)
    again = ItemFiles(given.store, "tenant", made.files, {})
    got = await run({"operation": "read", "format": "base64"}, again)
    assert isinstance(got, Made) and got.json == {"data": text}


async def test_a_file_above_the_limit_of_the_installation_is_not_written() -> None:
    given = ItemFiles(MemoryFiles(), "tenant", {}, {}, most=3)
    made = await run({"operation": "write", "content": "four"}, given)
    assert isinstance(made, Failed) and made.error.type == "file_too_large"
    assert "PERDURE_FILE_BYTES_MAX" in made.error.message


def test_parameters_that_cannot_work_are_refused() -> None:
    assert refused(KIND, operation="write") == [("missing_parameter", "content")]
    two = refused(KIND, operation="read", delimiter="::")
    assert two == [("invalid_parameter", "delimiter")]
    assert refused(KIND, operation="read") == []
