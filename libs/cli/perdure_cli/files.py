"""`perdure executions files` and `file`: the files that items of an execution carry."""

import sys
from pathlib import Path
from typing import Annotated, BinaryIO
from urllib.parse import quote

import typer

from perdure_cli import platform
from perdure_cli.client import Client, Row, told
from perdure_cli.errors import CommandError
from perdure_cli.executions import Id, app
from perdure_cli.output import AsJson, print_table, say, show, wait_for


@app.command()
def files(id: Id, as_json: AsJson = False) -> None:
    """List the files that the items of an execution have carried."""

    async def work() -> list[Row]:
        async with Client(platform.require()) as client:
            path = f"/v1/workflow_executions/{quote(id, safe='')}/files"
            return told(await client.get("engine", path), "engine")["items"]

    rows = wait_for(work())
    if as_json:
        show(rows)
        return
    print_table(
        ("file", "name", "type", "bytes", "from"),
        (
            (row["file_id"], row["file_name"], row["mime_type"], row["size"], row["node_id"])
            for row in rows
        ),
        "its items have carried no files",
    )


@app.command()
def file(
    id: Id,
    file_id: Annotated[str, typer.Argument(metavar="FILE_ID", help="From `executions files`.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; by default standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give out a file that the items of an execution have carried."""
    if as_json and output is None:
        raise CommandError(
            "standard output can have the file or JSON, not both; say where the file goes with "
            "`--output`",
            exit_code=2,
            code="wrong_usage",
        )

    async def work(into: BinaryIO) -> int:
        path = f"/v1/workflow_executions/{quote(id, safe='')}/files/{quote(file_id, safe='')}"
        async with Client(platform.require()) as client:
            return await client.download("engine", path, into)

    if output is None:
        wait_for(work(sys.stdout.buffer))
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f"{output.name}.part")  # what breaks off is not taken for the file
    try:
        with part.open("wb") as into:
            size = wait_for(work(into))
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    if as_json:
        show({"file_id": file_id, "output": str(output), "bytes": size})
    else:
        say(f"{size:,} bytes are in {output}")
