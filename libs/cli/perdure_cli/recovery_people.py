"""`perdure recovery questions` and `answer`: what recovery asks people, and what they say."""

from typing import Annotated

import typer
from perdure_contracts.deciding import NoteAnswer
from rich.markup import escape

from perdure_cli import platform
from perdure_cli.client import Client, Row, user
from perdure_cli.errors import CommandError
from perdure_cli.listing import Limit, fetched, print_rows
from perdure_cli.output import AsJson, clock, say, short, show, wait_for
from perdure_cli.recovery_budget import app

__all__ = ["app"]

PORTS = {"approve": "approved", "reject": "rejected", "retry": "retry", "give-up": "give_up"}
"""What a person says, and what the contract calls it."""

QUESTIONS = "recovery_questions"
"""The view of what is asked, and of nothing that was answered or whose time is over."""

LEAVE = ("approve", "reject")
"""The answers to a question for leave; the others say what becomes of a node."""


@app.command()
def questions(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List what people are asked, the newest first: leave to try, or what becomes of a node."""
    print_rows(
        fetched("recovery", QUESTIONS, limit),
        (
            ("attempt", lambda row: row["id"]),
            ("execution", lambda row: row["execution_id"]),
            ("node", lambda row: row["node_id"]),
            ("asked", lambda row: " or ".join(answers_to(row))),
            ("until", lambda row: clock(row["until"])),
            ("failure", lambda row: short(row["error_message"])),
        ),
        empty="nobody is asked anything",
        as_json=as_json,
    )


@app.command()
def answer(
    attempt: Annotated[str, typer.Argument(metavar="ATTEMPT", help="An attempt's id.")],
    said: Annotated[
        str, typer.Argument(metavar="ANSWER", help="approve, reject, retry or give-up.")
    ],
    reason: Annotated[str, typer.Option(help="What is written down as the reason.")] = "",
    as_json: AsJson = False,
) -> None:
    """Answer a question of recovery's; `perdure recovery explain` says what it is about."""

    async def work() -> None:
        async with Client(platform.require()) as client:
            row = await client.row("recovery", QUESTIONS, attempt)
            if row is None:
                raise CommandError(
                    f"nobody is asked about the attempt {attempt!r}; `perdure recovery "
                    "questions` lists what is asked",
                    exit_code=2,
                    code="not_asked",
                )
            if said not in answers_to(row):
                raise CommandError(
                    f"{said!r} is no answer to this; there are {', '.join(answers_to(row))}",
                    exit_code=2,
                    code="unknown_answer",
                )
            message = NoteAnswer(
                execution_id=row["execution_id"],
                interaction_id=row["interaction_id"],
                outcome="answered",
                port=PORTS[said],
                by=user(),
                reason=reason,
            )
            await client.command("recovery", row["execution_id"], message)

    wait_for(work())
    if as_json:
        show({"attempt": attempt, "answer": said})
    else:
        say(f"recovery heard: {escape(said)}")


def answers_to(row: Row) -> tuple[str, ...]:
    """Return what may be said about an attempt."""
    for_leave = row["cause"] == "approval"
    return LEAVE if for_leave else tuple(word for word in PORTS if word not in LEAVE)
