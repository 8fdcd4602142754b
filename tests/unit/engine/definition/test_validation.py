"""Every problem at once, each with its code, its place and what to do."""

from copy import deepcopy
from typing import Any

import pytest
from perdure_engine.definition import load, validate
from perdure_engine.definition.parameters import read_parameters
from perdure_engine.definition.problems import TEXT_BYTES_MAX, Found, Problem, told
from perdure_engine.definition.reading import Reader
from perdure_engine.nodes.base import NodeSpecification


def definition(**changes: Any) -> dict[str, Any]:
    return {
        "name": "triage",
        "nodes": [
            {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL"},
            {
                "node_id": "bug",
                "node_type": "FLOW",
                "node_subtype": "IF",
                "parameters": {"condition": "{{ $json.kind === 'bug' }}"},
            },
            {
                "node_id": "label",
                "node_type": "ACTION",
                "node_subtype": "SET",
                "parameters": {"values": {"label": "{{ $('bug').item.json.kind }}"}},
            },
        ],
        "connections": [
            {"source_node_id": "start", "target_node_id": "bug"},
            {"source_node_id": "bug", "source_port": "true", "target_node_id": "label"},
        ],
        **changes,
    }


def changed(node: int, **changes: Any) -> dict[str, Any]:
    found = definition()
    found["nodes"][node].update(changes)
    return found


def connected(**connection: Any) -> dict[str, Any]:
    found = definition()
    found["connections"].append(connection)
    return found


def located(problems: tuple[Problem, ...]) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in problems]


def the_only(found: dict[str, Any]) -> Problem:
    problems = validate(found).problems
    assert len(problems) == 1, located(problems)
    return problems[0]


def test_a_sound_definition_has_no_problems() -> None:
    found = validate(definition())
    assert found.problems == ()
    assert found.workflow is not None
    assert found.workflow.sha256 == found.sha256


def test_twelve_different_faults_are_all_named_and_located() -> None:
    found = {
        "name": "",
        "owner": "me",
        "nodes": [
            {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL"},
            {"node_id": "if", "node_type": "FLOW", "node_subtype": "IFF", "name": "A"},
            {
                "node_id": "check",
                "node_type": "FLOW",
                "node_subtype": "IF",
                "name": "A",
                "parameters": {"condition": "{{ $json.a === }}"},
                "max_retries": -1,
            },
            {
                "node_id": "call",
                "node_type": "EXTERNAL_ACTION",
                "node_subtype": "HTTP_REQUEST",
                "parameters": {"methd": "GET"},
            },
            {
                "node_id": "set",
                "node_type": "ACTION",
                "node_subtype": "SET",
                "parameters": {"values": {"x": "{{ $('Nobody').first() }}"}},
            },
        ],
        "connections": [
            {"source_node_id": "start", "target_node_id": "if"},
            {"source_node_id": "start", "target_node_id": "check"},
            {"source_node_id": "check", "source_port": "yes", "target_node_id": "call"},
            {"source_node_id": "check", "source_port": True, "target_node_id": "nowhere"},
            {"source_node_id": "start", "target_node_id": "set"},
            {"source_node_id": "start", "target_node_id": "set"},
        ],
    }
    validation = validate(found)
    assert validation.workflow is None
    assert located(validation.problems) == [
        ("unknown_key", "owner"),
        ("empty_text", "name"),
        ("unknown_node_subtype", "nodes[1].node_subtype"),
        ("expression_syntax", "nodes[2].parameters.condition"),
        ("out_of_range", "nodes[2].max_retries"),
        ("duplicate_node_name", "nodes[2].name"),
        ("unknown_parameter", "nodes[3].parameters.methd"),
        ("missing_parameter", "nodes[3].parameters.url"),
        ("unknown_port", "connections[2].source_port"),
        ("unknown_node", "connections[3].target_node_id"),
        ("duplicate_connection", "connections[5]"),
        ("unknown_node", "nodes[4].parameters.values"),
    ]
    assert [p.node_id for p in validation.problems][2:8] == [
        "if", "check", "check", "check", "call", "call",
    ]  # fmt: skip


def test_unknown_keys_come_with_the_nearest_known_one() -> None:
    problem = the_only(changed(1, discription="x"))
    assert (problem.code, problem.path) == ("unknown_key", "nodes[1].discription")
    assert "'description'" in problem.message


@pytest.mark.parametrize(
    ("node_type", "subtype", "code"),
    [
        ("FLOWW", "IF", "unknown_node_type"),
        ("AI_AGENT", "ANY", "unknown_node_subtype"),
        ("HUMAN_IN_THE_LOOP", "APROVAL", "unknown_node_subtype"),
        ("FLOW", "SWICH", "unknown_node_subtype"),
    ],
)
def test_nodes_that_cannot_be_run_are_refused(node_type: str, subtype: str, code: str) -> None:
    found = definition()
    found["nodes"].append({"node_id": "x", "node_type": node_type, "node_subtype": subtype})
    if node_type != "TRIGGER":
        found["connections"].append({"source_node_id": "label", "target_node_id": "x"})
    assert the_only(found).code == code


def test_a_near_subtype_is_suggested() -> None:
    assert "'SET'" in the_only(changed(2, node_subtype="SETT")).message


@pytest.mark.parametrize(
    ("connection", "code"),
    [
        ({"source_node_id": "bug", "target_node_id": "bug"}, "self_connection"),
        ({"source_node_id": "label", "target_node_id": "start"}, "connection_into_trigger"),
        (
            {"source_node_id": "start", "target_node_id": "label", "target_port": "input1"},
            "unknown_port",
        ),
        (
            {
                "source_node_id": "start",
                "target_node_id": "label",
                "connection_type": "AI_CHAIN",
            },
            "connection_type_not_supported",
        ),
        (
            {"source_node_id": "start", "target_node_id": "label", "connection_type": "ERROR"},
            "unknown_port",
        ),
        (
            {
                "source_node_id": "start",
                "target_node_id": "label",
                "connection_type": "CONDITIONAL",
                "conditions": {"condition": "yes"},
            },
            "invalid_conditions",
        ),
    ],
)
def test_connections_that_cannot_be_are_refused(connection: dict[str, Any], code: str) -> None:
    assert the_only(connected(**connection)).code == code


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        ("AI_AGENT", "TOOL WORKFLOW"),
        ("AI_CHAIN", "MAIN"),
        ("AI_LANGUAGE_MODEL", "`model`"),
        ("AI_OUTPUT_PARSER", "`output_schema`"),
        ("AI_DOCUMENT", "`operation: write`"),
        ("AI_TEXT_SPLITTER", "the service of memory"),
        ("AI_EMBEDDING", "the service of memory"),
        ("AI_VECTOR_STORE", "AI_MEMORY"),
        ("AI_RETRIEVER", "`operation: search`"),
        ("AI_RERANKER", "the service of memory"),
        ("CONTEXT_PROVIDER", "$('its name')"),
    ],
)
def test_an_attachment_that_is_none_here_is_refused_with_what_to_use(
    kind: str, instead: str
) -> None:
    ends = {"source_node_id": "start", "target_node_id": "label", "connection_type": kind}
    assert instead in the_only(connected(**ends)).message


def around(*connections: tuple[str, str], **loops: str) -> dict[str, Any]:
    """Return a definition of a trigger `t`, plain nodes, and the LOOPs named."""
    names = sorted({end.partition(".")[0] for each in connections for end in each} - {"t"})
    nodes: list[dict[str, Any]] = [
        {"node_id": "t", "node_type": "TRIGGER", "node_subtype": "MANUAL"}
    ]
    nodes += [
        {"node_id": name, "node_type": "FLOW", "node_subtype": loops.get(name, "NOOP")}
        for name in names
    ]
    made: list[dict[str, Any]] = []
    for source, target in connections:
        node_id, _, port = source.partition(".")
        ends = {"source_node_id": node_id, "target_node_id": target}
        made.append({**ends, "source_port": port or "main"})
    return {"name": "round", "nodes": nodes, "connections": made}


@pytest.mark.parametrize(
    ("found", "code", "told"),
    [
        (around(("t", "c"), ("a", "b"), ("b", "a")), "cycle_without_entry", "a, b"),
        (
            around(("t", "a"), ("t", "b"), ("a", "b"), ("b", "a")),
            "cycle_with_entries",
            "connections 0, 1",
        ),
        (
            around(("t", "a"), ("a.loop", "b"), ("b", "a"), ("a.done", "c"), ("c", "a"), a="LOOP"),
            "done_leads_back",
            "a",
        ),
        (
            around(("t", "a"), ("a", "b"), ("b.loop", "c"), ("c", "a"), b="LOOP"),
            "loop_not_entry",
            "b",
        ),
    ],
)
def test_a_cycle_that_cannot_be_run_is_named_with_its_places(
    found: dict[str, Any], code: str, told: str
) -> None:
    problem = next(each for each in validate(found).problems if each.code == code)
    assert told in problem.message
    assert problem.severity == "error"


def test_edges_that_leave_a_loop_and_loops_without_a_way_back_are_warned_of() -> None:
    found = around(("t", "a"), ("a.loop", "b"), ("b", "c"), ("t", "c"), a="LOOP")
    problems = validate(found).problems
    assert {(each.code, each.severity) for each in problems} == {
        ("no_way_back", "warning"), ("leaves_region", "warning"),
    }  # fmt: skip


def test_join_each_is_refused_where_inputs_are_told_apart() -> None:
    found = around(("t", "a"), ("a.loop", "b"), ("b", "a"), a="LOOP")
    found["nodes"][1]["join"] = "each"
    assert the_only(found).code == "join_not_possible"


def test_an_unknown_port_lists_the_valid_ones() -> None:
    problem = the_only(connected(source_node_id="bug", source_port="maybe", target_node_id="label"))
    assert "true, false, error" in problem.message


def test_an_expression_that_does_not_compile_is_shown_with_a_caret() -> None:
    found = changed(2, parameters={"values": {"a": "{{ 1 + }}", "b": "{{ ) }}", "c": 1}})
    problems = validate(found).problems
    assert located(problems) == [
        ("expression_syntax", "nodes[2].parameters.values.a"),
        ("expression_syntax", "nodes[2].parameters.values.b"),
    ]
    assert "^" in problems[0].message


def test_an_expression_that_asks_for_an_unknown_node_is_refused() -> None:
    problem = the_only(changed(2, parameters={"values": {"a": "{{ $('bugg').item }}"}}))
    assert (problem.code, problem.path) == ("unknown_node", "nodes[2].parameters.values")
    assert "'bug'" in problem.message


def test_context_is_refused_wherever_an_expression_reads_it_for_nobody_gives_it() -> None:
    reads = "{{ $context.crm.id }}"
    found = changed(2, parameters={"values": {"a": [reads]}})
    found["connections"][0] |= {
        "connection_type": "CONDITIONAL",
        "conditions": {"condition": reads},
    }
    found["settings"] = {"concurrency": {"key": reads}}
    validation = validate(found)
    assert validation.workflow is None
    assert located(validation.problems) == [
        ("context_not_supported", "nodes[2].parameters.values"),
        ("context_not_supported", "connections[0].conditions.condition"),
        ("context_not_supported", "settings.concurrency.key"),
    ]


def test_a_frozen_version_that_reads_context_is_still_loaded() -> None:
    reads = "{{ $context.crm }}"
    assert load(changed(2, parameters={"values": {"a": reads}})).nodes


def test_two_rules_of_one_name_and_reserved_names_are_refused() -> None:
    rules = [{"name": name, "condition": True} for name in ("a", "a", "fallback", "error")]
    found = changed(1, node_subtype="SWITCH", parameters={"rules": rules})
    found["connections"][1]["source_port"] = "a"
    assert located(validate(found).problems) == [
        ("duplicate_rule_name", "nodes[1].parameters.rules[1].name"),
        ("reserved_rule_name", "nodes[1].parameters.rules[2].name"),
        ("reserved_rule_name", "nodes[1].parameters.rules[3].name"),
    ]


def test_a_merge_of_fields_needs_both_inputs() -> None:
    keys = [{"left": "id", "right": "id"}]
    found = changed(
        2, node_type="FLOW", node_subtype="MERGE", parameters={"mode": "fields", "keys": keys}
    )
    found["connections"][1]["target_port"] = "input1"
    problem = the_only(found)
    assert (problem.code, problem.path) == ("merge_needs_two_inputs", "nodes[2].parameters.mode")


def test_a_parameter_that_is_not_acted_on_is_refused() -> None:
    found = Found()
    later = NodeSpecification("FLOW", "SOON", "Not all here.", "inline", later=("colour",))
    assert read_parameters(Reader({"colour": 1}, "parameters", found), later) == ({}, {})
    [problem] = found.problems
    assert (problem.code, problem.path) == ("parameter_not_supported", "parameters.colour")


def test_what_deserves_a_look_is_a_warning_and_no_refusal() -> None:
    found = definition()
    found["nodes"].append({"node_id": "alone", "node_type": "FLOW", "node_subtype": "NOOP"})
    found["connections"].append(
        {"source_node_id": "bug", "target_node_id": "alone", "connection_type": "ERROR"}
    )
    found["nodes"].append({"node_id": "lost", "node_type": "FLOW", "node_subtype": "NOOP"})
    validation = validate(found)
    assert validation.errors == ()
    assert validation.workflow is not None
    assert located(validation.warnings) == [
        ("never_runs", "nodes[4]"),
        ("never_live", "connections[2]"),
    ]


def test_what_is_probably_not_meant_in_an_expression_is_a_warning_with_its_place() -> None:
    values = {"a": "{{ $json.name.trim }}", "b": ["Dear {{ $json.x }}{{ $json.y.trim }}"]}
    found = changed(2, parameters={"values": values})
    found["connections"][0] |= {
        "connection_type": "CONDITIONAL",
        "conditions": {"condition": "{{ $json.n === NaN }}"},
    }
    found["settings"] = {"concurrency": {"key": "{{ $json.id.toString }}"}}
    validation = validate(found)
    assert validation.errors == ()
    assert [(each.code, each.path, each.node_id) for each in validation.warnings] == [
        ("method_not_called", "nodes[2].parameters.values.a", "label"),
        ("method_not_called", "nodes[2].parameters.values.b[0]", "label"),
        ("compared_with_nan", "connections[0].conditions.condition", None),
        ("method_not_called", "settings.concurrency.key", None),
    ]
    assert validation.warnings[1].message == (
        "'trim' is read as a key of data: to call the method write (). (at character 30)"
    )


def test_the_place_of_a_warning_is_short_however_long_keys_are() -> None:
    values = {"k" * 100_000: "{{ $json.name.trim }}"}
    problem = the_only(changed(2, parameters={"values": values}))
    assert (problem.code, problem.path) == ("method_not_called", "nodes[2].parameters.values")


def test_a_tool_is_warned_of_once_in_its_own_node() -> None:
    found = definition()
    asks = {"url": "https://example.org/{{ $json.id.trim }}", "name": "ask", "description": "d"}
    agent = {"provider": "openai", "model": "m", "prompt": "{{ $json.q }}", "credential": "k"}
    found["nodes"] += [
        {"node_id": "agent", "node_type": "AI_AGENT", "node_subtype": "AGENT", "parameters": agent},
        {"node_id": "ask", "node_type": "TOOL", "node_subtype": "HTTP", "parameters": asks},
    ]
    found["connections"] += [
        {"source_node_id": "label", "target_node_id": "agent"},
        {"source_node_id": "ask", "target_node_id": "agent", "connection_type": "AI_TOOL"},
    ]
    problem = the_only(found)
    assert (problem.code, problem.path) == ("method_not_called", "nodes[4].parameters.url")


def test_a_definition_without_an_enabled_trigger_can_be_saved_but_is_warned_of() -> None:
    problem = the_only(changed(0, disabled=True))
    assert (problem.code, problem.severity) == ("no_trigger", "warning")


@pytest.mark.parametrize("found", [None, [], "nodes", 7, {"nodes": {}}, {"nodes": [None, 3]}])
def test_anything_else_than_a_definition_is_refused_without_falling_over(found: Any) -> None:
    assert validate(found).errors


@pytest.mark.parametrize("value", [None, [], {}, "x", -1, True, 1.5, [[]], {"a": []}])
@pytest.mark.parametrize(
    "key", ["node_id", "name", "parameters", "max_retries", "disabled", "join", "timeout_s"]
)
def test_values_of_any_type_are_problems_at_most(key: str, value: Any) -> None:
    for position in range(3):
        found = changed(position, **{key: value})
        before = deepcopy(found)
        validate(found)
        assert found == before


@pytest.mark.parametrize("subtype", ["IF", "SWITCH", "MERGE", "STOP_AND_ERROR", "SET"])
@pytest.mark.parametrize("value", [None, [], {}, "x", -1, True, [[]], [{}], {"a": []}, "{{ 1 }}"])
def test_parameters_of_any_type_are_problems_at_most(subtype: str, value: Any) -> None:
    names = ("condition", "rules", "mode", "join", "keys", "message", "values", "keep")
    found = changed(1, node_subtype=subtype, parameters=dict.fromkeys(names, value))
    assert validate(found).errors


def test_too_many_nodes_and_connections_are_refused_by_number() -> None:
    nodes = [{"node_id": "a"}] * 10_001
    assert "too_many_nodes" in dict(located(validate(definition(nodes=nodes)).problems))
    connections: list[dict[str, Any]] = [{}] * 50_001
    problem = the_only(definition(connections=connections, nodes=definition()["nodes"][:1]))
    assert problem.code == "too_many_connections"


def test_a_definition_that_no_message_could_carry_is_refused_at_once() -> None:
    assert the_only(definition(description="x" * 880_001)).code == "definition_too_large"


def test_a_definition_nested_without_end_is_refused_at_once() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert the_only(definition(static_data={"deep": deep})).code == "definition_too_deep"


@pytest.mark.parametrize("text", ["\0", "\ud800", "a\\\0"])
def test_text_that_no_database_keeps_is_refused(text: str) -> None:
    assert the_only(definition(description=text)).code == "not_storable"


def test_keys_that_are_no_text_are_refused() -> None:
    assert the_only(definition(static_data={1: "YAML reads this key as a number"})).code == (
        "not_json"
    )


def test_of_very_many_problems_only_the_first_come_with_a_hint() -> None:
    found = definition()
    found["connections"] = [
        {"source_node_id": "start", "target_node_id": f"bugg{at}"} for at in range(10_000)
    ]
    messages = [problem.message for problem in validate(found).errors]
    assert len(messages) == 10_000
    assert messages[0].endswith("did you mean 'bug'?")
    assert messages[-1].endswith("check its spelling")


def test_a_structure_that_is_too_deep_for_parameters_is_refused_where_it_stands() -> None:
    deep: Any = "{{ $json.a }}"
    for _ in range(103):
        deep = [deep]
    problem = the_only(changed(2, parameters={"values": {"a": deep}}))
    assert problem.code == "expression_size"
    assert problem.path.startswith("nodes[2].parameters.values.a[0]")


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert validate(definition(description="\\u0000")).problems == ()


def test_problems_are_told_in_at_most_64_kilobytes() -> None:
    problems = [Problem("code", "error", f"nodes[{at}]", "é" * 200, "n") for at in range(1_000)]
    text = told(problems)
    assert len(text.encode()) <= TEXT_BYTES_MAX
    assert text.endswith(" more")


def test_what_an_author_says_that_failures_are_is_one_of_recoverys_types() -> None:
    assert validate(changed(1, failure_type="rate_limit")).problems == ()
    for wrong in ("sometimes", "unknown", ""):
        problem = the_only(changed(1, failure_type=wrong))
        assert (problem.code, problem.path) == ("invalid_value", "nodes[1].failure_type")
