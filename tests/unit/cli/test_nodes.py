"""`perdure nodes`."""

import json

from perdure_cli.main import app
from perdure_engine.nodes.registry import SPECIFICATIONS
from typer.testing import CliRunner


def test_every_subtype_is_listed() -> None:
    told = CliRunner().invoke(app, ["nodes", "list", "--json"])
    assert told.exit_code == 0
    assert [(each["node_type"], each["node_subtype"]) for each in json.loads(told.output)] == [
        (each.node_type, each.subtype) for each in SPECIFICATIONS
    ]
    table = CliRunner().invoke(app, ["nodes", "list"]).output
    assert all(each.summary in table for each in SPECIFICATIONS)


def test_a_subtype_is_shown_with_parameters_errors_and_an_example() -> None:
    told = CliRunner().invoke(app, ["nodes", "show", "sort"])
    assert told.exit_code == 0
    for part in ("FLOW SORT", "by", "needed", "errors: mixed_types", '"order": "desc"'):
        assert part in told.output


def test_a_name_of_several_types_shows_all_unless_the_type_is_given() -> None:
    both = json.loads(CliRunner().invoke(app, ["nodes", "show", "GITHUB", "--json"]).output)
    assert "TRIGGER" in [each["node_type"] for each in both]
    one = CliRunner().invoke(app, ["nodes", "show", "TRIGGER.GITHUB", "--json"])
    assert [each["node_type"] for each in json.loads(one.output)] == ["TRIGGER"]


def test_an_unknown_subtype_is_refused_with_those_that_are_known() -> None:
    told = CliRunner().invoke(app, ["nodes", "show", "NOPE"])
    assert told.exit_code != 0
    assert "known are" in str(told.exception)
