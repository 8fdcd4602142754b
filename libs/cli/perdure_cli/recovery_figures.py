"""`perdure recovery kpis` and `families`: how well recovery does, and which failures are alike."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from perdure_cli import platform
from perdure_cli.client import Client, Row, told
from perdure_cli.listing import Limit
from perdure_cli.output import AsJson, ago, console, print_table, say, short, show, wait_for
from perdure_cli.recovery import app

Workspace = Annotated[str | None, typer.Option(help="Only this workspace's.")]
Instant = Annotated[str | None, typer.Option(help="An instant such as 2026-01-31T12:00:00Z.")]

GROUPS = (
    ("failure type", "by_failure_type"),
    ("dependency", "by_dependency_class"),
    ("fallback", "by_fallback"),
)


@app.command()
def kpis(
    workspace: Workspace = None,
    since: Instant = None,
    before: Instant = None,
    as_json: AsJson = False,
) -> None:
    """Say how well recovery does: success, times, false positives, missed, with intervals.

    Without instants these are the last 30 days.
    """
    wanted = {"workspace_id": workspace, "since": since, "before": before}
    found: Row = wait_for(_asked("/v1/kpis", wanted))
    if as_json:
        show(found)
        return
    _print(found)


@app.command()
def families(workspace: Workspace = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List failures whose messages are alike, the largest family first."""
    found: Row = wait_for(_asked("/v1/families", {"workspace_id": workspace}))
    rows: Sequence[Row] = found["items"][:limit]
    if as_json:
        show(list(rows))
        return
    print_table(
        ("patterns", "seen", "last", "types", "in common"),
        (
            (
                len(row["signatures"]),
                row["occurrences"],
                ago(row["last_detected_at"]),
                ", ".join(row["failure_types"]),
                short(row["template"]),
            )
            for row in rows
        ),
        "nothing has failed",
    )


async def _asked(path: str, wanted: Mapping[str, str | None]) -> Any:
    given = [(name, value) for name, value in wanted.items() if value is not None]
    async with Client(platform.require()) as client:
        return told(await client.get("recovery", path, given), "recovery")


def _print(found: Row) -> None:
    every = found["all"]
    times = every["time_to_recovery"]
    say(f"from {found['since']} to {found['before']}: {every['episodes']} episodes")
    print_table(
        ("", "share", "interval", "of"),
        (
            ("recovered of the eligible", *_share(every["success"])),
            ("eligible of all (coverage)", *_share(every["coverage"])),
            ("false positives", *_share(every["false_positive_rate"])),
            ("missed", *_share(every["missed_rate"])),
            ("recovered of those explored", *_share(every["explored"])),
        ),
        "",
    )
    say(
        f"time to recovery: median {_seconds(times['p50_s'])}, p90 {_seconds(times['p90_s'])}, "
        f"mean {_seconds(times['mean_s'])}; counting what did not recover: "
        f"{_seconds(times['censored_median_s'])}"
    )
    texts = found["explanations"]
    if texts["explanations"]:
        say(
            f"{texts['explanations']} explanations: {texts['completeness']:.1%} complete, "
            f"{texts['faithfulness']:.1%} faithful"
        )
    for title, group in GROUPS:
        print_table(
            (title, "episodes", "coverage", "success", "median", "p90", "mean", "false", "missed"),
            ((name, *_row(figures)) for name, figures in found[group].items()),
            "",
        )
    for alert in found["alerts"]:
        console.print(f"[yellow]![/yellow] {escape(alert)}")


def _row(figures: Row) -> tuple[object, ...]:
    times = figures["time_to_recovery"]
    return (
        figures["episodes"],
        _spread(figures["coverage"]),
        _spread(figures["success"]),
        _seconds(times["p50_s"]),
        _seconds(times["p90_s"]),
        _seconds(times["mean_s"]),
        _spread(figures["false_positive_rate"]),
        _spread(figures["missed_rate"]),
    )


def _spread(share: Row) -> str:
    """Return a share with its interval, in a cell: `83% (71-91)`."""
    if share["value"] is None:
        return "none"
    return f"{share['value']:.0%} ({share['low'] * 100:.0f}-{share['high'] * 100:.0f})"


def _share(share: Row) -> tuple[str, str, int]:
    if share["value"] is None:
        return "none", "", 0
    return f"{share['value']:.1%}", f"{share['low']:.1%} to {share['high']:.1%}", share["of"]


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} s"


figures_app = app
"""The group, with these commands; the next file adds its own."""
