"""What the command line says and how it ends where no platform is needed, or none is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Said, perdure
from perdure_cli import demo
from perdure_cli.main import app
from perdure_cli.output import console
from perdure_cli.pictures import Picture
from perdure_cli.promises import Verified
from typer.main import get_command

EXAMPLES = Path(__file__).parents[3] / "examples"

GOOD = """
name: small
nodes:
  - {node_id: start, node_type: TRIGGER, node_subtype: MANUAL}
  - {node_id: yes, node_type: FLOW, node_subtype: IF, parameters: {condition: "{{ true }}"}}
  - {node_id: end, node_type: ACTION, node_subtype: SET, parameters: {values: {a: 1}}}
connections:
  - {source_node_id: start, target_node_id: yes}
  - {source_node_id: yes, source_port: true, target_node_id: end}
"""
BAD = """
name: broken
nodes:
  - {node_id: start, node_type: TRIGGER, node_subtype: MANUAL}
  - {node_id: test, node_type: FLOW, node_subtype: IFF}
connections:
  - {source_node_id: start, target_node_id: nowhere}
  - {source_node_id: start, target_node_id: test}
"""


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which no platform runs."""
    return {"PERDURE_HOME": str(tmp_path / "home")}


def written(folder: Path, text: str, name: str = "flow.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def expect_one_sentence(said: Said) -> None:
    assert said.err.startswith("perdure: ")
    assert "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_valid_definition_is_said_to_be_valid(tmp_path: Path) -> None:
    said = perdure("workflow", "validate", written(tmp_path, GOOD))
    assert said.code == 0, said.err
    assert "flow.yaml is valid" in said.out


def test_every_problem_is_told_with_its_place_and_what_to_do(tmp_path: Path) -> None:
    said = perdure("workflow", "validate", written(tmp_path, BAD))
    assert said.code == 2
    assert "nodes[1].node_subtype (node 'test')" in said.err
    assert "did you mean 'IF'?" in said.err
    assert "connections[0].target_node_id" in said.err


def test_what_is_probably_not_meant_is_told_of_a_definition_that_is_valid(tmp_path: Path) -> None:
    text = GOOD.replace("{{ true }}", "{{ $json.name.trim === 'x' }}")
    said = perdure("workflow", "validate", written(tmp_path, text))
    assert said.code == 0, said.err
    assert "is valid" in said.out
    assert "nodes[1].parameters.condition (node 'yes')" in said.err
    assert "[method_not_called]" in said.err


def test_problems_are_there_for_programs_too(tmp_path: Path) -> None:
    paths = (written(tmp_path, GOOD, "good.yaml"), written(tmp_path, BAD, "bad.yaml"))
    said = perdure("workflow", "validate", *paths, "--json")
    assert said.code == 2
    good, bad = said.json
    assert good["valid"] and not good["problems"]
    assert not bad["valid"]
    assert {problem["code"] for problem in bad["problems"]} >= {
        "unknown_node_subtype",
        "unknown_node",
    }
    assert all(problem["path"] and problem["message"] for problem in bad["problems"])


def test_running_a_refused_definition_ends_with_2_and_applies_nothing(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    said = perdure("run", written(tmp_path, BAD), env=nowhere)
    assert said.code == 2
    assert "nothing was applied" in said.err


def test_a_definition_that_nothing_can_start_is_not_run(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    path = written(tmp_path, GOOD.replace("MANUAL}", "MANUAL, disabled: true}"))
    said = perdure("run", path, env=nowhere)
    assert said.code == 2
    assert "no enabled node of type TRIGGER" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("verify",),
        ("replay", "--check"),
        ("workflow", "list"),
        ("executions", "list"),
        ("recovery", "patterns"),
        ("recovery", "mode"),
        ("dead-letters", "list"),
        ("trigger", "perdure.trigger.manual", "--subject", "x"),
        ("run", "a-name"),
    ],
)
def test_without_a_platform_a_command_says_how_to_start_one(
    words: tuple[str, ...], nowhere: dict[str, str]
) -> None:
    said = perdure(*words, env=nowhere)
    assert said.code == 1
    expect_one_sentence(said)
    assert "`perdure up`" in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("replay",), "perdure replay --check"),
        (("recovery", "mode", "sometimes"), "off, observe, approve, auto"),
        (("dead-letters", "list", "--status", "lost"), "waiting, redriven, dropped"),
        (("trigger", "t", "--subject", "s", "--data", "{"), "the input is not JSON"),
        (("trigger", "t", "--subject", "s", "-x", "Event=1"), "write name=value"),
        (("workflow", "apply", "none.yaml"), "there is no file none.yaml"),
        (("up", "--services", "kitchen"), "there is no service 'kitchen'"),
    ],
)
def test_what_is_asked_in_the_wrong_way_ends_with_2(
    words: tuple[str, ...], told: str, nowhere: dict[str, str]
) -> None:
    said = perdure(*words, env=nowhere)
    assert said.code == 2
    expect_one_sentence(said)
    assert told in said.err


def test_an_address_where_nothing_answers_is_named(nowhere: dict[str, str]) -> None:
    env = {
        **nowhere,
        "PERDURE_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "PERDURE_KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "PERDURE_ENGINE_URL": "http://127.0.0.1:9",
    }
    said = perdure("executions", "list", env=env)
    assert said.code == 1
    expect_one_sentence(said)
    assert "engine does not answer at http://127.0.0.1:9" in said.err


def test_every_workflow_of_the_examples_is_valid() -> None:
    paths = sorted(EXAMPLES.glob("*/workflow.yaml"))
    assert paths
    said = perdure("workflow", "validate", *paths)
    assert said.code == 0, said.err


def commands(group: Any, *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command


def test_every_command_can_print_its_answer_as_json() -> None:
    found = dict(commands(get_command(app)))
    assert ("workflow", "diff") in found
    without = [
        words
        for words, command in found.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    ]
    assert without == []


def test_a_file_and_json_do_not_go_to_one_place(nowhere: dict[str, str]) -> None:
    said = perdure("executions", "file", "e", "f", "--json", env=nowhere)
    assert said.code == 2
    assert said.json["error"]["code"] == "wrong_usage"
    assert "--output" in said.json["error"]["message"]


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("executions", "list"), "not_running", 1),
        (("executions", "show"), "wrong_usage", 2),
        (("no-such-command",), "wrong_usage", 2),
        (("up", "--services", "nope"), "unknown_service", 2),
        (("dead-letters", "list", "--status", "odd"), "unknown_status", 2),
    ],
)
def test_a_program_gets_every_error_as_one_document_with_a_code(
    nowhere: dict[str, str], words: tuple[str, ...], code: str, exit_code: int
) -> None:
    said = perdure(*words, "--json", env=nowhere)
    assert said.code == exit_code
    assert said.json["error"]["code"] == code
    assert said.json["error"]["message"]
    assert said.err == ""


def test_a_program_gets_the_problems_of_a_refused_definition(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    said = perdure("workflow", "apply", written(tmp_path, BAD), "--json", env=nowhere)
    assert said.code == 2
    error = said.json["error"]
    assert error["code"] == "invalid_definition"
    assert "nodes[1].node_subtype" in {each["path"] for each in error["problems"]}


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("retry", "id"), "--input"),
        (("rerun", "id", "--node", "n"), "--input"),
        (("fork", "id", "--node", "n"), "--input"),
        (("mark", "id", "n", "--as", "done"), "--data"),
    ],
)
def test_files_given_by_hand_need_the_item_that_they_are_of(
    words: tuple[str, ...], option: str, nowhere: dict[str, str], tmp_path: Path
) -> None:
    path = written(tmp_path, GOOD)
    command = ("executions", *words, "--file", f"data={path}")
    said = perdure(*command, env=nowhere)
    assert said.code == 2
    assert f"give {option} too" in said.err
    expect_one_sentence(said)
    there = perdure(*command, option, "{}", "--file", "other=not-there", env=nowhere)
    assert (there.code, "No such file" in there.err) == (2, True), there.err


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["invoice.pdf"], "invalid_file", "NAME=PATH"),
        (["=flow.yaml"], "invalid_file", "NAME=PATH"),
        (["data="], "invalid_file", "NAME=PATH"),
        (["a=flow.yaml", "a=flow.yaml"], "invalid_file", "two files are called 'a'"),
        (["data=not-there.pdf"], "unreadable_file", "No such file"),
        (["data=."], "unreadable_file", "Is a directory"),
        (["data=a\0b"], "unreadable_file", "null byte"),
    ],
)
def test_a_file_that_cannot_be_given_to_a_run_starts_nothing(
    given: list[str], code: str, words: str, nowhere: dict[str, str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, GOOD)
    options = [word for each in given for word in ("--file", each)]
    said = perdure("run", path, *options, env=nowhere)
    assert said.code == 2
    assert words in said.err
    assert perdure("run", path, *options, "--json", env=nowhere).json["error"]["code"] == code
    expect_one_sentence(said)


def test_the_demonstration_tells_a_program_what_it_has_seen_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, nowhere: dict[str, str]
) -> None:
    attempts = [{"id": "1", "status": "failed"}, {"id": "2", "status": "succeeded"}]
    picture = Picture({"execution_id": "x", "status": "SUCCESS"}, attempts=attempts)
    seen = demo.Shown({"x": "#1 It broke"}, [picture], [{"number": 1}], 1, 1234.5)

    def run() -> Any:
        console.print("a line for people")
        return demo.told(seen, Verified(checked={"events": 1}))

    monkeypatch.setattr(demo, "_run", run)
    said = perdure("demo", "--json", env=nowhere)
    assert said.code == 0, said.err
    assert said.json["executions"] == [
        {"execution_id": "x", "title": "#1 It broke", "status": "SUCCESS"}
    ]
    assert (said.json["failures"], said.json["recovered"]) == (2, 1)
    assert said.json["promises"]["holds"] is True
    assert perdure("demo", env=nowhere).out == "a line for people\n"
