"""What every subtype says about itself is true, documented, and the same everywhere."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from nodes_for_tests import definition
from perdure_engine.definition import validate
from perdure_engine.definition.connections import CONNECTION_KEYS
from perdure_engine.definition.parsing import NODE_KEYS, SETTINGS_KEYS, WORKFLOW_KEYS
from perdure_engine.definition.regions import LOOPS
from perdure_engine.definition.schema import workflow_schema
from perdure_engine.documents import generate, main
from perdure_engine.executions.running import HANDLED
from perdure_engine.nodes.base import NodeSpecification
from perdure_engine.nodes.describe import all_described, documentation_of, module_of
from perdure_engine.nodes.registry import SPECIFICATIONS
from perdure_engine.runner.agents.tools import KINDS
from perdure_engine.runner.perform import AGENTS, CODE, PERFORMERS
from perdure_recovery.classification_tables import ENGINE_CODES

ROOT = Path(__file__).parents[4]
NODES = ROOT / "services/engine/perdure_engine/nodes"
CHECKER: Any = jsonschema.Draft202012Validator(workflow_schema())

each_subtype = pytest.mark.parametrize(
    "subtype", SPECIFICATIONS, ids=lambda each: f"{each.node_type}.{each.subtype}"
)


@each_subtype
def test_a_subtype_has_a_file_of_its_own_that_documents_it(subtype: NodeSpecification) -> None:
    name = module_of(subtype).rpartition(".")[2]
    text = (NODES / f"{name}.py").read_text(encoding="utf-8")
    assert text.startswith(f'"""{subtype.node_type} {subtype.subtype}: ')
    assert documentation_of(subtype).endswith((".", "`."))
    assert all(parameter.doc.endswith(".") for parameter in subtype.parameters)


@each_subtype
def test_its_example_is_valid_and_fits_its_schema(subtype: NodeSpecification) -> None:
    assert subtype.example or not subtype.parameters
    whole = definition(f"{subtype.node_type}.{subtype.subtype}", dict(subtype.example))
    if subtype.numbered:
        whole["nodes"].append({"node_id": "t", "node_type": "TRIGGER", "node_subtype": "MANUAL"})
        whole["connections"] = [
            {"source_node_id": "t", "target_node_id": "n", "target_port": port}
            for port in subtype.inputs
        ]
    errors = [each for each in validate(whole).problems if each.severity == "error"]
    assert errors == []
    CHECKER.validate(whole)


@each_subtype
def test_the_schema_refuses_what_the_engine_refuses(subtype: NodeSpecification) -> None:
    kind = f"{subtype.node_type}.{subtype.subtype}"
    wrong: list[dict[str, Any]] = [{**subtype.example, "no_such_parameter": 1}]
    for parameter in subtype.parameters:
        if not parameter.optional:
            wrong.append({k: v for k, v in subtype.example.items() if k != parameter.name})
        if parameter.kind in ("text", "list", "object", "integer", "number"):
            other: Any = [] if parameter.kind == "object" else {"an": "object"}
            wrong.append({**subtype.example, parameter.name: other})
    for parameters in wrong:
        whole = definition(kind, parameters)
        assert any(each.severity == "error" for each in validate(whole).problems), parameters
        assert not CHECKER.is_valid(whole), parameters


ODD: list[Any] = json.loads("""[
    null, true, 0, -1, 1.5, "", "x", "{{", "{{ $json }}", "{{ $json }} {{ 1 }}",
    [], [1], [[]], ["x"], [{}], [{"a": 1}], [null], {}, {"a": [{}]}, {"a": {"b": "{{"}}
]""")


@each_subtype
def test_whatever_stands_in_parameters_is_told_and_never_an_exception(
    subtype: NodeSpecification,
) -> None:
    kind = f"{subtype.node_type}.{subtype.subtype}"
    for parameter in subtype.parameters:
        inside: list[Any] = [
            wrapped
            for entry in parameter.entries
            for odd in ODD
            for wrapped in ([{entry.name: odd}], {entry.name: odd})
        ]
        for odd in (*ODD, *inside):
            found = validate(definition(kind, {**subtype.example, parameter.name: odd}))
            assert all(each.message and each.code for each in found.problems)


@each_subtype
def test_recovery_knows_every_error_that_it_names(subtype: NodeSpecification) -> None:
    silent = ("http_status", "sql_failed", "mail_refused", "api_error")
    unknown = [code for code in subtype.errors if code not in (*ENGINE_CODES, *silent)]
    assert unknown == []


BY_THE_ENGINE = {*LOOPS, "RACE", "WAIT", "SUB_WORKFLOW", "RESPOND"}
"""Subtypes that are run by more than a function from items to items."""


@each_subtype
def test_whoever_is_to_run_it_can(subtype: NodeSpecification) -> None:
    can = {
        "inline": subtype.run is not None or subtype.subtype in {*BY_THE_ENGINE, *HANDLED},
        "runner": (subtype.node_type, subtype.subtype) in {*PERFORMERS, *AGENTS, *CODE},
        "attached": (subtype.node_type, subtype.subtype) in KINDS,
        "trigger": subtype.node_type == "TRIGGER",
    }
    assert can[subtype.place]


def test_the_schema_knows_the_keys_that_the_engine_knows() -> None:
    schema = workflow_schema()
    kinds = schema["$defs"]
    settings = schema["properties"]["settings"]["anyOf"][0]
    assert set(schema["properties"]) == {"id", *WORKFLOW_KEYS}
    assert set(settings["properties"]) == set(SETTINGS_KEYS)
    assert set(kinds["node"]["properties"]) == set(NODE_KEYS)
    assert set(kinds["connection"]["properties"]) == set(CONNECTION_KEYS)


def test_the_schema_is_one_and_takes_the_workflows_of_readme_and_examples() -> None:
    jsonschema.Draft202012Validator.check_schema(workflow_schema())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    workflows = [readme.partition("```yaml\n")[2].partition("```")[0]]
    workflows += [path.read_text() for path in ROOT.glob("examples/*/*.yaml")]
    assert len(workflows) > 1
    for text in workflows:
        CHECKER.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "changes",
    [
        {"node_type": "TRIGGERS"},
        {"node_subtype": "SLEEP"},
        {"error_handling": "IGNORE"},
        {"max_retries": -1},
        {"unknown": 1},
        {"node_id": ""},
    ],
)
def test_the_schema_refuses_nodes_that_are_none(changes: dict[str, Any]) -> None:
    node = {"node_id": "n", "node_type": "FLOW", "node_subtype": "NOOP"}
    CHECKER.validate({"name": "w", "nodes": [node]})
    assert not CHECKER.is_valid({"name": "w", "nodes": [{**node, **changes}]})


def test_generated_files_are_up_to_date() -> None:
    for name, text in generate().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, "run `make schemas`"


def test_the_page_has_every_subtype_and_parameter() -> None:
    page = generate()["docs/nodes.md"]
    for node in all_described():
        below = page.partition(f"\n## {node['node_type']}\n")[2]
        section = below.partition(f"\n### {node['node_subtype']}\n")[2].partition("\n### ")[0]
        assert all(f"| `{name}` |" in section for name in node["parameters"]["properties"])


def test_a_stale_file_is_found_and_written_anew(tmp_path: Path) -> None:
    for folder in ("docs", "schemas"):
        (tmp_path / folder).mkdir()
    assert main(["--check", str(tmp_path)]) == 1
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / "docs/nodes.md").write_text("old")
    assert main(["--check", str(tmp_path)]) == 1
