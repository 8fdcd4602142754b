"""ACTION FILE: reads a file of an item into its data, or writes what stands there into a file."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from perdure_contracts.message import Json

from perdure_engine.nodes.action_file import BYTES_MAX, FILE, MIME_TYPES
from perdure_engine.nodes.action_json import finite
from perdure_engine.nodes.each import ItemFault, attempted, put, too_deep
from perdure_engine.runner.charsets import charset
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.file_tables import csv_rows, csv_text, html_rows, html_text
from perdure_engine.runner.files import FAULTS, FileFault, ItemFiles, Made, failed


async def run(parameters: Mapping[str, Any], files: ItemFiles) -> Made | Failed:
    """Do what the node says for one item, and return it with its files."""
    try:
        if parameters.get("operation") == "write":
            return await _written(parameters, files)
        return await _read(parameters, files)
    except FAULTS as error:
        return failed(error)


async def _read(parameters: Mapping[str, Any], files: ItemFiles) -> Made | Failed:
    name = parameters.get("file") or FILE
    ref = files.ref(name)
    content = await files.whole(ref, BYTES_MAX)
    made = attempted(lambda: _value(parameters, content))
    if isinstance(made, str | list | dict | int | float) or made is None:
        return Made(put(files.json, str(parameters.get("as") or name), made), files.refs)
    return Failed(made)


def _value(parameters: Mapping[str, Any], content: bytes) -> Json:
    """Return the bytes of a file as a value.

    Raises:
        ItemFault: They are not what they are to be read as.
    """
    kind = parameters.get("format") or "text"
    if kind == "base64":
        return base64.b64encode(content).decode()
    encoding = str(parameters.get("encoding") or "utf-8-sig")
    try:
        if charset(encoding) is None:
            raise LookupError(f"{encoding[:40]} is no encoding of texts")
        text = content.decode(encoding)
    except (UnicodeError, LookupError) as error:
        words = f"the file is no text in {encoding}: {error}; set `encoding`, or read it as base64"
        raise ItemFault("file_not_text", words) from error
    if kind == "json":
        try:
            value = json.loads(text, parse_constant=_no_number, parse_float=finite)
        except (ValueError, RecursionError) as error:
            raise ItemFault("file_not_json", f"the file is no JSON: {error}") from error
        if too_deep(value):
            raise ItemFault("data_too_deep", "the file's JSON is nested too deep; take a part")
        return value
    if kind == "csv":
        return cast("Json", csv_rows(text, *_form(parameters)))
    return cast("Json", html_rows(text)) if kind == "html" else text


def _form(parameters: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what stands between the fields of a CSV, and whether it has a header."""
    return str(parameters.get("delimiter") or ","), parameters.get("header", True) is not False


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


async def _written(parameters: Mapping[str, Any], files: ItemFiles) -> Made:
    name = parameters.get("file") or FILE
    value, kind = parameters.get("content"), parameters.get("format") or "text"
    if kind == "csv":
        value = csv_text(value, *_form(parameters))
    elif kind == "html":
        value = html_text(value)
    if not isinstance(name, str) or not name:
        raise FileFault("invalid_input", "`file` must give a name, a text")
    content = _bytes(value, kind, str(parameters.get("encoding") or "utf-8"))

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    mime = str(parameters.get("mime_type") or MIME_TYPES[kind])
    ref = await files.keep(chunks(), str(parameters.get("file_name") or name), mime)
    return Made(files.json, {**files.refs, name: ref})


def _bytes(value: Any, kind: str, encoding: str) -> bytes:
    """Return the bytes that a value is written as.

    Raises:
        FileFault: It cannot be.
    """
    if kind == "json":
        return json.dumps(value, ensure_ascii=False, indent=2).encode()
    if not isinstance(value, str):
        raise FileFault("invalid_input", f"`content` must give a text to be written as {kind}")
    try:
        if kind == "base64":
            return base64.b64decode(value, validate=True)
        return value.encode(encoding)
    except (ValueError, LookupError) as error:
        text = f"`content` cannot be written as {kind}: {error}"
        raise FileFault("invalid_input", text) from error
