"""`perdure recovery breakers` and `incidents`: what keeps attempts waiting."""

from perdure_cli.listing import Limit, Statuses, column, fetched, print_rows
from perdure_cli.output import AsJson, ago, clock, short
from perdure_cli.recovery_figures import figures_app as app

__all__ = ["app"]


@app.command()
def breakers(status: Statuses = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the circuit breakers of dependencies, the latest change first."""
    print_rows(
        fetched("recovery", "recovery_breakers", limit, state=status or None),
        (
            ("dependency", column("dependency")),
            ("credential", column("credential")),
            ("state", column("state")),
            ("until", lambda row: clock(row["until"])),
            ("times", column("times")),
            ("changed", lambda row: ago(row["updated_at"])),
            ("reason", lambda row: short(row["reason"])),
        ),
        empty="no breaker has turned",
        as_json=as_json,
    )


@app.command()
def incidents(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List incidents, the newest first: many failures alike, of which one is tried."""
    print_rows(
        fetched("recovery", "recovery_incidents", limit),
        (
            ("incident", column("id")),
            ("type", column("failure_type")),
            ("dependency", column("dependency")),
            ("failures", column("failures")),
            ("opened", lambda row: ago(row["opened_at"])),
            ("closed", lambda row: ago(row["closed_at"]) if row["closed_at"] else "open"),
            ("gate", column("gate")),
        ),
        empty="there was no incident",
        as_json=as_json,
    )
