"""`perdure recovery budget`: what recovery's attempts may cost in a month, and have cost."""

from typing import Annotated

import typer
from perdure_common.settings import DEFAULT_WORKSPACE
from perdure_contracts.deciding import SetBudget

from perdure_cli import platform
from perdure_cli.client import Client, user
from perdure_cli.errors import CommandError
from perdure_cli.listing import column, fetched, print_rows
from perdure_cli.output import AsJson, ago, say, wait_for
from perdure_cli.recovery_lines import app

__all__ = ["app"]

NO_LIMIT = "none"


@app.command()
def budget(
    usd: Annotated[
        str | None,
        typer.Argument(
            metavar="[USD|none]", help="US dollars a month, none for no limit; shows without."
        ),
    ] = None,
    workspace: Annotated[str, typer.Option(help="A workspace's id.")] = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
) -> None:
    """Show or set what recovery's attempts may cost a month, and show what is left of tokens."""
    limit = None if usd is None else dollars(usd)

    async def set_() -> None:
        async with Client(platform.require()) as client:
            message = SetBudget(workspace_id=workspace, recovery_usd=limit, set_by=user())
            await client.command("recovery", f"{workspace}/allowance", message)

    if usd is not None:
        wait_for(set_())
    print_rows(
        fetched("recovery", "recovery_allowances"),
        (
            ("workspace", column("workspace_id")),
            ("limit", lambda row: in_words(row["recovery_usd"])),
            ("spent", lambda row: f"{row['month_usd']:.2f} USD"),
            ("month", column("month")),
            ("tokens", lambda row: f"{row['tokens']:.0f}"),
            ("changed", lambda row: ago(row["updated_at"])),
        ),
        empty="no workspace has a limit, and nothing was tried yet",
        as_json=as_json,
    )
    if usd is not None and not as_json:
        say(f"recovery may cost {in_words(limit)} a month in workspace {workspace}")


def dollars(word: str) -> float | None:
    """Return an amount of money, None where there is to be no limit.

    Raises:
        CommandError: It is neither.
    """
    if word == NO_LIMIT:
        return None
    try:
        amount = float(word)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise CommandError(
            f"{word!r} is no amount of US dollars: give a number from 0, or {NO_LIMIT}",
            exit_code=2,
            code="invalid_budget",
        )
    return amount


def in_words(limit: float | None) -> str:
    """Return a limit for people."""
    return "any amount" if limit is None else f"{limit:.2f} USD"
