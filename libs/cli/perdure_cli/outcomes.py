"""What came of a word to many executions, as a table."""

from perdure_cli.client import Row
from perdure_cli.output import print_table, say, short


def print_outcomes(found: Row, done: str) -> None:
    """Print what the engine answered; `done` says what became of those that took it."""
    print_table(
        ("execution", "workflow", "was", "came of it"),
        (
            (row["execution_id"], row["workflow_name"], row["status"], short(_came(row, done)))
            for row in found["executions"]
        ),
        "there are no executions like that",
    )
    if found["more"]:
        say("there are more; give a higher --limit, or the same command again")


def _came(row: Row, done: str) -> str:
    if not row["sent"]:
        return "nothing was sent"
    return done if row["accepted"] else row["detail"] or "no answer yet"
