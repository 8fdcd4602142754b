"""`perdure replay --execution`: an execution as it stood, and what changed between two versions."""

from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import quote

from rich.markup import escape

from perdure_cli import platform
from perdure_cli.client import Client, Row, told
from perdure_cli.output import clock, console, print_table, say, short, show, wait_for


def travel(id: str, at: int | None, *, as_json: bool) -> None:
    """Print an execution as it stood at a version of its stream, the last one if None."""
    given = [] if at is None else [("at", str(at))]
    found = wait_for(_asked(id, "state", given))
    if as_json:
        show(found)
    else:
        print_state(found)


def differ(id: str, before: int, after: int, *, as_json: bool) -> None:
    """Print what changed in an execution between two versions of its stream."""
    found = wait_for(_asked(id, "diff", [("before", str(before)), ("after", str(after))]))
    if as_json:
        show(found)
    else:
        print_difference(found)


async def _asked(id: str, what: str, given: list[tuple[str, str]]) -> Row:
    async with Client(platform.require()) as client:
        path = f"/v1/workflow_executions/{quote(id, safe='')}/{what}"
        return told(await client.get("engine", path, given), "engine")


def print_state(found: Row) -> None:
    """Print an execution as it stood."""
    kind = str(found["last_event"]).removeprefix("engine.").rpartition(".v")[0]
    console.print(
        f"[bold]{escape(str(found['execution_id']))}[/bold]  version {found['version']}  "
        f"{found['status']}  {clock(found['at'])}  after {kind}"
    )
    print_table(
        ("node", "scope", "status", "attempt", "emitted"),
        (
            (run["node_id"], scope_text(run), run["status"], run["attempt"], _emitted(run))
            for run in found["runs"].values()
        ),
        "no node has begun",
    )
    edges = found["edges"].values()
    live = sum(1 for edge in edges if edge["state"] == "LIVE")
    say(f"{live} edges are LIVE, {len(edges) - live} DEAD")
    for each in edges:
        arrow = f"{each['source']}.{each['source_port']} → {each['target']}.{each['target_port']}"
        scope = f" in {each['scope']}" if each["scope"] else ""
        items = f", {each['items']} items" if each["state"] == "LIVE" else ""
        say(f"  {arrow}{scope}: {each['state']}{items}")
    for each in found["waits_for"]:
        where = f"{each['node_id']}: " if each["node_id"] else ""
        say(f"  {where}waits for {each['waits_for']} until {clock(each['until']) or 'it comes'}")


def scope_text(run: Mapping[str, Any]) -> str:
    """Return the loops around a run as text."""
    return "/".join(f"{region}.{iteration}" for region, iteration in run["scope"])


def _emitted(run: Mapping[str, Any]) -> str:
    parts = [f"{port}: {each['count']}" for port, each in run["ports"].items()]
    return ", ".join(parts)


def print_difference(found: Row) -> None:
    """Print what changed between two versions."""
    versions = found["versions"]
    say(f"{found['execution_id']} from version {versions['before']} to {versions['after']}")
    lines = [
        *_lines("", found["fields"].items()),
        *_lines("run ", found["runs"].items()),
        *_lines("edge ", found["edges"].items()),
    ]
    for line in lines:
        say(line)
    if not lines:
        say("nothing changed")


def _lines(what: str, changes: Iterable[tuple[str, Row]]) -> Iterable[str]:
    for key, change in changes:
        before, after = change["before"], change["after"]
        if before is None:
            yield f"+ {what}{key}: {_told(after)}"
        elif after is None:
            yield f"- {what}{key}: {_told(before)}"
        else:
            yield f"~ {what}{key}: {_told(before)} → {_told(after)}"


def _told(value: Any) -> str:
    if not isinstance(value, dict):
        return short(value)
    fields = cast("Row", value)
    kept = [
        f"{name} {_emitted(fields) if name == 'ports' else short(fields[name], 40)}"
        for name in ("status", "attempt", "state", "items", "source", "target", "ports")
        if name in fields
    ]
    return ", ".join(kept) or short(fields)
