"""`perdure triggers`: what starts workflows: look at it, let it rest, make up for the past."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import Annotated, Any
from urllib.parse import quote

import typer
from perdure_contracts.cron import BackfillCron, CronFired, PauseTrigger, ResumeTrigger
from perdure_contracts.deployments import PauseEventTrigger, ResumeEventTrigger

from perdure_cli import deploying, platform
from perdure_cli.client import Client, Row, told, user
from perdure_cli.definitions import read_input
from perdure_cli.errors import CommandError
from perdure_cli.instants import typed_instant
from perdure_cli.listing import Limit, fetched, say_more
from perdure_cli.output import AsJson, clock, instant, print_table, say, short, show, wait_for
from perdure_cli.running import MANUAL, started_by

app = typer.Typer(help="Triggers: what starts workflows, and when.", no_args_is_help=True)

Workflow = Annotated[str, typer.Argument(metavar="NAME|ID", help="The workflow's name or id.")]
Node = Annotated[
    str | None, typer.Option("--node", help="The trigger node; the only one if not given.")
]

EVERY_SUBTYPE = ("CRON", "MANUAL", "WEBHOOK", "EMAIL", "GITHUB", "SLACK", "KAFKA")

TROUBLES_MAX = 1000
"""How many partitions in trouble are looked at."""

BEHIND_S = 5
"""From how many seconds on a trigger is said to wait for the clock: it was set back."""


@app.command(name="list")
def list_(
    workflow: Annotated[str | None, typer.Option(help="Only those of this workflow.")] = None,
    subtype: Annotated[str | None, typer.Option(help="Only these, such as CRON.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the triggers that serve, with the next firing of those that a clock fires."""
    found = fetched(
        "scheduler",
        "trigger_index",
        limit,
        deployment_status="active",
        workflow_name=workflow,
        trigger_subtype=None if subtype is None else subtype.upper(),
    )
    rows = found.rows
    _name_troubles(rows)
    if as_json:
        show(rows)
        return
    print_table(
        ("workflow", "version", "node", "trigger", "fires on", "next", "state"),
        (
            (
                row["workflow_name"],
                row["deployment_version"],
                row["node_id"],
                row["trigger_subtype"],
                " ".join(filter(None, (row["index_key"], row["timezone"]))),
                clock(row["next_fire_at"]),
                _state(row),
            )
            for row in rows
        ),
        "no trigger serves; `perdure workflow deploy FILE` deploys one",
    )
    say_more(found)


def _name_troubles(rows: Sequence[Row]) -> None:
    """Say of KAFKA triggers why their topics cannot be read now."""
    if not any(row["trigger_subtype"] == "KAFKA" for row in rows):
        return
    told = fetched("scheduler", "topic_troubles", TROUBLES_MAX).rows
    troubles = {row["topic"]: row["message"] for row in told}
    for row in rows:
        if row["trigger_subtype"] == "KAFKA" and not row["error_message"]:
            row["error_message"] = troubles.get(str(row["index_key"]).partition("/")[0])


def _state(row: Row, now: datetime | None = None) -> str:
    settled = instant(row["settled_until"])
    if not row["is_active"]:
        return "paused"
    behind = (settled - (now or datetime.now(UTC))).total_seconds() if settled else 0.0
    if behind > BEHIND_S:
        return f"waits for the clock, which was set back by {behind:.0f} s or more"
    if row["filter_errors"]:
        return short(f"filter failed {row['filter_errors']} times: {row['filter_error']}", 100)
    return short(row["error_message"], 100) or "serves"


@app.command()
def fire(
    workflow: Workflow,
    node: Node = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON|@FILE", help="The event's data.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fire a trigger that serves, by hand, with data of your own; its filter is asked as always."""
    value = read_input(data)

    async def work() -> tuple[Row, list[str]]:
        async with Client(platform.require()) as client:
            row = await _serving(client, workflow, node, subtype=None)
            if not row["is_active"]:
                raise CommandError(
                    f"{row['workflow_name']}/{row['node_id']} is paused, so it starts nothing; "
                    "`perdure triggers resume` lets it go on",
                    code="paused",
                )
            extensions = {"triggernode": str(row["node_id"])}
            sent = await client.trigger(
                MANUAL, str(row["workflow_id"]), value, extensions=extensions
            )
            return row, await started_by(client, sent)

    row, ids = wait_for(work())
    if not ids:
        raise CommandError(
            f"{row['workflow_name']}/{row['node_id']} started nothing: its filter does not let "
            "this data pass; `perdure triggers list` shows whether it fails",
            code="nothing_started",
        )
    if as_json:
        show({**_names(row), "executions": ids})
        return
    say(f"{row['workflow_name']}/{row['node_id']} starts execution {ids[0]}")


@app.command(name="next")
def next_(
    workflow: Workflow,
    node: Node = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many firings.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Show when a CRON trigger fires next, by the clocks of its zone and in UTC."""

    async def work() -> Row:
        async with Client(platform.require()) as client:
            return await _serving(client, workflow, node)

    row = wait_for(work())
    since = max(datetime.now(UTC), instant(row["settled_until"]) or datetime.now(UTC))
    found = upcoming(row["trigger_config"], since, count, row["workflow_id"], row["node_id"])
    if as_json:
        show({"workflow_id": row["workflow_id"], "node_id": row["node_id"], "firings": found})
        return
    if not row["is_active"]:
        say("the trigger is paused; `perdure triggers resume` lets it go on")
    columns = ["scheduled_local", "scheduled_at"]
    headings = [f"local time ({row['timezone']})", "UTC"]
    if any(each["fires_at"] != each["scheduled_at"] for each in found):
        columns, headings = [*columns, "fires_at"], [*headings, "with its jitter"]
    print_table(headings, ([each[name] for name in columns] for each in found), "it fires no more")


def upcoming(
    parameters: Mapping[str, Any], after: datetime, count: int, workflow_id: str, node_id: str
) -> list[dict[str, str]]:
    """Return the next firings of a CRON node, as the scheduler itself finds them.

    Raises:
        CommandError: The scheduler is not installed here, or the node cannot fire.
    """
    for entry in entry_points(group="perdure.previews", name="scheduler"):
        found: list[dict[str, str]] = entry.load()(
            parameters, after, count, workflow_id=workflow_id, node_id=node_id
        )
        return found
    raise CommandError(
        "the scheduler is not installed here, so nothing is known of clocks; install "
        "perdure-scheduler, or look at `perdure triggers list`",
        code="scheduler_not_installed",
    )


@app.command()
def pause(workflow: Workflow, node: Node = None, as_json: AsJson = False) -> None:
    """Let a trigger rest; what falls due or comes meanwhile starts nothing."""

    async def work() -> Row:
        async with Client(platform.require()) as client:
            row = await _serving(client, workflow, node, subtype=None)
            kind = PauseTrigger if row["trigger_subtype"] == "CRON" else PauseEventTrigger
            await client.command("scheduler", _stream(row), kind(**_names(row), asked_by=user()))
            return row

    _tell(wait_for(work()), "rests", as_json=as_json)


@app.command()
def resume(
    workflow: Workflow,
    node: Node = None,
    forget_open: Annotated[
        bool,
        typer.Option("--forget-open", help="Wait no more for executions that never ended."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let a trigger fire again, from now on."""

    async def work() -> Row:
        async with Client(platform.require()) as client:
            row = await _serving(client, workflow, node, subtype=None)
            names = {**_names(row), "asked_by": user()}
            message: object = ResumeEventTrigger(**names)
            if row["trigger_subtype"] == "CRON":
                message = ResumeTrigger(**names, forget_open=forget_open)
            elif forget_open:
                raise CommandError(
                    "`--forget-open` is for CRON triggers: others do not wait for executions",
                    exit_code=2,
                    code="wrong_usage",
                )
            await client.command("scheduler", _stream(row), message)
            return row

    _tell(wait_for(work()), "fires again", as_json=as_json)


@app.command()
def backfill(
    workflow: Workflow,
    first: Annotated[str, typer.Option("--from", help="From this instant on, in ISO 8601.")],
    until: Annotated[str, typer.Option("--to", help="Up to this instant, which is not in it.")],
    node: Node = None,
    force: Annotated[
        bool, typer.Option("--force", help="Those that happened too, once more.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show which would happen.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let firings of the past happen that did not; at most 1,000, in their order."""
    begin, end = typed_instant(first, "--from"), typed_instant(until, "--to")
    if dry_run:
        _show_plan(workflow, node, begin, end, force=force, as_json=as_json)
        return

    async def work() -> tuple[Row, int]:
        async with Client(platform.require()) as client:
            row = await _serving(client, workflow, node)
            message = BackfillCron(
                **_names(row),
                first=begin.isoformat(),
                until=end.isoformat(),
                force_id=str(uuid.uuid4()) if force else "",
                asked_by=user(),
            )
            answer = await client.command("scheduler", _stream(row), message)
            return row, answer.count(CronFired)

    row, fired = wait_for(work())
    if as_json:
        show({**_names(row), "fired": fired})
        return
    say(f"{row['workflow_name']}/{row['node_id']}: {fired} firings happen now")


def _show_plan(
    workflow: str, node: str | None, begin: datetime, end: datetime, *, force: bool, as_json: bool
) -> None:
    """Show which firings a backfill would lead to; the scheduler finds them as if it were one."""

    async def work() -> tuple[Row, Row]:
        async with Client(platform.require()) as client:
            row = await _serving(client, workflow, node)
            node_id = quote(str(row["node_id"]), safe="/")
            path = f"/v1/workflows/{row['workflow_id']}/triggers/{node_id}/backfill"
            times = {"first": begin.isoformat(), "until": end.isoformat()}
            wanted = {**times, "force": force, "dry_run": True}
            return row, told(await client.post("scheduler", path, wanted), "scheduler")

    row, plan = wait_for(work())
    firings: list[Row] = plan["firings"]
    if as_json:
        show({**_names(row), "dry_run": True, "fired": len(firings), "firings": firings})
        return
    columns = ("scheduled_local", "scheduled_at")
    print_table(
        (f"local time ({row['timezone']})", "UTC"),
        ([each[name] for name in columns] for each in firings),
        "nothing is missing",
    )
    say(f"{row['workflow_name']}/{row['node_id']}: {len(firings)} firings would happen")


def _tell(row: Row, text: str, *, as_json: bool) -> None:
    if as_json:
        show(_names(row))
    else:
        say(f"{row['workflow_name']}/{row['node_id']} {text}")


def _names(row: Row) -> dict[str, str]:
    return {"workflow_id": str(row["workflow_id"]), "node_id": str(row["node_id"])}


def _stream(row: Row) -> str:
    if row["trigger_subtype"] != "CRON":
        return str(row["workflow_id"])
    return f"{row['workflow_id']}/cron/{row['node_id']}"


async def _serving(
    client: Client, workflow: str, node: str | None, *, subtype: str | None = "CRON"
) -> Row:
    """Return the row of the trigger that is meant; `subtype` None is any.

    Raises:
        CommandError: There is none, or there are several.
    """
    found = await deploying.find(client, workflow)
    rows = await client.rows(
        "scheduler",
        "trigger_index",
        workflow_id=str(found["id"]),
        deployment_status="active",
        trigger_subtype=subtype or EVERY_SUBTYPE,
    )
    meant = [row for row in rows if node is None or row["node_id"] == node]
    if len(meant) == 1:
        return meant[0]
    known = ", ".join(sorted(str(row["node_id"]) for row in rows)) or "none"
    kind = "trigger" if subtype is None else f"{subtype} trigger"
    what = f"no {kind}" if not meant else f"several {kind}s"
    which = "" if node is None else f" {node!r}"
    raise CommandError(
        f"workflow {found['name']!r} serves {what}{which}; there are: {known}"
        + ("; name one with --node" if meant else ""),
        exit_code=2,
        code="trigger_not_found" if not meant else "ambiguous_trigger",
    )
