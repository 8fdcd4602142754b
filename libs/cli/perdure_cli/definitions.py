"""Reads workflow definitions and inputs from files: JSON, or YAML as version 1.2 has it.

In YAML 1.2 only `true` and `false` are booleans, so `on`, `off`, `yes` and `no` stay text, and
dates do too. Keys are always text, as they were written. A key given twice is an error.
"""

import json
import re
from collections.abc import Hashable
from math import isfinite
from pathlib import Path
from typing import Any, cast

import yaml
from perdure_common.ids import derived
from perdure_contracts.cloudevents import CloudEventError, parse_json

from perdure_cli.errors import CommandError

VALUES_MAX = 500_000
"""Values and keys in a file, aliases counted as often as they stand for something."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the base class has it so

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping with its keys as they were written."""
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a mapping was expected", node.start_mark
            )
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a text", key_node.start_mark
                )
            if key_node.value in seen:
                problem = f"the key {key_node.value!r} is there twice; take one away"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key_node.value)
        self.flatten_mapping(node)
        # Values of the mapping itself come after those it merges in, and win.
        construct = cast("Any", self).construct_object
        return {key.value: construct(value, deep) for key, value in node.value}


_CORE = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
    ("tag:yaml.org,2002:merge", r"<<", ["<"]),
)
"""Tags of the core schema (YAML 1.2.2, 10.3.2), without what JSON does not have."""

for _tag, _pattern, _first in _CORE:
    cast("Any", _Loader).add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    del loader
    return int(node.value)  # a leading zero means nothing: YAML 1.1 read octal numbers


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    del loader
    return float(node.value)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def read_file(path: Path) -> Any:
    """Return the value in a file: JSON if its name ends in `.json`, else YAML (JSON is YAML).

    Raises:
        CommandError: It cannot be read; the text names the line.
    """
    return read_text(_text(path), str(path), is_json=path.suffix.lower() == ".json")


def read_text(text: str, place: str, *, is_json: bool = False) -> Any:
    """Return the value in a text. Raises as `read_file`."""
    try:
        value = _json(text) if is_json else yaml.load(text, _Loader)
    except json.JSONDecodeError as error:
        raise _unreadable(
            place, f"line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise _unreadable(place, f"{where}{error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(place, str(error) or type(error).__name__) from None
    _check(value, place)
    return value


def _json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {twice!r} is there twice in an object; take one away")
        return found

    return json.loads(text, object_pairs_hook=unique)


def _check(value: Any, place: str) -> None:
    """Refuse what aliases have blown up, or made endless, and what is no JSON."""
    waiting, count = [value], 0
    while waiting:
        each = waiting.pop()
        count += 1
        if count > VALUES_MAX:
            raise _unreadable(
                place, f"it has more than {VALUES_MAX:,} values, aliases counted; make it smaller"
            )
        if isinstance(each, dict):
            entries = cast("dict[str, Any]", each)
            waiting.extend((*entries, *entries.values()))
        elif isinstance(each, list):
            waiting.extend(cast("list[Any]", each))
        elif isinstance(each, str) and not each.isascii():
            _check_text(each, place)
        elif isinstance(each, int | float) and not _is_number(each):
            text = f"{str(each)[:40]} is no number that JSON has; write a text"
            raise _unreadable(place, text)


def _check_text(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        told = "a text has half of a surrogate pair (\\ud800…); write whole characters"
        raise _unreadable(place, told) from None


def _is_number(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # a whole number that no double is near to
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise CommandError(
            f"there is no file {path}; give the path of one", exit_code=2, code="no_file"
        ) from None
    except UnicodeDecodeError as error:
        raise _unreadable(str(path), f"byte {error.start} is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise _unreadable(str(path), error.strerror or str(error)) from None


def _unreadable(place: str, problem: str) -> CommandError:
    return CommandError(f"{place} cannot be read: {problem}", exit_code=2, code="unreadable")


def read_definition(path: Path) -> tuple[Any, str | None]:
    """Return the definition in a file, and the workflow's id if the file names one (`id`).

    Raises:
        CommandError: The file cannot be read, or its `id` is no UUID.
    """
    value: Any = read_file(path)
    if not isinstance(value, dict) or "id" not in value:
        return cast("Any", value), None
    definition = dict(cast("dict[str, Any]", value))
    named: Any = definition.pop("id")
    if not isinstance(named, str) or not UUID.fullmatch(named):
        raise CommandError(
            f"{path}: `id` is {named!r}; write a UUID in small letters, or leave it out",
            exit_code=2,
            code="invalid_workflow_id",
        )
    return definition, named


def workflow_id(tenant_id: str, name: str) -> str:
    """Return the id of the workflow that a file calls `name`: applied again, the same one."""
    return derived("workflow", tenant_id, name)


def read_input(text: str | None) -> Any:
    """Return what `--input` or `--data` gives: JSON, or the contents of `@FILE`; {} without.

    Raises:
        CommandError: It is no JSON, or the file cannot be read.
    """
    if text is None:
        return {}
    if text.startswith("@"):
        return read_file(Path(text[1:]))
    try:
        return parse_json(text, "the input")
    except CloudEventError as error:
        raise CommandError(
            f"{error.message}; write JSON such as '{{\"a\": 1}}', or @FILE",
            exit_code=2,
            code="invalid_input",
        ) from None
