"""`perdure workflow import` makes files that can be applied, and says what is not as it was."""

import json
from pathlib import Path
from typing import Any

import pytest
from perdure_cli.main import app
from perdure_engine.definition import validate
from typer.testing import CliRunner

FILE = {
    "name": "orders",
    "nodes": [
        {"name": "Every Morning", "type": "n8n-nodes-base.scheduleTrigger", "typeVersion": 1.2,
         "parameters": {"rule": {"interval": [{"triggerAtHour": 7}]}}},
        {"name": "Tell", "type": "n8n-nodes-base.telegram", "parameters": {"text": "hello"}},
    ],
    "settings": {"timezone": "Europe/Berlin"},
    "connections": {"Every Morning": {"main": [[{"node": "Tell", "type": "main", "index": 0}]]}},
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.n8n.json"
    path.write_text(json.dumps(FILE), encoding="utf-8")
    return path


def typed(*words: object) -> Any:
    return CliRunner().invoke(app, ["workflow", "import", *map(str, words)])


def test_what_it_writes_is_a_definition_and_the_reasons_are_told(file: Path) -> None:
    output = file.with_name("orders.json")
    said = typed(file, "--output", output)
    assert said.exit_code == 0, said.output
    assert "node_not_mapped: 'Tell': n8n-nodes-base.telegram" in said.output
    assert "orders: 2 nodes" in said.output
    made = json.loads(output.read_text(encoding="utf-8"))
    assert not validate(made).errors
    assert [each["node_subtype"] for each in made["nodes"]] == ["CRON", "PLACEHOLDER"]


def test_as_json_it_is_one_document(file: Path) -> None:
    said = typed(file, "--json")
    told = json.loads(said.stdout)
    assert (said.exit_code, told["valid"]) == (0, True)
    assert [each["code"] for each in told["reasons"]] == ["node_not_mapped"]
    assert told["definition"]["name"] == "orders"


def test_what_is_no_workflow_of_n8n_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"a": 1}', encoding="utf-8")
    said = typed(path)
    assert said.exit_code == 2
    assert "not_n8n: this is no workflow of n8n" in said.output
