"""`perdure workflow import`: workflows of n8n as files of ours."""

import json
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from perdure_cli import definitions, deploying
from perdure_cli.client import Row
from perdure_cli.errors import CommandError
from perdure_cli.output import AsJson, errors, say, show


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A workflow as n8n exports it.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where the definition is written."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a definition of a workflow of n8n, and say what is not as it was. Applies nothing.

    Exit code 2: it is no workflow of n8n, or something of it would be refused.
    """
    made = _imported(definitions.read_file(file))
    reasons = [
        {"code": each.code, "node": each.node, "message": each.message} for each in made.reasons
    ]
    if output is not None and made.definition is not None:
        text = json.dumps(made.definition, indent=2, ensure_ascii=False)
        try:
            output.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error}") from None
    if as_json:
        problems = deploying.rows_of(made.problems)
        show({"valid": made.valid, "definition": made.definition, "reasons": reasons,
              "problems": problems})  # fmt: skip
    else:
        _tell(made, reasons, file, output)
    if not made.valid:
        raise typer.Exit(2)


def _imported(document: Any) -> Any:
    """Return what the engine's own importer makes of a document.

    Raises:
        CommandError: The engine is not installed here.
    """
    for entry in entry_points(group="perdure.definitions", name="n8n"):
        return entry.load()(document)
    raise CommandError(
        "the engine is not installed here, so nothing can be imported; install perdure-engine, or "
        "ask its API: POST /v1/workflows/import",
        code="engine_not_installed",
    )


def _tell(made: Any, reasons: Sequence[Row], file: Path, output: Path | None) -> None:
    for each in reasons:
        node = f" {each['node']!r}:" if each["node"] else ""
        errors.print(escape(f"{each['code']}:{node} {each['message']}"))
    for each in deploying.rows_of(made.problems):
        if each["severity"] == "error":
            errors.print(f"[red]error[/red]  {escape(deploying.problem_line(str(file), each))}")
    if made.definition is None:
        return
    count = len(made.definition["nodes"])
    where = "" if output is None else f", written to {output}"
    say(f"{made.definition['name']}: {count} nodes{where}")
    if output is None:
        say("--output FILE writes it; `perdure workflow deploy FILE` lets it serve then")
