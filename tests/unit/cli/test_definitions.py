"""What files of workflows say, and what is said of files that cannot be read."""

from pathlib import Path

import pytest
from perdure_cli import definitions
from perdure_cli.definitions import read_definition, read_file, read_input, read_text, workflow_id
from perdure_cli.errors import CommandError


def refused(text: str) -> str:
    with pytest.raises(CommandError) as caught:
        read_text(text, "flow.yaml")
    assert caught.value.exit_code == 2
    assert "flow.yaml" in str(caught.value)
    return str(caught.value)


def test_only_true_and_false_are_booleans() -> None:
    text = "[true, False, yes, no, on, off, y, n]"
    assert read_text(text, "") == [True, False, "yes", "no", "on", "off", "y", "n"]


def test_dates_times_and_odd_numbers_stay_text() -> None:
    text = "[2026-01-31, 12:30, 0x10, 1_000, .inf, .nan]"
    assert read_text(text, "") == ["2026-01-31", "12:30", "0x10", "1_000", ".inf", ".nan"]


def test_numbers_and_nothing_are_what_they_look_like() -> None:
    text = "[1, -2, 010, 1.5, 1e3, ~, null, '']"
    assert read_text(text, "") == [1, -2, 10, 1.5, 1000.0, None, None, ""]


def test_keys_are_text_as_they_were_written() -> None:
    text = "{on: 1, true: 2, 3: 4, null: 5}"
    assert read_text(text, "") == {"on": 1, "true": 2, "3": 4, "null": 5}


def test_what_is_merged_in_gives_way_to_the_mapping_itself() -> None:
    text = "base: &b {a: 1, b: 2}\nnode: {<<: *b, b: 3}"
    assert read_text(text, "")["node"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' is there twice"),
        ("nodes: [1,", "line 1, column 11"),
        ("? [1]\n: 2", "a key must be a text"),
        ("x: !!python/object:os.system {}", "constructor"),
        ("a: &a [*a]", "aliases counted"),
        ("a: \x07", "special characters"),
    ],
)
def test_a_fault_in_yaml_is_told_with_its_place(text: str, said: str) -> None:
    assert said in refused(text)


def test_aliases_that_blow_up_are_refused_before_they_do() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert f"{definitions.VALUES_MAX:,}" in refused("\n".join(lines))


def test_a_fault_in_json_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_text('{\n "name": "x",\n}', encoding="utf-8")
    with pytest.raises(CommandError, match=r"flow.json cannot be read: line \d, column \d"):
        read_file(path)
    path.write_text('{"a": 1, "a": 2}', encoding="utf-8")
    with pytest.raises(CommandError, match="'a' is there twice"):
        read_file(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": NaN}', "no number that JSON has"),
        ('{"a": [-Infinity]}', "no number that JSON has"),
        ('{"a": 1e400}', "no number that JSON has"),
        (f'{{"a": {"9" * 400}}}', "no number that JSON has"),
        (f'{{"a": {"9" * 5_000}}}', "cannot be read"),
        ('{"a": "\\ud800"}', "surrogate pair"),
        ('{"\\udfff": 1}', "surrogate pair"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_what_no_service_could_take_is_refused_where_it_is_read(
    text: str, said: str, tmp_path: Path
) -> None:
    for name in ("flow.json", "flow.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        if name == "flow.yaml" and ("NaN" in text or "Infinity" in text):
            continue  # texts in YAML
        with pytest.raises(CommandError, match=said) as caught:
            read_input(f"@{path}")
        assert caught.value.exit_code == 2


def test_a_file_that_is_missing_a_folder_or_no_text_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no file"):
        read_file(tmp_path / "none.yaml")
    with pytest.raises(CommandError, match="cannot be read"):
        read_file(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff")
    with pytest.raises(CommandError, match="byte 3 is not UTF-8"):
        read_file(tmp_path / "bytes.yaml")


def test_a_file_may_name_its_workflow_and_the_definition_does_not_have_the_name(
    tmp_path: Path,
) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text("id: 11111111-2222-3333-4444-555555555555\nname: x", encoding="utf-8")
    assert read_definition(path) == ({"name": "x"}, "11111111-2222-3333-4444-555555555555")
    path.write_text("id: seven\nname: x", encoding="utf-8")
    with pytest.raises(CommandError, match="`id` is 'seven'; write a UUID"):
        read_definition(path)
    path.write_text("[1]", encoding="utf-8")
    assert read_definition(path) == ([1], None)


def test_a_name_is_one_workflow_in_one_tenant() -> None:
    assert workflow_id("t", "triage") == workflow_id("t", "triage")
    assert workflow_id("t", "triage") != workflow_id("u", "triage")


def test_input_is_json_a_file_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text('{"a": [1]}', encoding="utf-8")
    assert read_input(f"@{path}") == {"a": [1]}
    assert read_input('[{"a": 1}]') == [{"a": 1}]
    assert read_input(None) == {}
    with pytest.raises(CommandError, match="the input is not JSON") as caught:
        read_input("{a: 1}")
    assert caught.value.exit_code == 2
