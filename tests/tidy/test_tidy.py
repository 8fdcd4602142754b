"""The rules of the house that a machine can hold."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 80
ANATOMY = ("state", "decide", "evolve", "project", "route")
# Spelt in two parts so that this file does not hold what it forbids.
HOSTS = re.compile(
    r"pythonhos"
    + r"ted|pypi\.o"
    + r"rg|npmjs\.(or|co)|maven\.(or|apach)|maven2"
    + r"/|crates\.i"
    + r"o"
)
PATHS = re.compile(r"(^|[^A-Za-z0-9_.])/(wor" + r"k|far" + r"m|roo" + r"t)/")
UNFINISHED = re.compile(
    r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b|raise NotImplemented" + r"Error"
)


def tracked(*endings: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    paths = [ROOT / name for name in listed]
    return [p for p in paths if p.is_file() and (not endings or p.suffix in endings)]


CODE = tracked(".py")
SOURCES = [p for p in CODE if p.relative_to(ROOT).parts[0] in ("libs", "services")]
TEXTS = [p for p in tracked() if p.suffix not in (".png", ".ico", ".woff2")]
CORES = sorted({p.parent for p in SOURCES if p.name == "decide.py"})


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_says_what_it_is_for_and_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "begin the file with a sentence on what it is for"
    assert text.count("\n") <= FILE_LINES_MAX, "split the file where its subject changes"


def test_a_test_can_be_read_in_one_sitting_too() -> None:
    lines = {name(p): p.read_text(encoding="utf-8").count("\n") for p in CODE}
    long = {each: count for each, count in lines.items() if count > FILE_LINES_MAX}
    assert not long, "split these where their subjects change"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_function_fits_a_screen(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_line_of_the_log_names_its_event_twice(path: Path) -> None:
    """Structlog raises where the first argument, the event, is given by name as well."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id == "log"
        ):
            assert "event" not in {each.arg for each in call.keywords}, f"line {call.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_error_is_swallowed_unseen(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            silent = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
            assert not (broad and silent), f"line {node.lineno} swallows every exception"


@pytest.mark.parametrize("core", CORES, ids=name)
def test_a_core_has_every_part_of_the_anatomy(core: Path) -> None:
    missing = [part for part in ANATOMY if not (core / f"{part}.py").is_file()]
    assert not missing


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{name(path)}:{number}"
        for path in [*CODE, *tracked(".sql", ".sh", ".ts", ".tsx")]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not found


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    found = [
        f"{name(path)}:{number}"
        for path in TEXTS
        for number, line in enumerate(path.read_text("utf-8", errors="ignore").splitlines(), 1)
        if HOSTS.search(line) or PATHS.search(line)
    ]
    assert not found


def test_no_test_is_skipped_and_every_test_can_fail() -> None:
    found: list[str] = []
    for path in [p for p in CODE if name(p).startswith("tests/")]:
        text = path.read_text(encoding="utf-8")
        if re.search(r"pytest\.(mark\.)?(skip|xfail)|importorskip", text) and path != Path(
            __file__
        ):
            found.append(f"{name(path)} skips")
        found.extend(
            f"{name(path)}:{node.lineno} {node.name} checks nothing"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and not _checks(node)
        )
    assert not found


def _checks(function: ast.AST) -> bool:
    words = ("raises", "assert", "check", "expect", "verify", "must", "warns")
    return any(
        isinstance(node, ast.Assert | ast.Raise)
        or (isinstance(node, ast.Call) and any(word in ast.unparse(node.func) for word in words))
        for node in ast.walk(function)
    )


def test_every_service_tells_its_story() -> None:
    for package in sorted((ROOT / "services").glob("*/perdure_*")):
        story = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
        for word in ("Hears", "Says", "Keeps"):
            assert re.search(rf"^{word}\b", story, re.MULTILINE), f"{package.name} says not: {word}"
