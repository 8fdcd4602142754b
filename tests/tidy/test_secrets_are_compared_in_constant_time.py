"""What proves who sent something is compared by `hmac.compare_digest` alone.

`==` ends at the first byte that differs: whoever measures how long it took learns a secret byte
by byte. In modules that verify, two things are compared otherwise only if one of them is written
there, or is listed here as no secret; elsewhere nothing called a secret is.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VERIFYING: Mapping[str, frozenset[str]] = {
    "services/scheduler/perdure_scheduler/hooks/verify.py": frozenset(
        {"said.lower() == scheme"}  # the name of a scheme
    ),
    "services/scheduler/perdure_scheduler/hooks/judging.py": frozenset(
        {
            "asked.method in route.methods",
            "handle not in verdicts",  # the name of a credential
            "len(body) != int(declared)",
            "route.subtype == first.subtype",
        }
    ),
    "services/scheduler/perdure_scheduler/hooks/secrets.py": frozenset(),
    "services/engine/perdure_engine/executions/resuming.py": frozenset(),
    "services/engine/perdure_engine/nodes/action_crypto.py": frozenset({"algorithm not in known"}),
}
"""Modules that verify, each with the comparisons of it that are of no secret."""

MUST_COMPARE = (
    "services/scheduler/perdure_scheduler/hooks/verify.py",
    "services/engine/perdure_engine/executions/resuming.py",
    "services/engine/perdure_engine/nodes/action_crypto.py",
)
"""Those of them that compare secrets themselves."""

SECRET = frozenset({"secret", "signature", "password", "passphrase", "hmac", "api_key"})
"""Names of what is a secret wherever it stands."""

NO_SECRET = frozenset(
    {"episode.failure.pattern.signature == command.signature"}  # what failures have in common
)
"""Comparisons of what is called so and is none."""

EQUAL = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)


def compared(tree: ast.AST) -> Iterator[ast.Compare]:
    """Yield comparisons by `==`, `!=` and `in` of which neither side is written there."""
    for found in ast.walk(tree):
        if isinstance(found, ast.Compare) and any(isinstance(op, EQUAL) for op in found.ops):
            sides = (found.left, *found.comparators)
            if not any(_is_written(side) for side in sides):
                yield found


def _is_written(side: ast.expr) -> bool:
    """Tell whether a value stands in the code: a text, a number, a tuple of them, a constant."""
    if isinstance(side, ast.Tuple | ast.Set | ast.List):
        return all(_is_written(each) for each in side.elts)
    if isinstance(side, ast.Name | ast.Attribute):
        name = side.id if isinstance(side, ast.Name) else side.attr
        return name.isupper()
    return isinstance(side, ast.Constant)


def secrets_compared(tree: ast.AST) -> Iterator[ast.Compare]:
    """Yield comparisons by `==` and `!=` of something that is called a secret."""
    for found in compared(tree):
        if not isinstance(found.ops[0], ast.Eq | ast.NotEq):
            continue
        names = {_last_name(side) for side in (found.left, *found.comparators)}
        if names & SECRET:
            yield found


def _last_name(side: ast.expr) -> str:
    match side:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lower()
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name.lower()
        case ast.Call(func=ast.Attribute(value=value)):
            return _last_name(value)  # `signature.lower()`
        case _:
            return ""


def parsed(path: str | Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", VERIFYING)
def test_modules_that_verify_compare_by_compare_digest(path: str) -> None:
    found = {ast.unparse(each) for each in compared(parsed(path))}
    assert found == VERIFYING[path], f"{path}: use hmac.compare_digest, or list what is no secret"


@pytest.mark.parametrize("path", MUST_COMPARE)
def test_modules_that_hold_secrets_against_others_use_it(path: str) -> None:
    calls = [each for each in ast.walk(parsed(path)) if isinstance(each, ast.Call)]
    assert any(ast.unparse(each.func) == "hmac.compare_digest" for each in calls)


def test_nothing_called_a_secret_is_compared_otherwise_anywhere() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{each.lineno}: {ast.unparse(each)}"
        for folder in ("libs", "services")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for each in secrets_compared(parsed(path))
        if ast.unparse(each) not in NO_SECRET
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "if signature == expected: ...",
        "ok = request.headers['signature'] != right",
        "ok = given == fields['secret'].strip()",
        "ok = self.password == given",
    ],
)
def test_it_sees_such_a_comparison(text: str) -> None:
    assert len(list(secrets_compared(ast.parse(text)))) == 1
    assert len(list(compared(ast.parse(text)))) == 1
