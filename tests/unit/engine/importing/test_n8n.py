"""Files of n8n: what they become runs as they did, and what cannot has a typed reason."""

import json
from random import Random
from typing import Any

import pytest
from n8n_files import codes, file, given, imported
from perdure_contracts.engine import ExecutionFailed, StartExecution
from perdure_engine.importing import Imported, import_n8n
from perdure_engine.importing.kinds_outside import ALL
from perdure_engine.importing.texts import translated
from playing import EXECUTION_ID, WORKFLOW_ID, Play, failed

Row = dict[str, Any]


def played(made: Imported, data: Any) -> Play:
    assert made.valid, made.problems
    assert made.definition is not None
    return Play(made.definition).start(data, node_id="start")


def out(made: Imported, node_id: str, data: Any, port: str = "main") -> list[Any]:
    assert codes(made) == []
    return played(made, data).emitted(node_id, port)


def test_what_is_no_workflow_of_n8n_is_said_so() -> None:
    others: list[Any] = [None, [], {}, {"nodes": []}, {"nodes": [], "connections": []}, "x"]
    for document in others:
        made = import_n8n(document)
        assert (made.definition, codes(made)) == (None, [("not_n8n", "")])


def test_what_is_too_deep_or_too_large_is_said_so() -> None:
    deep: Any = {}
    for _ in range(3_000):
        deep = {"a": deep}
    large = "x" * 1_000_000
    for parameters in (deep, {"text": large}):
        made = imported(given("It", "set", {"values": parameters}))
        assert (made.definition, codes(made)) == (None, [("not_n8n", "")])


def test_fields_are_set_as_the_forms_of_the_node_say() -> None:
    assigned = [{"id": "1", "name": "total", "value": "={{ $json.n * 2 }}", "type": "number"},
                {"id": "2", "name": "a.b", "value": "x {{ y }}", "type": "string"}]  # fmt: skip
    newer = given("Set", "set", {"assignments": {"assignments": assigned}}, version=3.4)
    made = imported(newer)
    assert codes(made) == [("differs", "Set")]
    assert played(made, {"n": 2}).emitted("set") == [{"total": 4, "a": {"b": "x {{ y }}"}}]
    values = {"string": [{"name": "hello", "value": '=Hello {{$json["name"]}}!'}]}
    older = given("Set", "set", {"values": values, "options": {}})
    assert out(imported(older), "set", {"name": "Ada"}) == [{"name": "Ada", "hello": "Hello Ada!"}]
    raw = {"mode": "raw", "jsonOutput": '={"n": {{ $json.n }}, "list": [1]}'}
    made = imported(given("Set", "set", raw, version=3.4))
    assert out(made, "set", {"n": 5}) == [{"n": 5, "list": [1]}]


@pytest.mark.parametrize(
    ("kind", "operation", "left", "right", "holds"),
    [
        ("string", "equals", "={{ $json.s }}", "Ada", True),
        ("string", "notContains", "={{ $json.s }}", "d", False),
        ("string", "startsWith", "={{ $json.s }}", "=A", True),
        ("string", "regex", "={{ $json.s }}", "^a/?", False),
        ("string", "regex", "={{ $json.s }}", "/^a/i", True),
        ("string", "notExists", "={{ $json.gone }}", "", True),
        ("string", "empty", "={{ $json.none }}", "", True),
        ("string", "notEmpty", "={{ $json.s }}", "", True),
        ("number", "gte", "={{ $json.n }}", 3, True),
        ("number", "equals", "={{ $json.n }}", "=3", True),
        ("number", "lt", "={{ $json.n }}", "={{ $json.n - 1 }}", False),
        ("boolean", "true", "={{ $json.yes }}", "", True),
        ("boolean", "notEquals", "={{ $json.yes }}", False, True),
        ("array", "contains", "={{ $json.list }}", "b", True),
        ("array", "lengthGt", "={{ $json.list }}", 2, False),
        ("array", "empty", "={{ $json.nothing }}", "", True),
        ("dateTime", "after", "={{ $json.day }}", "2026-01-01", True),
        ("object", "notEmpty", "={{ $json }}", "", True),
    ],
)
def test_a_condition_of_the_newer_form_holds_as_it_did(
    kind: str, operation: str, left: Any, right: Any, holds: bool
) -> None:
    item = {"s": "Ada", "n": 3, "yes": True, "list": ["a", "b"], "nothing": [], "none": "",
            "day": "2026-05-01T00:00:00Z"}  # fmt: skip
    asked = {"leftValue": left, "rightValue": right,
             "operator": {"type": kind, "operation": operation}}  # fmt: skip
    conditions = {"options": {"caseSensitive": True}, "conditions": [asked], "combinator": "and"}
    made = imported(given("If", "if", {"conditions": conditions}, version=2))
    assert out(made, "if", item, "true") == ([item] if holds else [])
    assert out(made, "if", item, "false") == ([] if holds else [item])


def test_a_condition_of_the_first_form_holds_as_it_did() -> None:
    text = {"value1": "={{$json.s}}", "operation": "contains", "value2": "d"}
    number = {"value1": "={{$json.n}}", "operation": "larger", "value2": 9}
    asked = {"string": [text], "number": [number]}
    both = imported(given("If", "if", {"conditions": asked}))
    assert out(both, "if", {"s": "Ada", "n": 3}, "false") == [{"s": "Ada", "n": 3}]
    either = imported(given("If", "if", {"conditions": asked, "combineOperation": "any"}))
    assert out(either, "if", {"s": "Ada", "n": 3}, "true") == [{"s": "Ada", "n": 3}]


def test_branches_meet_in_a_merge_by_the_fields_that_they_share() -> None:
    asked = {"number": [{"value1": "={{$json.n}}", "operation": "smaller", "value2": 5}]}
    merge = {"mode": "combine", "combineBy": "combineByFields", "fieldsToMatchString": "id",
             "joinMode": "keepEverything"}  # fmt: skip
    nodes = [
        given("If", "if", {"conditions": asked}),
        given("Low", "set", {"values": {"string": [{"name": "low", "value": "yes"}]}}),
        given("Merge", "merge", merge, version=3),
    ]
    made = imported(*nodes, links=("Start>If", "If.0>Low", "If.1>Merge.1", "Low>Merge.0"))
    emitted = out(made, "merge", [{"id": 1, "n": 1}, {"id": 1, "n": 9}, {"id": 2, "n": 9}])
    assert emitted == [{"id": 1, "n": 9, "low": "yes"}, {"id": 2, "n": 9}]


def test_a_switch_sends_items_where_its_rules_say() -> None:
    def rule(value: str, key: str = "") -> Row:
        asked = {"leftValue": "={{ $json.s }}", "rightValue": value,
                 "operator": {"type": "string", "operation": "equals"}}  # fmt: skip
        more = {"renameOutput": True, "outputKey": key} if key else {}
        return {"conditions": {"conditions": [asked], "combinator": "and"}, **more}

    switch = {"rules": {"values": [rule("a", "first"), rule("b")]},
              "options": {"fallbackOutput": "extra"}}  # fmt: skip
    nodes = [given("Switch", "switch", switch, version=3)]
    nodes += [given(name, "noOp") for name in ("A", "B", "Else")]
    links = ("Start>Switch", "Switch.0>A", "Switch.1>B", "Switch.2>Else")
    played_ = played(imported(*nodes, links=links), [{"s": each} for each in "abc"])
    found = [played_.emitted(each) for each in ("a", "b", "else")]
    assert found == [[{"s": "a"}], [{"s": "b"}], [{"s": "c"}]]
    older = {"dataType": "number", "value1": "={{$json.n}}", "fallbackOutput": 3,
             "rules": {"rules": [{"operation": "smaller", "value2": 5, "output": 2}]}}  # fmt: skip
    made = imported(given("Switch", "switch", older), given("Low", "noOp"), given("Else", "noOp"),
                    links=("Start>Switch", "Switch.2>Low", "Switch.3>Else"))  # fmt: skip
    assert out(made, "low", [{"n": 1}, {"n": 9}]) == [{"n": 1}]
    assert out(made, "else", [{"n": 1}, {"n": 9}]) == [{"n": 9}]


def test_a_loop_over_items_goes_round_and_leaves_at_its_end() -> None:
    up = {"values": {"number": [{"name": "n", "value": "={{ $json.n + 1 }}"}]}}
    nodes = [given("Loop", "splitInBatches", {"batchSize": 1}, version=3), given("Up", "set", up),
             given("Done", "noOp")]  # fmt: skip
    links = ("Start>Loop", "Loop.0>Done", "Loop.1>Up", "Up>Loop")
    assert out(imported(*nodes, links=links), "done", [{"n": 1}, {"n": 5}]) == [{"n": 2}, {"n": 6}]


def test_a_request_gives_an_item_for_each_entry_of_the_answer_under_its_old_name() -> None:
    ask = {"url": "=https://example.org/{{ $json.id }}", "sendQuery": True, "sendBody": True,
           "queryParameters": {"parameters": [{"name": "q", "value": "={{ $json.id }}"}]},
           "method": "POST", "specifyBody": "json", "jsonBody": '={"id": "{{ $json.id }}"}',
           "authentication": "genericCredentialType", "options": {"timeout": 5000}}  # fmt: skip
    see = {"values": {"string": [{"name": "seen", "value": "={{ $('Ask Them').item.json.a }}"}]}}
    made = imported(
        given("Ask Them", "httpRequest", ask, version=4.2, retryOnFail=True, maxTries=3,
              credentials={"httpHeaderAuth": {"id": "1", "name": "Their Key"}}),
        given("See", "set", see),
    )  # fmt: skip
    assert codes(made) == [("credential_to_set", "Ask Them")]
    running = played(made, {"id": "x"})
    task = running.task("ask_them_http_request")
    assert task.parameters[0] == {
        "method": "POST", "url": "https://example.org/x", "query": {"q": "x"},
        "json": {"id": "x"}, "credential": "their_key", "timeout_s": 5.0,
    }  # fmt: skip
    running.answer("ask_them_http_request", {"status": 200, "headers": {}, "body": [{"a": 1}, 2]})
    assert running.emitted("ask_them") == [{"a": 1}, {"data": 2}]
    assert running.emitted("see")[0] == {"a": 1, "seen": 1}


def test_a_webhooks_item_has_what_n8ns_has() -> None:
    hook = given("Hook", "webhook", {"path": "orders", "httpMethod": "POST"}, version=2)
    made = import_n8n(file([hook, given("End", "noOp")], "Hook>End"))
    assert codes(made) == [("differs", "Hook")]
    assert made.definition is not None and made.valid
    trigger = {"id": "e", "http": {"headers": {"x": "1"}, "query": {"q": "2"}}}
    run = Play(made.definition)
    run.give(
        StartExecution(
            execution_id=EXECUTION_ID, workflow_id=WORKFLOW_ID, version=1, node_id="hook_webhook",
            mode="WEBHOOK", triggered_by="WEBHOOK:hook_webhook", trigger=trigger, data={"n": 1},
        )
    )  # fmt: skip
    assert run.emitted("end") == [
        {"headers": {"x": "1"}, "params": {}, "query": {"q": "2"}, "body": {"n": 1}}
    ]


@pytest.mark.parametrize(
    ("interval", "expression"),
    [
        ({"field": "cronExpression", "expression": "0 9 * * 1-5"}, "0 9 * * 1-5"),
        ({"field": "minutes", "minutesInterval": 15}, "*/15 * * * *"),
        ({"field": "hours", "hoursInterval": 2, "triggerAtMinute": 30}, "30 */2 * * *"),
        ({"triggerAtHour": 7}, "0 7 * * *"),
        ({"field": "weeks", "triggerAtDay": [1, 5], "triggerAtHour": 8}, "0 8 * * 1,5"),
        ({"field": "months", "triggerAtDayOfMonth": 3}, "0 0 3 * *"),
    ],
)
def test_a_schedule_fires_when_it_did(interval: Row, expression: str) -> None:
    assert clock("scheduleTrigger", {"rule": {"interval": [interval]}}) == expression


@pytest.mark.parametrize(
    ("kind", "parameters", "expression"),
    [
        ("cron", {"triggerTimes": {"item": [{"mode": "everyHour", "minute": 5}]}}, "5 * * * *"),
        ("cron", {"triggerTimes": {"item": [{"mode": "everyDay"}]}}, "0 14 * * *"),
        ("cron", {"triggerTimes": {"item": [{"mode": "everyWeek", "hour": 9}]}}, "0 9 * * 1"),
        ("cron", {"triggerTimes": {"item": [{"mode": "everyX", "value": 4, "unit": "hours"}]}},
         "0 */4 * * *"),
        ("cron", {"triggerTimes": {"item": [{"mode": "custom", "cronExpression": "1 2 * * *"}]}},
         "1 2 * * *"),
        ("interval", {"interval": 20, "unit": "minutes"}, "*/20 * * * *"),
    ],
)  # fmt: skip
def test_the_clocks_of_before_fire_when_they_did(
    kind: str, parameters: Row, expression: str
) -> None:
    assert clock(kind, parameters) == expression


def clock(kind: str, parameters: Row) -> str:
    """Return the expression of a clock, which goes by the workflow's time zone."""
    nodes = [given("Clock", kind, parameters), given("End", "noOp")]
    made = import_n8n(file(nodes, "Clock>End", settings={"timezone": "Europe/Berlin"}))
    assert codes(made) == [] and made.valid and made.definition is not None
    found = made.definition["nodes"][0]["parameters"]
    assert found["timezone"] == "Europe/Berlin"
    return str(found["expression"])


def test_a_clock_whose_time_zone_is_not_in_the_file_is_told() -> None:
    daily = given("Clock", "scheduleTrigger", {"rule": {"interval": [{"triggerAtHour": 7}]}})
    made = import_n8n(file([daily, given("End", "noOp")], "Clock>End"))
    assert codes(made) == [("differs", "Clock")]
    assert "timezone" in made.reasons[0].message
    every = given("Clock", "interval", {"interval": 20, "unit": "minutes"})
    assert codes(import_n8n(file([every, given("End", "noOp")], "Clock>End"))) == []


@pytest.mark.parametrize(
    ("kind", "parameters", "data", "emitted"),
    [
        ("limit", {"maxItems": 1, "keep": "lastItems"}, [{"n": 1}, {"n": 2}], [{"n": 2}]),
        ("sort", {"sortFieldsUi": {"sortField": [{"fieldName": "n", "order": "descending"}]}},
         [{"n": 1}, {"n": 2}], [{"n": 2}, {"n": 1}]),
        ("removeDuplicates", {"compare": "selectedFields", "fieldsToCompare": "n"},
         [{"n": 1, "a": 1}, {"n": 1}], [{"n": 1, "a": 1}]),
        ("splitOut", {"fieldToSplitOut": "list"}, {"list": [{"a": 1}, 2]}, [{"a": 1}, {"list": 2}]),
        ("itemLists", {"operation": "splitOutItems", "fieldToSplitOut": "list"}, {"list": [3]},
         [{"list": 3}]),
        ("aggregate", {"aggregate": "aggregateAllItemData"}, [{"n": 1}, {"n": 2}],
         [{"data": [{"n": 1}, {"n": 2}]}]),
        ("summarize", {"fieldsToSummarize": {"values": [{"aggregation": "sum", "field": "n"}]}},
         [{"n": 1}, {"n": 2}], [{"sum_n": 3}]),
        ("renameKeys", {"keys": {"key": [{"currentKey": "n", "newKey": "m"}]}}, {"n": 1},
         [{"m": 1}]),
        ("crypto", {"type": "SHA256", "value": "abc", "dataPropertyName": "h"}, {},
         [{"h": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]),
        ("filter", {"conditions": {"number": [{"value1": "={{$json.n}}", "value2": 2}]}},
         [{"n": 1}, {"n": 2}], [{"n": 1}]),
    ],
)  # fmt: skip
def test_nodes_for_lists_and_fields_do_what_they_did(
    kind: str, parameters: Row, data: Any, emitted: list[Any]
) -> None:
    assert out(imported(given("It", kind, parameters)), "it", data) == emitted


def test_what_has_no_counterpart_is_a_placeholder_that_keeps_its_parameters() -> None:
    parameters = {"chatId": "={{ $json.chat }}", "text": "{{ not ours }}"}
    made = imported(given("Tell", "telegram", parameters), given("End", "noOp"))
    assert codes(made) == [("node_not_mapped", "Tell")]
    assert made.definition is not None
    kept = made.definition["nodes"][1]["parameters"]
    assert kept["kind"] == "n8n-nodes-base.telegram"
    assert json.loads(kept["kept"]) == parameters
    running = played(made, {})
    (end,) = running.told(ExecutionFailed)
    assert end.error.type == "node_type_not_supported"
    assert "telegram" in end.error.message


def test_a_placeholder_can_be_pinned() -> None:
    nodes = [given("Start", "manualTrigger"), given("Tell", "telegram"), given("End", "noOp")]
    pins = {"Tell": [{"json": {"ok": True}}]}
    made = import_n8n(file(nodes, "Start>Tell", "Tell>End", pinData=pins))
    assert played(made, {}).emitted("end") == [{"ok": True}]


def test_pinned_answers_of_a_request_are_pinned_where_it_would_be_made() -> None:
    nodes = [given("Start", "manualTrigger"), given("Ask", "httpRequest", {"url": "https://x.org"},
             version=4), given("End", "noOp")]  # fmt: skip
    pins = {"Ask": [{"json": {"a": 1}}, {"json": {"a": 2}}]}
    made = import_n8n(file(nodes, "Start>Ask", "Ask>End", pinData=pins))
    running = played(made, {})
    assert running.emitted("end") == [{"a": 1}, {"a": 2}]
    assert running.tasks == {}


def test_an_expression_that_is_not_in_the_language_makes_a_placeholder_with_the_place() -> None:
    odd = {"values": {"string": [{"name": "a", "value": "={{ $env.HOME }}"}]}}
    made = imported(given("Odd", "set", odd), given("End", "noOp"))
    assert made.valid and codes(made) == [("node_refused", "Odd")]
    assert "$env" in made.reasons[0].message


def test_a_trigger_that_is_not_known_is_started_by_hand_and_keeps_its_parameters() -> None:
    nodes = [given("Bot", "telegramTrigger", {"updates": ["message"]}), given("End", "noOp")]
    made = import_n8n(file(nodes, "Bot>End"))
    assert codes(made) == [("trigger_not_mapped", "Bot")]
    assert made.definition is not None
    assert json.loads(made.definition["nodes"][0]["notes"]) == {"updates": ["message"]}
    assert Play(made.definition).start({"n": 1}, node_id="bot").emitted("end") == [{"n": 1}]


CHAIN = "@n8n/n8n-nodes-langchain"


Attached = tuple[str, str, Row]


def with_agent(kind: str, parameters: Row, *attached: Attached) -> Any:
    """Return a file in which an agent has nodes: the kind of each connection, its type, its own."""
    agent = {**given("Agent", "", parameters), "type": f"{CHAIN}.{kind}", "typeVersion": 1.7}
    nodes = [given("Start", "manualTrigger"), agent, given("End", "noOp")]
    document: Any = file(nodes, "Start>Agent", "Agent>End")
    for at, (link, type_, own) in enumerate(attached):
        keys = {"openAiApi": {"id": "1", "name": "My Key"}}
        made = {**given(f"Attached {at}", "", own, credentials=keys), "type": f"{CHAIN}.{type_}"}
        nodes.insert(at, made)
        target = {"node": "Agent", "type": link, "index": 0}
        document["connections"][made["name"]] = {link: [[target]]}
    return document


SMALL = {"model": {"__rl": True, "value": "gpt-5-mini"}, "options": {"temperature": 0.2}}
GPT: Attached = ("ai_languageModel", "lmChatOpenAi", SMALL)


def test_an_agent_has_the_model_the_tools_and_the_schema_that_were_attached() -> None:
    tool = {"name": "refund", "description": "Refunds.", "workflowId": {"__rl": True, "value": "7",
            "cachedResultName": "refund an order"}}  # fmt: skip
    schema = '{"type": "object", "properties": {"team": {"type": "string"}}}'
    own = {"promptType": "define", "text": "=Sort {{ $json.subject }}", "hasOutputParser": True,
           "options": {"systemMessage": "You sort.", "maxIterations": 5}}  # fmt: skip
    parser = {"schemaType": "manual", "inputSchema": schema}
    made = import_n8n(
        with_agent("agent", own, GPT, ("ai_tool", "toolWorkflow", tool),
                   ("ai_outputParser", "outputParserStructured", parser))
    )  # fmt: skip
    assert [code for code, _ in codes(made)] == ["differs", "credential_to_set"]
    running = played(made, {"subject": "a bill"})
    (parameters,) = running.task("agent").parameters
    wanted = {"provider": "openai", "model": "gpt-5-mini", "credential": "my_key",
              "temperature": 0.2, "prompt": "Sort a bill", "instructions": "You sort.",
              "steps_max": 5, "output_schema": json.loads(schema)}  # fmt: skip
    assert {name: parameters.get(name) for name in wanted} == wanted
    (tool_,) = parameters["tools"]
    assert tool_["parameters"]["workflow"] == "refund an order"
    running.answer("agent", {"output": {"team": "billing"}})
    assert running.emitted("end") == [{"output": {"team": "billing"}}]


def test_a_chain_gives_its_text_as_it_did() -> None:
    own = {"promptType": "define", "text": "=Say {{ $json.n }}"}
    running = played(import_n8n(with_agent("chainLlm", own, GPT)), {"n": 1})
    assert running.task("agent_agent").parameters[0]["prompt"] == "Say 1"
    running.answer("agent_agent", {"output": "one", "steps": 1})
    assert running.emitted("end") == [{"text": "one"}]


PLACEHOLDERS: list[tuple[Attached, ...]] = [
    (),
    (GPT, ("ai_memory", "memoryBufferWindow", {})),
    (("ai_languageModel", "lmChatOllama", {"model": "llama"}),),
    (GPT, ("ai_tool", "toolCode", {})),
    (GPT, ("ai_memory", "x", {}), ("ai_tool", "toolWorkflow", {"workflowId": "7"})),
]


@pytest.mark.parametrize("attached", PLACEHOLDERS)
def test_an_agent_with_what_has_no_counterpart_is_a_placeholder_that_names_it(
    attached: tuple[Attached, ...],
) -> None:
    made = import_n8n(with_agent("agent", {}, *attached))
    assert made.valid and made.definition is not None
    assert ("node_not_mapped", "Agent") in codes(made)
    (agent,) = [each for each in made.definition["nodes"] if each["name"] == "Agent"]
    kept = json.loads(agent["parameters"]["kept"])
    told: list[Row] = kept.get("attached", [])
    assert [each["as"] for each in told] == [kind for kind, _, _ in attached]


def test_errors_leave_by_the_output_that_they_left_by() -> None:
    stop = given("Stop", "renameKeys", onError="continueErrorOutput")
    ask = given("Ask", "httpRequest", {"url": "https://example.org"}, version=4,
                onError="continueErrorOutput")  # fmt: skip
    made = imported(ask, given("Good", "noOp"), given("Bad", "noOp"), stop,
                    links=("Start>Ask", "Ask.0>Good", "Ask.1>Bad"))  # fmt: skip
    assert made.definition is not None
    made.definition["settings"] = {"recovery": "off"}
    running = played(made, {})
    running.answer("ask_http_request", error=failed("http_status"))
    assert running.emitted("bad")[0]["error"]["type"] == "http_status"
    assert running.emitted("good") == []


def test_notes_settings_and_what_differs_are_kept_or_told() -> None:
    sticky = given("Note", "stickyNote", {"content": "hello"})
    two = [given(name, "noOp") for name in ("A", "B", "Both")]
    settings = {"executionTimeout": 60, "errorWorkflow": "7", "executionOrder": "v1"}
    made = imported(sticky, *two, settings=settings,
                    links=("Start>A", "Start>B", "A>Both", "B>Both"))  # fmt: skip
    assert codes(made) == [("joins_once", "Both"), ("setting_not_mapped", "")]
    assert made.definition is not None
    assert made.definition["settings"] == {"execution_timeout": 60}
    assert len(made.definition["nodes"]) == 4


NAMES = [
    "rules", "conditions", "mode", "operation", "url", "values", "path", "assignments", "batchSize",
    "amount", "unit", "workflowId", "fieldToSplitOut", "method", "sortFieldsUi", "rule",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_whatever_a_file_has_it_is_imported_or_the_reasons_are_typed(seed: int) -> None:
    random = Random(seed)
    junk: list[Any] = [None, True, -1, "x", "={{ $json.a }}", "={{ broken(", [], {}, [{}], {"a": 1}]
    nodes: list[Any] = [given("n0", "manualTrigger")]
    for n in range(1, 12):
        kind = random.choice([*ALL, "unknown"])
        parameters = {name: random.choice(junk) for name in random.sample(NAMES, 5)}
        version = random.choice([1, 2, 3, 4.2, None])
        nodes.append(given(f"n{n}", kind, parameters, version=version))
    nodes += random.sample(junk, 2)
    links = [f"n{random.randrange(12)}.{random.randrange(3)}>n{random.randrange(12)}"
             for _ in range(16)]  # fmt: skip
    made = import_n8n(file(nodes, *links, pinData={"n3": junk}))
    assert made.definition is not None
    assert all(each.code for each in made.reasons)
    assert made.valid, made.problems


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("={{ $binary.data.fileName }}", "{{ $binary.data.file_name }}"),
        ("={{ $binary['data'].mimeType }}", "{{ $binary['data'].mime_type }}"),
        ("={{ $binary?.data?.fileName }}", "{{ $binary?.data?.file_name }}"),
        ("={{ $json.fileName }}", "{{ $json.fileName }}"),
    ],
)
def test_what_is_known_of_a_file_is_called_as_here(theirs: str, ours: str) -> None:
    assert translated(theirs) == ours
