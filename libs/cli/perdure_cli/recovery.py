"""`perdure recovery`: what fails, what was tried, why, and how much recovery may do."""

from typing import Annotated, Any, cast, get_args

import typer
from perdure_common.settings import DEFAULT_WORKSPACE
from perdure_contracts.failures import People, RecoveryMode, Sampler
from perdure_contracts.recovery import SetMode
from rich.markup import escape

from perdure_cli import platform
from perdure_cli.client import Client, Row, user
from perdure_cli.errors import CommandError
from perdure_cli.listing import Limit, Statuses, column, fetched, print_rows
from perdure_cli.output import (
    AsJson,
    ago,
    clock,
    console,
    say,
    short,
    show,
    wait_for,
)

app = typer.Typer(help="Recovery: patterns, attempts, explanations, modes.", no_args_is_help=True)

EVERYWHERE = "*"
INHERITED = "as for *"
"""What a workspace shows for which nobody has set it."""
"""The workspace that stands for all of them: its mode binds every other one."""

PASSES = {True: "by itself", False: "no", None: "unknown"}
"""Whether a failure passes, in words."""

TEXTS = (
    ("what failed", "failure_summary"),
    ("why", "root_cause"),
    ("decision", "retry_decision"),
    ("how sure", "confidence_explanation"),
    ("you must", "user_action_required"),
    ("takes", "estimated_resolution_time"),
)
"""The parts of an explanation in the order of reading, and their columns."""


@app.command()
def patterns(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List what fails the same way, the newest first: how often, and whether it passes."""
    print_rows(
        fetched("recovery", "failure_patterns", limit),
        (
            ("signature", column("pattern_signature")),
            ("type", column("failure_type")),
            ("dependency", column("dependency")),
            ("seen", column("occurrence_count")),
            ("last", lambda row: ago(row["last_detected_at"])),
            ("passes", lambda row: PASSES[row["is_transient"]]),
            ("message", lambda row: short(row["error_message"])),
        ),
        empty="nothing has failed",
        as_json=as_json,
    )


@app.command()
def attempts(
    execution: Annotated[str | None, typer.Option(help="Only this execution's.")] = None,
    status: Statuses = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List recovery's decisions, the newest first, refused ones too."""
    print_rows(
        fetched(
            "recovery", "recovery_attempts", limit, execution_id=execution, status=status or None
        ),
        (
            ("attempt", column("id")),
            ("execution", column("execution_id")),
            ("node", column("node_id")),
            ("strategy", column("recovery_strategy")),
            ("status", column("status")),
            ("outcome", column("recovery_outcome")),
            ("when", lambda row: ago(row["started_at"])),
            ("reason", lambda row: short(row["recovery_reason"])),
        ),
        empty="recovery has not decided anything like that",
        as_json=as_json,
    )


@app.command()
def explain(
    id: Annotated[
        str, typer.Argument(metavar="ID", help="An execution, an attempt or a dead letter.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say what failed, why we think so, what was decided, and what you must do."""

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            for name in ("execution_id", "recovery_attempt_id", "dead_letter_id"):
                try:
                    where: dict[str, Any] = {name: id}
                    rows = await client.rows("recovery", "recovery_explanations", **where)
                except CommandError as error:
                    if error.code != "invalid_value":  # it is no UUID, so no attempt's id
                        raise
                    continue
                if rows:
                    return rows
            return []

    rows = sorted(wait_for(work()), key=lambda row: row["created_at"])
    if not rows:
        raise CommandError(
            f"recovery has decided nothing about {id!r}; `perdure recovery attempts` lists what "
            "it has",
            code="no_explanation",
        )
    if as_json:
        show(rows)
        return
    for row in rows:
        where = f" at {row['node_id']}" if row["node_id"] else ""
        console.print(
            f"[bold]{escape(row['failure_category'])}[/bold]{escape(where)}  "
            f"[dim]{row['recovery_strategy']}, {row['severity_level']}, "
            f"{clock(row['failure_time'])}, attempt {row['recovery_attempt_id']}[/dim]"
        )
        for name, text in TEXTS:
            if row[text] != "none":
                console.print(f"  [dim]{name:<11}[/dim] {escape(row[text])}")
        if row["prose"]:
            console.print(f"  [dim]in short   [/dim] {escape(row['prose'])}")


@app.command()
def mode(
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="[off|observe|approve|auto]", help="The new mode; shows without."),
    ] = None,
    workspace: Annotated[
        str, typer.Option(help="A workspace's id, or * for the switch above all.")
    ] = DEFAULT_WORKSPACE,
    reason: Annotated[str, typer.Option(help="What is written down as the reason.")] = "",
    people: Annotated[
        str,
        typer.Option(help="`ask` about a node given up, `hold` it for the answer, or only `tell`."),
    ] = "",
    sampler: Annotated[
        str, typer.Option(help="Who chooses among strategies: the `rules`, or a `bandit`.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show or set what recovery may do: record, decide and explain, ask first, act."""

    async def set_(to: RecoveryMode) -> None:
        async with Client(platform.require()) as client:
            message = SetMode(
                workspace_id=workspace,
                mode=to,
                set_by=user(),
                reason=reason,
                people=cast("People | None", one_of(people, People, "people")),
                sampler=cast("Sampler | None", one_of(sampler, Sampler, "sampler")),
            )
            try:
                await client.command("recovery", f"{workspace}/mode", message)
            except CommandError as error:
                if error.code != "unchanged":
                    raise

    if wanted is not None:
        modes = get_args(RecoveryMode)
        if wanted not in modes:
            raise CommandError(
                f"there is no mode {wanted!r}; there are {', '.join(modes)}",
                exit_code=2,
                code="unknown_mode",
            )
        wait_for(set_(cast("RecoveryMode", wanted)))
    print_rows(
        fetched("recovery", "recovery_modes"),
        (
            ("workspace", column("workspace_id")),
            ("mode", column("mode")),
            ("people", lambda row: row["people"] or INHERITED),
            ("sampler", lambda row: row["sampler"] or INHERITED),
            ("set by", column("set_by")),
            ("when", lambda row: ago(row["updated_at"])),
            ("reason", column("reason")),
        ),
        empty="every workspace is in mode auto: nobody has set another",
        as_json=as_json,
    )
    if wanted is not None and not as_json:
        say(f"recovery is in mode {wanted} for {_named(workspace)}")


def one_of(word: str, words: Any, name: str) -> str | None:
    """Return a word that is one of those of a type, None where it is left out."""
    if word and word not in get_args(words):
        raise CommandError(
            f"--{name} is {word!r}; there are {', '.join(get_args(words))}",
            exit_code=2,
            code=f"unknown_{name}",
        )
    return word or None


def _named(workspace: str) -> str:
    return "every workspace" if workspace == EVERYWHERE else f"workspace {workspace}"
