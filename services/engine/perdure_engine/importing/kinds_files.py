"""What becomes of n8n's nodes that read and write files of items."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .kinds import Map, alone
from .source import Helper, Made, NotMapped, Source
from .texts import is_expression, whole

SHEETS = "spreadsheets, PDF, RTF and calendars are not read or written here: use CSV, JSON or text"
TABLES = ("csv", "html")
FORMATS = {
    "csv": "csv", "html": "html", "fromJson": "json", "text": "text", "xml": "text",
    "binaryToPropery": "base64",
}  # fmt: skip
"""What Extract from File reads (one of its words has a slip), and our word for it."""

ENCODINGS = {"utf8": "utf-8", "utf16": "utf-16", "utf16le": "utf-16-le", "ucs2": "utf-16-le"}


def extract(node: Source) -> Made:
    """Extract from File: into a field, or an item for each row of a table."""
    operation = str(node.fixed("operation", "csv"))
    kind = FORMATS.get(operation)
    if kind is None:
        raise NotMapped(f"`operation: {operation}` has no counterpart: {SHEETS}")
    keeps = node.fixed("options.keepSource") in ("json", "both")
    parameters = _reads(node, kind, node.get("binaryPropertyName", "data"))
    if kind in TABLES:
        return _rows(node, parameters, keeps)
    made = _field(parameters, str(node.fixed("destinationKey", "data")), keeps)
    return replace(made, notes=_left_out(node))


OPTIONS: Mapping[str, tuple[Any, ...]] = {
    "fromLine": (0,), "maxRowCount": (-1,), "range": ("",), "rawData": (False,),
    "relaxQuotes": (False,), "skipRecordsWithErrors": (), "addBOM": (False,),
}  # fmt: skip
"""Options that change what is read or written and that there are not here, with what stands for
none."""


def _left_out(node: Source) -> tuple[str, ...]:
    """Return what is to be said of options that have no counterpart."""
    return tuple(
        f"`options.{name}` has no counterpart: do it behind, with FLOW LIMIT or FILTER, or ACTION "
        "CODE"
        for name, none in OPTIONS.items()
        if node.raw(f"options.{name}") not in (None, *none)
    )


def _reads(node: Source, kind: str, file: Any) -> dict[str, Any]:
    parameters: dict[str, Any] = {"operation": "read", "file": file, "format": kind}
    return {**parameters, **_form(node, kind)}


def _form(node: Source, kind: str) -> dict[str, Any]:
    """Return how the text of a file is written down."""
    found: dict[str, Any] = {}
    encoding = str(node.fixed("options.encoding") or "").lower().replace("-", "")
    if encoding not in ("", "utf8") and kind != "base64":
        windows = encoding.removeprefix("windows").removeprefix("win")
        found["encoding"] = ENCODINGS.get(encoding) or (
            f"cp{windows}" if windows != encoding else encoding
        )
    if kind == "csv":
        if node.fixed("options.delimiter", ",") != ",":
            found["delimiter"] = str(node.raw("options.delimiter")).replace("\\t", "\t")
        if node.fixed("options.headerRow", True) is False:
            found["header"] = False
    return found


def _field(parameters: dict[str, Any], name: str, keeps: bool) -> Made:
    behind = () if keeps else (_only(name.partition(".")[0]),)
    return Made("ACTION", "FILE", {**parameters, "as": name}, behind=behind)


def _only(*names: str) -> Helper:
    """Return the node that leaves of each item these fields, and why it failed if it did."""
    return Helper("", "ACTION", "SET", {"values": {}, "keep": [*names, "error"]})


def _rows(node: Source, parameters: dict[str, Any], keeps: bool) -> Made:
    behind = [Helper("each row", "FLOW", "SPLIT_OUT", {"field": "rows"})]
    goes_on = node.entry.get("onError") == "continueRegularOutput"
    if goes_on or node.entry.get("continueOnFail") is True:
        failed = "$json.error !== null && $json.rows === null"
        rows = {"rows": whole(f"{failed} ? [$json] : $json.rows")}
        behind.insert(0, Helper("rows", "ACTION", "SET", {"values": rows}))
    notes = _left_out(node)
    if keeps:
        behind.append(Helper("", "ACTION", "SET", {"values": whole("$json.rows")}))
        notes = (*notes, "the row stands in `rows` as well")
    else:
        behind.append(alone("$json.rows", "row"))
    read = {**parameters, "as": "rows"}
    return Made("ACTION", "FILE", read, behind=tuple(behind), notes=notes)


WRITES = {
    "csv": "csv", "html": "html", "toJson": "json", "toText": "text", "toBinary": "base64",
}  # fmt: skip
ENDINGS = {"csv": "csv", "html": "html", "json": "json", "text": "txt", "base64": "bin"}


def convert(node: Source) -> Made:
    """Convert to File: each item, or all of them as one."""
    operation = str(node.fixed("operation", "csv"))
    kind = WRITES.get(operation)
    if kind is None:
        raise NotMapped(f"`operation: {operation}` has no counterpart: {SHEETS}")
    if operation == "toBinary" and node.fixed("options.dataIsBase64", True) is False:
        kind = "text"
    parameters = _writes(node, kind, node.get("binaryPropertyName", "data"))
    if kind in TABLES or (kind == "json" and node.fixed("mode", "once") == "once"):
        return _together(node, parameters)
    code = "$json" if kind == "json" else _at(str(node.fixed("sourceProperty", "")))
    if kind == "text":
        code = f"typeof {code} === 'string' ? {code} : JSON.stringify({code})"
    write = {**parameters, "content": whole(code)}
    return Made("ACTION", "FILE", write, behind=(_only(),), notes=_left_out(node))


def _writes(node: Source, kind: str, file: Any) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "operation": "write",
        "file": file,
        "format": kind,
        "file_name": node.get("options.fileName") or f"file.{ENDINGS[kind]}",
    }
    mime_type = node.fixed("options.mimeType")
    if mime_type:
        parameters["mime_type"] = mime_type
    return {**parameters, **_form(node, kind)}


def _together(node: Source, parameters: dict[str, Any]) -> Made:
    """Return the nodes that write all items into one file."""
    notes = _left_out(node)
    if is_expression(node.raw("options.fileName")):
        notes = (
            *notes,
            "the name of the file sees all items as `$json.rows`, not the first one",
        )
    write = {**parameters, "content": "{{ $json.rows }}"}
    behind = (Helper("file", "ACTION", "FILE", write), _only())
    return Made("FLOW", "AGGREGATE", {"as": "rows"}, behind=behind, notes=notes)


def _at(path: str) -> str:
    if not path:
        raise NotMapped("it names no field")
    return "$json" + "".join(f"[{json.dumps(part)}]" for part in path.split("."))


def sheet(node: Source) -> Made:
    """Spreadsheet File, which the two above became later."""
    reads = node.only("operation", ("fromFile", "toFile")) == "fromFile"
    kind = str(node.fixed("fileFormat", "autodetect" if reads else "xls"))
    if kind not in TABLES:
        raise NotMapped(f"`fileFormat: {kind}` has no counterpart: {SHEETS}")
    file = node.get("binaryPropertyName", "data")
    if reads:
        return _rows(node, _reads(node, kind, file), keeps=False)
    return _together(node, _writes(node, kind, file))


def move(node: Source) -> Made:
    """Move Binary Data, now called Convert to/from binary data."""
    if node.only("mode", ("binaryToJson", "jsonToBinary")) == "jsonToBinary":
        return _to_file(node)
    file = node.get("sourceKey", "data")
    if node.fixed("setAllData", True):
        read = {**_reads(node, "json", file), "as": "all"}
        return Made("ACTION", "FILE", read, behind=(alone("$json.all", "data"),))
    kind = "json" if node.fixed("options.jsonParse") else "text"
    kind = "base64" if node.fixed("options.keepAsBase64") else kind
    read = {**_reads(node, kind, file), "as": str(node.fixed("destinationKey", "data"))}
    return Made("ACTION", "FILE", read)


def _to_file(node: Source) -> Made:
    file = node.get("destinationKey", "data")
    keeps = bool(node.fixed("options.keepSource"))
    if node.fixed("convertAllData", True):
        write = {**_writes(node, "json", file), "content": "{{ $json }}"}
        return Made("ACTION", "FILE", write, behind=() if keeps else (_only(),))
    code = _at(str(node.fixed("sourceKey", "data")))
    kind = "base64" if node.fixed("options.dataIsBase64") else "json"
    if kind == "json" and node.fixed("options.useRawData"):
        kind = "text"
    write = {**_writes(node, kind, file), "content": whole(code)}
    notes = () if keeps else ("the field of which the file is made stays with the item",)
    return Made("ACTION", "FILE", write, notes=notes)


def disk(node: Source) -> Made:
    """Files of the server's own disk."""
    kind = node.kind.rpartition(".")[2]
    if kind == "writeBinaryFile" or node.raw("operation", "read") == "write":
        raise NotMapped(
            f"workflows reach no disk ({kind}): send the file on by HTTP_REQUEST or SEND_EMAIL, "
            "answer with it (FLOW RESPOND), or fetch it afterwards (`perdure executions file`)"
        )
    raise NotMapped(
        f"workflows reach no disk ({kind}): fetch the file by HTTP, or give it to the start "
        "(`perdure run --file`)"
    )


def _elsewhere(advice: str) -> Map:
    """Return what says of a node for files what to do instead."""

    def told(node: Source) -> Made:
        raise NotMapped(f"{node.kind.rpartition('.')[2]} has no counterpart: {advice}")

    return told


STORE = (
    "fetch the file by HTTP_REQUEST (`response: file`) from the store's own address, and send one "
    "there with `file`"
)
SERVICE = (
    "let a service do it that is asked by HTTP_REQUEST (`file` sends a file, `response: file` "
    "takes one)"
)

FILES: Mapping[str, Map] = {
    "extractFromFile": extract, "convertToFile": convert, "spreadsheetFile": sheet,
    "moveBinaryData": move, "readBinaryFile": disk, "readBinaryFiles": disk,
    "writeBinaryFile": disk, "readWriteFile": disk,
    **dict.fromkeys(("readPDF", "iCal"), _elsewhere(SHEETS)),
    **dict.fromkeys(("compression", "editImage", "ftp"), _elsewhere(SERVICE)),
    **dict.fromkeys(
        ("awsS3", "s3", "googleDrive", "googleCloudStorage", "dropbox", "box", "nextCloud",
         "microsoftOneDrive"), _elsewhere(STORE),
    ),
    "localFileTrigger": _elsewhere(
        "workflows reach no disk: let who writes the file send it to a TRIGGER WEBHOOK"
    ),
}  # fmt: skip
"""By the last part of the node's type."""
