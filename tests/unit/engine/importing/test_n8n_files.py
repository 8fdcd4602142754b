"""n8n's nodes for files: what they become reads and writes as they did."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from n8n_files import codes, file, given, imported
from perdure_common.adapters.memory_files import MemoryFiles
from perdure_common.shell.files import read
from perdure_contracts.engine import NodeResult
from perdure_engine.importing import Imported, import_n8n
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.file import run
from perdure_engine.runner.files import ItemFiles, Made, refs_of
from playing import Play

TENANT = "tenant"


def play(made: Imported, data: Any, content: bytes | None, name: str = "data") -> "Filed":
    """Run what was imported to its end, with a file at its first item."""
    assert made.valid and made.definition is not None, made.problems
    definition = {**made.definition, "settings": {"recovery": "off"}}
    return Filed(Play(definition), MemoryFiles()).run(data, content, name)


class Filed:
    """A played execution whose nodes for files are done by what does them in a runner."""

    def __init__(self, played: Play, store: MemoryFiles) -> None:
        self.played = played
        self.store = store

    def run(self, data: Any, content: bytes | None, name: str) -> "Filed":
        files = None
        if content is not None:
            files = {"0": {name: asyncio.run(self._kept(content))}}
        self.played.start(data, node_id="start", files=files)
        while waiting := [each for each in self.played.state.open if self._task(each) is not None]:
            asyncio.run(self._answer(waiting[0]))
        assert self.played.state.status == "SUCCESS", self.played.state
        return self

    def items(self, node_id: str) -> list[Any]:
        return self.played.emitted(node_id)

    def file(self, node_id: str, name: str = "data") -> tuple[str, str, bytes]:
        """Return name, type and bytes of the file of a node's first item."""
        ref = self.played.run(node_id).ports["main"][0]["binary_ref"][name]
        return ref["file_name"], ref["mime_type"], asyncio.run(self._bytes(ref["file_id"]))

    def _task(self, place: str) -> Any:
        known = self.played.state.runs[place].dispatch
        return None if known is None else self.played.tasks.get(known.token)

    async def _kept(self, content: bytes) -> Any:
        async def source() -> AsyncIterator[bytes]:
            yield content

        return await ItemFiles(self.store, TENANT).keep(source(), "a.bin", "")

    async def _bytes(self, file_id: str) -> bytes:
        return b"".join([chunk async for chunk in await read(self.store, TENANT, file_id)])

    async def _answer(self, place: str) -> None:
        task = self._task(place)
        assert task.node_subtype == "FILE"
        items: list[Any] = []
        failed: list[Any] = []
        for at, json in enumerate(task.items):
            given = ItemFiles(self.store, TENANT, refs_of(task.files, at), json)
            made = await run(task.parameters[at], given)
            if isinstance(made, Failed):
                failed.append((at, made.error))
                items.append(None)
            else:
                assert isinstance(made, Made)
                items.append({"json": made.json, "binary_ref": made.files})
        self.played.give(
            NodeResult(
                execution_id=task.execution_id, token=task.token,
                outcome="failed" if failed else "completed", ports={"main": items},
                failed=tuple(failed), error=failed[0][1] if failed else None,
            )
        )  # fmt: skip


TABLE = b"n,who\n1,ada\n2,bob\n"


@pytest.mark.parametrize(
    ("kind", "parameters", "content", "emitted"),
    [
        ("extractFromFile", {}, TABLE, [{"n": "1", "who": "ada"}, {"n": "2", "who": "bob"}]),
        ("extractFromFile", {"options": {"delimiter": ";", "headerRow": False}}, b"1;2\n",
         [{"column1": "1", "column2": "2"}]),
        ("extractFromFile", {"operation": "text", "destinationKey": "t"}, b"hi", [{"t": "hi"}]),
        ("extractFromFile", {"operation": "text", "options": {"encoding": "win1252"}}, b"\x80",
         [{"data": "€"}]),
        ("extractFromFile", {"operation": "text", "options": {"keepSource": "both"}}, b"hi",
         [{"old": 1, "data": "hi"}]),
        ("extractFromFile", {"operation": "xml"}, b"<a/>", [{"data": "<a/>"}]),
        ("extractFromFile", {"operation": "fromJson"}, b'{"a": 1}', [{"data": {"a": 1}}]),
        ("extractFromFile", {"operation": "binaryToPropery"}, b"\x00\xff", [{"data": "AP8="}]),
        ("extractFromFile", {"operation": "html"}, b"<table><tr><th>a<tr><td>1</table>",
         [{"a": "1"}]),
        ("spreadsheetFile", {"fileFormat": "csv"}, TABLE,
         [{"n": "1", "who": "ada"}, {"n": "2", "who": "bob"}]),
        ("moveBinaryData", {}, b'{"a": 1}', [{"a": 1}]),
        ("moveBinaryData", {"setAllData": False, "destinationKey": "t"}, b"hi",
         [{"old": 1, "t": "hi"}]),
        ("moveBinaryData", {"setAllData": False, "options": {"jsonParse": True}}, b"[1]",
         [{"old": 1, "data": [1]}]),
        ("moveBinaryData", {"setAllData": False, "options": {"keepAsBase64": True}}, b"\x00\xff",
         [{"old": 1, "data": "AP8="}]),
    ],
)  # fmt: skip
def test_what_read_a_file_gives_the_items_that_it_gave(
    kind: str, parameters: dict[str, Any], content: bytes, emitted: list[Any]
) -> None:
    made = imported(given("It", kind, parameters), given("End", "noOp"))
    assert codes(made) == []
    assert play(made, {"old": 1}, content).items("end") == emitted


@pytest.mark.parametrize(
    ("kind", "parameters", "file"),
    [
        ("convertToFile", {}, ("file.csv", "text/csv", b"a,b\r\n1,\r\n2,x\r\n")),
        ("convertToFile", {"options": {"fileName": "t.csv", "delimiter": ";"}},
         ("t.csv", "text/csv", b"a;b\r\n1;\r\n2;x\r\n")),
        ("convertToFile", {"operation": "toJson"},
         ("file.json", "application/json",
          b'[\n  {\n    "a": 1\n  },\n  {\n    "a": 2,\n    "b": "x"\n  }\n]')),
        ("convertToFile", {"operation": "toJson", "mode": "each",
                           "options": {"fileName": "={{ $json.a }}.json"}},
         ("1.json", "application/json", b'{\n  "a": 1\n}')),
        ("convertToFile", {"operation": "toText", "sourceProperty": "a"},
         ("file.txt", "text/plain", b"1")),
        ("spreadsheetFile", {"operation": "toFile", "fileFormat": "csv"},
         ("file.csv", "text/csv", b"a,b\r\n1,\r\n2,x\r\n")),
        ("moveBinaryData", {"mode": "jsonToBinary"},
         ("file.json", "application/json", b'{\n  "a": 1\n}')),
    ],
)  # fmt: skip
def test_what_made_a_file_makes_the_one_that_it_made(
    kind: str, parameters: dict[str, Any], file: tuple[str, str, bytes]
) -> None:
    made = imported(given("It", kind, parameters), given("End", "noOp"))
    assert codes(made) == []
    done = play(made, [{"a": 1}, {"a": 2, "b": "x"}], None)
    assert done.file("end") == file
    assert done.items("end")[0] == {}


def test_a_base64_text_becomes_its_bytes() -> None:
    parameters: dict[str, Any] = {"operation": "toBinary", "sourceProperty": "in.side", "options": {
        "mimeType": "image/png"}, "binaryPropertyName": "image"}  # fmt: skip
    done = play(imported(given("It", "convertToFile", parameters)), {"in": {"side": "AP8="}}, None)
    assert done.file("it", "image") == ("file.bin", "image/png", b"\x00\xff")
    parameters["options"]["dataIsBase64"] = False
    done = play(imported(given("It", "convertToFile", parameters)), {"in": {"side": "AP8="}}, None)
    assert done.file("it", "image")[2] == b"AP8="


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("extractFromFile", {"operation": "xlsx"}, "spreadsheets, PDF"),
        ("extractFromFile", {"operation": "pdf"}, "spreadsheets, PDF"),
        ("convertToFile", {"operation": "iCal"}, "spreadsheets, PDF"),
        ("convertToFile", {"operation": "toText"}, "names no field"),
        ("spreadsheetFile", {}, "autodetect"),
        ("moveBinaryData", {"mode": "other"}, "has no counterpart"),
        ("readBinaryFile", {"filePath": "/etc/passwd"}, "reach no disk"),
        ("readWriteFile", {}, "perdure run --file"),
        ("readWriteFile", {"operation": "write", "fileName": "/tmp/a"}, "perdure executions file"),
        ("writeBinaryFile", {"fileName": "/tmp/a"}, "SEND_EMAIL"),
        ("readPDF", {}, "spreadsheets, PDF"),
        ("compression", {}, "HTTP_REQUEST"),
        ("ftp", {}, "HTTP_REQUEST"),
        ("googleDrive", {"operation": "download"}, "the store's own address"),
    ],
)
def test_what_has_no_counterpart_is_said_with_what_to_do(
    kind: str, parameters: dict[str, Any], words: str
) -> None:
    made = imported(given("It", kind, parameters))
    assert made.valid
    (reason,) = made.reasons
    assert (reason.code, reason.node) == ("node_not_mapped", "It")
    assert words in reason.message


@pytest.mark.parametrize(
    ("kind", "words"), [("localFileTrigger", "WEBHOOK"), ("emailReadImap", "TRIGGER EMAIL")]
)
def test_a_trigger_that_brings_files_is_told_by_name_with_what_to_do(kind: str, words: str) -> None:
    made = import_n8n(file([given("Begin", kind), given("End", "noOp")], "Begin>End"))
    (reason,) = made.reasons
    assert (made.valid, reason.code, reason.node) == (True, "trigger_not_mapped", "Begin")
    assert words in reason.message


@pytest.mark.parametrize(
    ("kind", "parameters", "names"),
    [
        ("extractFromFile", {"options": {"fromLine": 3, "maxRowCount": 10}},
         ["fromLine", "maxRowCount"]),
        ("extractFromFile", {"options": {"fromLine": 0, "maxRowCount": -1}}, []),
        ("convertToFile", {"operation": "toText", "sourceProperty": "a",
                           "options": {"addBOM": True}}, ["addBOM"]),
        ("spreadsheetFile", {"fileFormat": "csv", "options": {"range": "A2:B3"}}, ["range"]),
    ],
)  # fmt: skip
def test_an_option_that_there_is_not_is_told_by_name(
    kind: str, parameters: dict[str, Any], names: list[str]
) -> None:
    made = imported(given("It", kind, parameters))
    assert made.valid
    assert [each.message.split("`")[1] for each in made.reasons] == [
        f"options.{name}" for name in names
    ]


def test_an_item_whose_file_cannot_be_read_goes_on_with_its_error() -> None:
    goes_on = given("It", "extractFromFile", {}, onError="continueRegularOutput")
    done = play(imported(goes_on, given("End", "noOp")), {"n": 1}, None)
    (item,) = done.items("end")
    assert (item["n"], item["error"]["type"]) == (1, "file_not_found")


def test_pinned_rows_are_there_without_a_file() -> None:
    nodes = [given("Start", "manualTrigger"), given("It", "extractFromFile"), given("End", "noOp")]
    pins = {"It": [{"json": {"a": 1}}, {"json": {"a": 2}}]}
    made = import_n8n(file(nodes, "Start>It", "It>End", pinData=pins))
    assert play(made, {}, None).items("end") == [{"a": 1}, {"a": 2}]


def test_a_webhook_is_answered_with_a_file() -> None:
    parameters = {"respondWith": "binary", "inputFieldName": "pdf"}
    made = imported(given("Say", "respondToWebhook", parameters))
    assert made.valid and made.definition is not None and codes(made) == []
    assert made.definition["nodes"][1]["parameters"] == {"file": "pdf"}


def test_a_request_is_answered_with_a_file_and_sends_one() -> None:
    response = {"response": {"responseFormat": "file", "outputPropertyName": "pdf"}}
    get = {"url": "https://example.com/a.pdf", "options": {"response": response}}
    made = imported(given("Get", "httpRequest", get, version=4))
    assert made.definition is not None and codes(made) == [("differs", "Get")]
    parameters = made.definition["nodes"][1]["parameters"]
    assert (parameters["response"], parameters["response_file"]) == ("file", "pdf")
    put = {"url": "https://example.com", "method": "PUT", "sendBody": True,
           "contentType": "binaryData", "inputDataFieldName": "pdf"}  # fmt: skip
    form = {**put, "contentType": "multipart-form-data", "bodyParameters": {"parameters": [
        {"parameterType": "formBinaryData", "name": "f", "inputDataFieldName": "pdf"},
        {"name": "title", "value": "={{ $json.t }}"}]}}  # fmt: skip
    for given_parameters, body in (
        (put, {"file": {"file": "pdf"}}),
        (form, {"form": {"f": {"file": "pdf"}, "title": "{{ $json.t }}"}}),
    ):
        made = imported(given("Put", "httpRequest", given_parameters, version=4))
        assert made.valid and made.definition is not None
        parameters = made.definition["nodes"][1]["parameters"]
        assert {name: parameters[name] for name in body} == body


OLDER = {"url": "https://example.com", "requestMethod": "POST", "jsonParameters": True}


@pytest.mark.parametrize(
    ("parameters", "body"),
    [
        ({**OLDER, "sendBinaryData": True, "options": {"bodyContentType": "raw"},
          "binaryPropertyName": "pdf"}, {"file": {"file": "pdf"}}),
        ({**OLDER, "sendBinaryData": True, "options": {"bodyContentType": "multipart-form-data"}},
         {"form": {"file": {"file": "data"}}}),
        ({**OLDER, "sendBinaryData": True, "binaryPropertyName": "a:one, b:two",
          "options": {"bodyContentType": "multipart-form-data"}},
         {"form": {"a": {"file": "one"}, "b": {"file": "two"}}}),
        ({**OLDER, "bodyParametersJson": "<a/>", "options": {
            "bodyContentType": "raw", "bodyContentCustomMimeType": "text/xml"}},
         {"body": "<a/>", "headers": {"Content-Type": "text/xml"}}),
        ({**OLDER, "jsonParameters": False, "options": {"bodyContentType": "form-urlencoded"},
          "bodyParametersUi": {"parameter": [{"name": "a", "value": "1"}]}}, {"form": {"a": "1"}}),
    ],
)  # fmt: skip
def test_the_older_request_sends_what_it_sent(
    parameters: dict[str, Any], body: dict[str, Any]
) -> None:
    made = imported(given("Put", "httpRequest", parameters, version=2))
    assert made.valid and made.definition is not None, made.reasons
    found = made.definition["nodes"][1]["parameters"]
    kinds = ("body", "file", "form", "json", "headers")
    assert {name: found[name] for name in kinds if name in found} == body


def test_an_older_request_that_n8n_refuses_is_told() -> None:
    parameters = {**OLDER, "sendBinaryData": True}
    (reason,) = imported(given("Put", "httpRequest", parameters, version=2)).reasons
    assert (reason.code, reason.node) == ("node_not_mapped", "Put")


SMTP = {"smtp": {"id": "1", "name": "Office Mail"}}


@pytest.mark.parametrize(
    ("version", "parameters", "ours"),
    [
        (2.1, {"subject": "Hi {{", "html": "=<b>{{ $json.a }}</b>", "text": "not this",
               "options": {"attachments": "data, report", "ccEmail": "c@example.com",
                           "replyTo": "r@example.com", "appendAttribution": False}},
         {"subject": "Hi {{ '{{' }}", "html": "<b>{{ $json.a }}</b>",
          "attachments": ["data", "report"], "cc": "c@example.com",
          "reply_to": "r@example.com"}),
        (2, {"subject": "Hi", "text": "hello", "html": "not this"},
         {"subject": "Hi", "text": "hello"}),
        (1, {"subject": "Hi", "text": "hello", "html": "<b>", "attachments": "a",
             "bccEmail": "b@example.com"},
         {"subject": "Hi", "text": "hello", "html": "<b>", "attachments": ["a"],
          "bcc": "b@example.com"}),
        (2.1, {"subject": "=Hi", "emailFormat": "text",
               "options": {"attachments": "={{ $json.names }}"}},
         {"subject": "Hi", "text": "",
          "attachments": "{{ `${($json.names)}`.split(',').map(name => name.trim()) }}"}),
    ],
)  # fmt: skip
def test_a_mail_is_sent_with_its_attachments(
    version: float, parameters: dict[str, Any], ours: dict[str, Any]
) -> None:
    named = {"fromEmail": "Shop <s@example.com>", "toEmail": "a@example.com, b@example.com"}
    mail = given("Mail", "emailSend", {**named, **parameters}, version=version, credentials=SMTP)
    made = imported(mail)
    assert made.valid and made.definition is not None, made.problems
    node = made.definition["nodes"][1]
    assert (node["node_type"], node["node_subtype"]) == ("EXTERNAL_ACTION", "SEND_EMAIL")
    sender = {"credential": "office_mail", "from": named["fromEmail"], "to": named["toEmail"]}
    assert node["parameters"] == {**sender, **ours}
    notes = 2 if "attachments" in ours else 1
    assert [code for code, _ in codes(made)] == ["differs"] * notes + ["credential_to_set"]


@pytest.mark.parametrize("parameters", [{"operation": "sendAndWait"}, {"toEmail": ""}])
def test_a_mail_that_has_no_counterpart_is_told(parameters: dict[str, Any]) -> None:
    whole = {"fromEmail": "s@example.com", "toEmail": "a@example.com", **parameters}
    (reason,) = imported(given("Mail", "emailSend", whole, version=2.1)).reasons
    assert (reason.code, reason.node) == ("node_not_mapped", "Mail")


def test_what_a_webhook_brings_is_told_where_a_file_is_used() -> None:
    hook = given("Hook", "webhook", {"path": "in", "httpMethod": "POST", "responseMode": "lastNode",
                                     "responseData": "firstEntryBinary"}, version=2)  # fmt: skip
    reads = import_n8n(file([hook, given("Read", "extractFromFile")], "Hook>Read"))
    told = [each.message for each in reads.reasons if each.node == "Hook"]
    assert [each for each in told if "body.base64" in each and "ACTION FILE" in each]
    assert [each for each in told if "answers with a file" in each]
    none = import_n8n(file([hook, given("Read", "noOp")], "Hook>Read"))
    assert not [each for each in none.reasons if "body.base64" in each.message]


def test_a_file_that_is_pinned_is_told() -> None:
    pins = {"It": [{"json": {"a": 1}, "binary": {"data": {"data": "AP8=", "mimeType": "a/b"}}}]}
    nodes = [given("Start", "manualTrigger"), given("It", "noOp")]
    made = import_n8n(file(nodes, "Start>It", pinData=pins))
    assert codes(made) == [("differs", "It")]
