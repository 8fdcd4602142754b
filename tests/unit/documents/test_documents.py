"""Commands in documents exist, and links lead somewhere."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from perdure_cli.main import app
from perdure_contracts import cloudevents
from perdure_engine.definition import validate
from typer.testing import CliRunner

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*/*.md")]
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def codes(text: str) -> list[str]:
    """Return what is set as code: spans, and the lines of blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [*re.findall(r"`([^`\n]+)`", rest), *lines]


def commands(first: str) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for path in DOCUMENTS:
        for code in codes(path.read_text(encoding="utf-8")):
            for match in re.finditer(rf"(?:^|\s){first} +([a-z][a-z0-9 _-]*)", code):
                found[name(path), match[1].strip()] = None
    return list(found)


@pytest.mark.parametrize(("document", "words"), commands("make"))
def test_every_make_target_in_a_document_exists(document: str, words: str) -> None:
    target = words.split()[0]
    made = subprocess.run(
        ["make", "--dry-run", "--question", target, "NAME=x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "No rule to make target" not in made.stderr, f"{document}: make {target}"


@pytest.mark.parametrize(("document", "words"), commands("perdure"))
def test_every_perdure_command_in_a_document_exists(document: str, words: str) -> None:
    # Words that name a thing (a file, a topic) end the command.
    path: list[str] = []
    result = None
    for word in words.split()[:2]:
        tried = CliRunner().invoke(app, [*path, word, "--help"])
        if tried.exit_code != 0:
            break
        path, result = [*path, word], tried
    assert result is not None, f"{document}: there is no command `perdure {words}`"
    assert "Usage" in result.output


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target).exists(), f"{name(document)} links to {target}"


def test_every_setting_in_a_document_is_read_somewhere() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for top in ("libs", "services")
        for path in (ROOT / top).rglob("*.py")
    )
    for path in DOCUMENTS:
        for setting in set(re.findall(r"PERDURE_[A-Z_]+", path.read_text(encoding="utf-8"))):
            made_up = re.fullmatch(r"PERDURE_[A-Z]+_(PORT|URL)", setting)
            assert setting in code or made_up, f"{name(path)} names {setting}"


def test_every_metric_in_a_document_is_emitted() -> None:
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "libs").rglob("*.py"))
    code += "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "services").rglob("*.py"))
    for path in DOCUMENTS:
        if path.name == "metrics.md":
            continue  # compared with a running stack (tests/e2e/test_metrics.py)
        for metric in set(re.findall(r"`(perdure_[a-z_]+)`", path.read_text(encoding="utf-8"))):
            is_module = (ROOT / "services").glob(f"*/{metric}") or (ROOT / "libs").glob(
                f"*/{metric}"
            )
            if not any(is_module):
                assert metric.removesuffix("_total") in code, f"{name(path)} names {metric}"


def test_the_kcat_command_of_the_readme_sends_a_trigger_event() -> None:
    (line,) = [code for code in codes(README) if code.startswith("kcat")]
    words = shlex.split(line.replace("$(uuidgen)", "an-id"))
    headers = [words[i + 1].partition("=") for i, word in enumerate(words) if word == "-H"]
    body = words[words.index("<<<") + 1]
    event = cloudevents.decode(
        tuple((key, value.encode()) for key, _, value in headers), body.encode()
    )
    assert (event.type, event.subject) == ("perdure.trigger.manual", "triage")
    assert event.json() == {"hello": "world"}
    assert "perdure.triggers.v1" in words


def test_the_workflow_of_the_readme_is_valid() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    problems = validate(yaml.safe_load(block)).problems
    assert [problem for problem in problems if problem.severity == "error"] == []
