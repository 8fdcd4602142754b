"""`perdure recovery`: what fails, what was tried, why, and how much recovery may do."""

from typing import Annotated, Any, cast, get_args

import typer
from perdure_common.settings import DEFAULT_WORKSPACE
from perdure_contracts.recovery import RecoveryMode, SetMode
from rich.markup import escape

from perdure_cli import platform
from perdure_cli.client import Client, Row, user
from perdure_cli.errors import CommandError
from perdure_cli.output import (
    AsJson,
    Limit,
    ago,
    clock,
    console,
    print_table,
    say,
    short,
    show,
    wait_for,
)

app = typer.Typer(help="Recovery: patterns, attempts, explanations, modes.", no_args_is_help=True)

EVERYWHERE = "*"
"""The workspace that stands for all of them: its mode binds every other one."""

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

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            return await client.rows("recovery", "failure_patterns", most=limit)

    rows = wait_for(work())
    if as_json:
        show(rows)
        return
    print_table(
        ("signature", "type", "dependency", "seen", "last", "passes", "message"),
        (
            (
                row["pattern_signature"],
                row["failure_type"],
                row["dependency"],
                row["occurrence_count"],
                ago(row["last_detected_at"]),
                {True: "by itself", False: "no", None: "unknown"}[row["is_transient"]],
                short(row["error_message"]),
            )
            for row in rows
        ),
        "nothing has failed",
    )


@app.command()
def attempts(
    execution: Annotated[str | None, typer.Option(help="Only this execution's.")] = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="Only these; may be repeated.")
    ] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List recovery's decisions, the newest first, refused ones too."""

    async def work() -> list[Row]:
        equal: dict[str, Any] = {}
        if execution is not None:
            equal["execution_id"] = execution
        if status:
            equal["status"] = status
        async with Client(platform.require()) as client:
            return await client.rows("recovery", "recovery_attempts", most=limit, **equal)

    rows = wait_for(work())
    if as_json:
        show(rows)
        return
    print_table(
        ("attempt", "execution", "node", "strategy", "status", "outcome", "when", "reason"),
        (
            (
                row["id"],
                row["execution_id"],
                row["node_id"],
                row["recovery_strategy"],
                row["status"],
                row["recovery_outcome"],
                ago(row["started_at"]),
                short(row["recovery_reason"]),
            )
            for row in rows
        ),
        "recovery has not decided anything like that",
    )


@app.command()
def explain(
    id: Annotated[str, typer.Argument(metavar="ID", help="An execution or an attempt.")],
    as_json: AsJson = False,
) -> None:
    """Say what failed, why we think so, what was decided, and what you must do."""

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            rows = await client.rows("recovery", "recovery_explanations", execution_id=id)
            if rows:
                return rows
            try:
                return await client.rows(
                    "recovery", "recovery_explanations", recovery_attempt_id=id
                )
            except CommandError as error:
                if error.code != "invalid_value":  # it is no UUID, so no attempt's id
                    raise
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
        for name, column in TEXTS:
            if row[column] != "none":
                console.print(f"  [dim]{name:<11}[/dim] {escape(row[column])}")


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
    as_json: AsJson = False,
) -> None:
    """Show or set what recovery may do: record, decide and explain, ask first, act."""

    async def shown() -> list[Row]:
        async with Client(platform.require()) as client:
            return await client.rows("recovery", "recovery_modes")

    async def set_(to: RecoveryMode) -> None:
        async with Client(platform.require()) as client:
            message = SetMode(workspace_id=workspace, mode=to, set_by=user(), reason=reason)
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
    rows = wait_for(shown())
    if as_json:
        show(rows)
        return
    print_table(
        ("workspace", "mode", "set by", "when", "reason"),
        (
            (row["workspace_id"], row["mode"], row["set_by"], ago(row["updated_at"]), row["reason"])
            for row in rows
        ),
        "every workspace is in mode auto: nobody has set another",
    )
    if wanted is not None:
        say(f"recovery is in mode {wanted} for {_named(workspace)}")


def _named(workspace: str) -> str:
    return "every workspace" if workspace == EVERYWHERE else f"workspace {workspace}"
