"""`perdure up` and `perdure down`.

What takes long to load is loaded after the servers have been told to start, or not at all.
"""

import threading
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from perdure_cli import platform
from perdure_cli.output import AsJson, console, show, wait_for

if TYPE_CHECKING:
    from perdure_cli.platform import Running


def up(
    services: Annotated[str, typer.Option(help="Only these, separated by commas.")] = "",
    engines: Annotated[
        int, typer.Option(min=1, max=16, help="Processes of the engine, which share the work.")
    ] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start servers and services here; Ctrl-C stops them cleanly."""
    names = [name for name in services.replace(",", " ").split() if name]
    wanted = platform.known(platform.with_engines(names or platform.SERVICES, engines))
    if detach:
        running = platform.start_detached(wanted)
        if as_json:
            show(told(running))
        else:
            console.print(f"perdure is up (process {running.pid}); `perdure down` stops it")
        return

    def said(text: str) -> None:
        if not quiet and not as_json:
            console.print(f"[dim]{text} …[/dim]")

    def ready(running: "Running") -> None:
        if as_json:
            show(told(running))
        elif not quiet:
            console.print(board(running))
            console.print("perdure is up; Ctrl-C stops it")

    from perdure_common.embedded import Embedded

    embedded = Embedded(platform.home())
    if platform.find() is None and threading.active_count() == 1:
        embedded.begin()
    from perdure_cli.bring_up import Platform

    here = Platform(wanted, on_ready=ready, said=said, embedded=embedded)
    here.begin()
    wait_for(here.run())


def down(as_json: AsJson = False) -> None:
    """Stop the platform that runs here."""
    stopped = platform.stop()
    if as_json:
        show({"stopped": stopped})
    else:
        console.print("perdure is down" if stopped else "nothing was running")


def board(running: "Running") -> Table:
    """Return the table of servers and services."""
    table = Table(box=None, pad_edge=False)
    for heading in ("what", "where"):
        table.add_column(heading)
    table.add_row("PostgreSQL", running.database_url.rpartition("@")[2])
    table.add_row("Kafka", running.kafka_bootstrap)
    for name, url in running.urls.items():
        table.add_row(name, url)
    if running.hooks_url:
        table.add_row("webhooks", running.hooks_url)
    return table


def told(running: "Running") -> dict[str, object]:
    """Return a platform as JSON tells of it: without the database's password."""
    return {
        "pid": running.pid,
        "postgres": running.database_url.rpartition("@")[2],
        "kafka": running.kafka_bootstrap,
        "services": dict(running.urls),
        "webhooks": running.hooks_url,
    }
